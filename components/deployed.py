"""What the last update of this stack left, so that a config that is behind does no harm.

A checkout that nobody pulled still asks for keys that have been rotated away. Following it would
delete the keys in use.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import pulumi

from components.rotation import ACCESS_KEY, KEY_PAIR, UNDO, Rotation, check_move, parse_undo
from components.settings import Settings

# Seconds between tries. What is read, the engine may be writing. A file of state is replaced in one
# step, but not the file beside it with its attributes (gocloud.dev/blob/fileblob), which is empty
# for a moment: reading it then fails with EOF.
_WAITS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What is deployed, as far as it limits what may follow.

    rotation_step: how many steps the rotations of both keys have taken.
    access_key: how far the rotations of the access key have come.
    key_pair: likewise of the SSH key.
    key_algorithm: algorithm of the SSH key.
    rsa_bits: its size, where the algorithm is RSA and the size is known.
    """

    rotation_step: int
    access_key: Rotation
    key_pair: Rotation
    key_algorithm: str
    rsa_bits: int | None

    @classmethod
    def of_stack(cls) -> Self | None:
        """Return what is deployed of the stack that the engine is running; None if nothing is.

        A StackReference asks the engine for the same. But that is a resource: it would leave all
        outputs in state once more, old keys beyond the end of their rotation among them, and
        tell them only after the first resource is registered.

        Raises pulumi.RunError with what the engine says when it cannot tell.
        """
        name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
        for wait in (*_WAITS, None):
            try:
                result = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
            except Exception as error:  # the SDK raises nothing narrower
                if wait is None:
                    said = str(error).rpartition("returned an error: ")[2]
                    raise pulumi.RunError(f"cannot tell what is deployed: {said}") from error
                time.sleep(wait)
            else:
                break
        return cls.of_outputs(result.value["outputs"])

    @classmethod
    def of_outputs(cls, outputs: Mapping[str, Any]) -> Self | None:
        """Return what outputs say is deployed; None for a stack without any.

        A stack that was deployed before there were generations has the first.
        """
        if not outputs:
            return None
        rsa_bits = outputs.get("rsa_bits")
        return cls(
            rotation_step=int(outputs.get("rotation_step", 0)),
            access_key=Rotation(
                int(outputs.get("access_key_generation", 1)), outputs.get("previous_access_key", "")
            ),
            key_pair=Rotation(
                int(outputs.get("key_pair_generation", 1)),
                "Kept" if "previous_private_key" in outputs else "",
            ),
            key_algorithm=outputs["key_algorithm"],
            rsa_bits=None if rsa_bits is None else int(rsa_bits),
        )


def check_deployed(settings: Settings) -> None:
    """Check that an update of the stack that the engine is running may lead to these settings.

    Raises pulumi.RunError as `Deployed.of_stack` and `check` do.
    """
    deployed = Deployed.of_stack()
    if deployed:
        undo = os.environ.get(UNDO, "")
        check(pulumi.get_project(), pulumi.get_stack(), settings, deployed, undo=undo)


def check(
    project: str, stack: str, settings: Settings, deployed: Deployed, *, undo: str = ""
) -> None:
    """Check that an update may go from what is deployed to these settings.

    project: name of the project, which is the namespace of the config keys.
    stack: name of the stack.
    undo: the step that is to be undone, as `parse_undo` takes it.

    Raises pulumi.RunError for the first setting that may not follow: one line with the config
    key, its value, what is deployed, and what to do.
    """
    # A rotation that was undone leaves a deployment behind a config that some checkout still has.
    # What tells which of the two is the older is the number of steps: it never goes back.
    if settings.rotation_step < deployed.rotation_step:
        raise pulumi.RunError(
            f"{project}:rotationStep is {settings.rotation_step}: older than the deployed "
            f"{deployed.rotation_step}: pull Pulumi.{stack}.yaml"
        )
    try:
        undone = parse_undo(undo)
    except ValueError as error:
        raise pulumi.RunError(f"{UNDO} is {undo!r}: {error}") from error
    for course, now, wanted in (
        (ACCESS_KEY, deployed.access_key, settings.access_key),
        (KEY_PAIR, deployed.key_pair, settings.key_pair),
    ):
        try:
            check_move(course, now, wanted, stack=stack, undo=undone.get(course.generation))
        except ValueError as error:
            raise pulumi.RunError(
                f"{project}:{course.generation} is {wanted.generation} "
                f"and {course.previous} is {wanted.previous!r}: {error}"
            ) from error
    try:
        _check_key(settings, deployed, stack)
    except ValueError as error:
        raise pulumi.RunError(f"{project}:{error}") from error


def _check_key(settings: Settings, deployed: Deployed, stack: str) -> None:
    """Check that the SSH key stays what it is: the machines that run know no other."""
    if settings.key_pair.generation != deployed.key_pair.generation:
        return
    hint = f"`python -m sync rotate {stack} --key-pair` makes a new key"
    if settings.key_algorithm != deployed.key_algorithm:
        raise ValueError(
            f"keyAlgorithm is {settings.key_algorithm!r}: "
            f"the deployed key is {deployed.key_algorithm}; {hint}"
        )
    if deployed.rsa_bits not in (None, settings.rsa_bits):
        raise ValueError(
            f"rsaBits is '{settings.rsa_bits}': the deployed key has {deployed.rsa_bits}; {hint}"
        )
