"""Rotation: which generations of a key are in force, and which step may follow which.

A key is not changed in place, since whoever uses it would be locked out at that moment. The next
generation is made beside it, and the one before stays until everybody has the new one. For an
access key that is AWS's own procedure, deactivation before deletion included:
https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rotation:
    """How far the rotations of a key have come.

    generation: the current generation of the key, from 1.
    previous: status of the generation before, which is in force too; empty when there is none.
    """

    generation: int
    previous: str


@dataclass(frozen=True, kw_only=True)
class Course:
    """The steps of every rotation of a kind of key.

    generation: the config key that tells the current generation.
    previous: the config key that tells the status of the generation before.
    statuses: what that status is, step by step; in the end empty.
    command: what makes `python -m sync rotate STACK` take these steps.
    """

    generation: str
    previous: str
    statuses: tuple[str, ...]
    command: str

    def steps_to(self, rotation: Rotation) -> int:
        """Return how many steps after the very first key a rotation is."""
        step = self.statuses.index(rotation.previous) + 1
        return (rotation.generation - 1) * len(self.statuses) + step


ACCESS_KEY: Final = Course(
    generation="accessKeyGeneration",
    previous="previousAccessKey",
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html
    statuses=("Active", "Inactive", ""),
    command="",
)
KEY_PAIR: Final = Course(
    generation="keyPairGeneration",
    previous="previousKeyPair",
    statuses=("Kept", ""),
    command=" --key-pair",
)

UNDO: Final = "AWS_KEYS_UNDO"
"""The environment variable by which sync, and nobody else, asks to undo a step."""


def check_move(
    course: Course,
    deployed: Rotation | None,
    wanted: Rotation,
    *,
    stack: str,
    undo: int | None = None,
) -> None:
    """Check that an update may go from what is deployed to what is wanted.

    It may go nowhere, or one step on. What is not deployed yet may be anything.

    stack: name of the stack, for the hint.
    undo: the deployed generation, when a step back from it is meant. While the generation before
        is still there, its status may then go back to an earlier one, or the new one go.

    Raises ValueError with the reason and what to do.
    """
    if deployed is None:
        return
    now, then = course.steps_to(deployed), course.steps_to(wanted)
    if now <= then <= now + 1:
        return
    if undo == deployed.generation and deployed.previous:
        before = course.steps_to(Rotation(deployed.generation - 1, ""))
        if before <= then < now:
            return
    shown = f"the deployed {deployed.generation} and {deployed.previous!r}"
    if then < now:
        raise ValueError(f"older than {shown}: pull Pulumi.{stack}.yaml")
    raise ValueError(
        f"more than one step after {shown}: "
        f"`python -m sync rotate {stack}{course.command}` takes the steps in order"
    )


def parse_undo(text: str) -> Mapping[str, int]:
    """Read the variable that asks to undo a step: a config key, a colon and what it is deployed as.

    Returns the deployed generation by config key; nothing for an empty text. Raises ValueError,
    saying what is allowed.
    """
    if not text:
        return {}
    keys = (ACCESS_KEY.generation, KEY_PAIR.generation)
    found = re.fullmatch(rf"({'|'.join(keys)}):([1-9][0-9]{{0,8}})", text)
    if not found:
        raise ValueError(f"must be {' or '.join(keys)}, a colon and the deployed generation")
    return {found[1]: int(found[2])}


def generation(text: str) -> int:
    """Read a generation. Raises ValueError with what is allowed."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise ValueError("must be a whole number from 1 to 999999999")
    return int(text)


def step(text: str) -> int:
    """Read a number of steps. Raises ValueError with what is allowed."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text):
        raise ValueError("must be a whole number from 0 to 999999999")
    return int(text)


def resource_name(name: str, of: int) -> str:
    """Return the name of a generation's resource.

    The first has the name itself: so it was called before there were generations.
    """
    return name if of == 1 else f"{name}-{of}"
