"""The steps by which a key is replaced, as a state machine. Pure.

A rotation is two values of the stack's config, which come back as its outputs once they are
deployed: the generation of the key in force, and what becomes of the one before. It goes on by

    (1, none) --begin--> (2, Active) --retire--> (2, Inactive) --finish--> (2, none)

for access keys, and from ``(2, Kept)`` straight to the end for SSH keys, which EC2 does not know
as inactive. ``undo`` leads back from everywhere in between. Where it stands is judged by what is
deployed, so that each request can be made again wherever the last one was cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN, RETIRE, FINISH, UNDO, NOW = "begin", "retire", "finish", "undo", "now"
REQUESTS = (BEGIN, RETIRE, FINISH, UNDO, NOW)

ACTIVE, INACTIVE, KEPT, NONE = "Active", "Inactive", "Kept", ""


STEP = "rotationStep"
"""The config key that counts the steps of both keys' rotations. It never goes back, an undo counts
as well: so an older config is known from a newer one whatever they say."""


class Refused(Exception):  # noqa: N818  a decision, not a fault
    """The request does not fit where the rotation stands: why, and what would, in one line."""


class State(NamedTuple):
    """Where the rotation of one key of a stack stands."""

    generation: int
    """Of the key in force, from 1."""
    previous: str
    """What the key before is: `ACTIVE`, `INACTIVE` (access keys), `KEPT` (SSH keys), `NONE`."""

    @property
    def is_under_way(self) -> bool:
        """Whether there are two keys."""
        return self.previous != NONE

    @property
    def generations(self) -> frozenset[int]:
        """The generations there is a key of."""
        return frozenset({self.generation, self.generation - self.is_under_way})

    def is_behind(self, other: State) -> bool:
        """Whether ``other`` is further on in the same succession of steps."""
        order = [ACTIVE, KEPT, INACTIVE, NONE]
        return (self.generation, order.index(self.previous)) < (
            other.generation,
            order.index(other.previous),
        )


class Kind(NamedTuple):
    """One of a stack's two keys, and the config keys that its rotation is made of."""

    name: str
    flag: str
    """What ``python -m sync rotate STACK`` takes to mean this key."""
    generation: str
    previous: str
    stages: tuple[str, ...]
    """What the previous key becomes, one after the other."""

    def config(self, state: State) -> dict[str, str]:
        """``state`` as the stack's config says it."""
        return {self.generation: str(state.generation), self.previous: state.previous}

    def state(self, config: dict[str, str]) -> State:
        """What the stack's ``config`` says; its values are text. Raises `Refused`."""
        generation = config.get(self.generation) or "1"
        previous = config.get(self.previous) or NONE
        if not generation.isdecimal() or not int(generation):
            raise Refused(f"{self.generation} is {generation!r} in the stack's config, no number")
        if previous not in (*self.stages, NONE):
            allowed = ", ".join(self.stages)
            raise Refused(
                f"{self.previous} is {previous!r} in the stack's config, not one of {allowed} or "
                "empty"
            )
        return State(int(generation), previous)


def parse_step(config: Mapping[str, str]) -> int:
    """How many steps the ``config`` says there were; its values are text. Raises `Refused`."""
    text = config.get(STEP) or "0"
    if not text.isdecimal():
        raise Refused(f"{STEP} is {text!r} in the stack's config, no number")
    return int(text)


ACCESS_KEY = Kind("access key", "", "accessKeyGeneration", "previousAccessKey", (ACTIVE, INACTIVE))
KEY_PAIR = Kind("key pair", " --key-pair", "keyPairGeneration", "previousKeyPair", (KEPT,))


def moves(kind: Kind, now: State, request: str) -> list[State]:
    """The states to go through from ``now`` on ``request``; none where it is fulfilled already.

    Raises `Refused`.
    """
    generation = now.generation
    begun = State(generation + 1, kind.stages[0])
    again, retired = State(generation, ACTIVE), State(generation, INACTIVE)
    finished, back = State(generation, NONE), State(generation - 1, NONE)
    through = [State(generation + 1, stage) for stage in (*kind.stages, NONE)]
    too_soon = f"the old {kind.name} is still active: --retire comes before --finish"
    ways: dict[str, dict[str, list[State] | str]] = {
        NONE: {BEGIN: [begun], RETIRE: [], FINISH: [], UNDO: [], NOW: through},
        ACTIVE: {
            BEGIN: [],
            RETIRE: [retired],
            FINISH: too_soon,
            UNDO: [back],
            NOW: [retired, finished],
        },
        INACTIVE: {
            BEGIN: [],
            RETIRE: [],
            FINISH: [finished],
            UNDO: [again, back],
            NOW: [finished],
        },
        KEPT: {BEGIN: [], FINISH: [finished], UNDO: [back], NOW: [finished]},
    }
    if request == RETIRE and INACTIVE not in kind.stages:
        raise Refused(f"EC2 knows no inactive {kind.name}: --finish comes next")
    way = ways[now.previous][request]
    if isinstance(way, str):
        raise Refused(way)
    return way


def next_request(now: State) -> str | None:
    """What goes on with a rotation that is under way."""
    return {ACTIVE: RETIRE, INACTIVE: FINISH, KEPT: FINISH}.get(now.previous)
