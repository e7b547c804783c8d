"""The steps of a rotation: a table of where it stands, what is asked, and where that leads."""

from __future__ import annotations

import itertools
import re

import pytest

from components import rotation
from components.settings import KEYS
from sync import update
from sync.rotation import (
    ACCESS_KEY,
    BEGIN,
    FINISH,
    KEY_PAIR,
    NOW,
    REQUESTS,
    RETIRE,
    STEP,
    UNDO,
    Kind,
    Refused,
    State,
    moves,
    next_request,
    parse_step,
)

QUIET = State(3, "")
BEGUN, RETIRED, FINISHED = State(4, "Active"), State(4, "Inactive"), State(4, "")
KEPT = State(4, "Kept")

STEPS: list[tuple[Kind, State, str, list[State] | str]] = [
    (ACCESS_KEY, QUIET, BEGIN, [BEGUN]),
    (ACCESS_KEY, QUIET, RETIRE, []),
    (ACCESS_KEY, QUIET, FINISH, []),
    (ACCESS_KEY, QUIET, UNDO, []),
    (ACCESS_KEY, QUIET, NOW, [BEGUN, RETIRED, FINISHED]),
    (ACCESS_KEY, BEGUN, BEGIN, []),
    (ACCESS_KEY, BEGUN, RETIRE, [RETIRED]),
    (ACCESS_KEY, BEGUN, FINISH, "still active: --retire comes before --finish"),
    (ACCESS_KEY, BEGUN, UNDO, [QUIET]),
    (ACCESS_KEY, BEGUN, NOW, [RETIRED, FINISHED]),
    (ACCESS_KEY, RETIRED, BEGIN, []),
    (ACCESS_KEY, RETIRED, RETIRE, []),
    (ACCESS_KEY, RETIRED, FINISH, [FINISHED]),
    (ACCESS_KEY, RETIRED, UNDO, [BEGUN, QUIET]),
    (ACCESS_KEY, RETIRED, NOW, [FINISHED]),
    (KEY_PAIR, QUIET, BEGIN, [KEPT]),
    (KEY_PAIR, QUIET, RETIRE, "EC2 knows no inactive key pair: --finish comes next"),
    (KEY_PAIR, QUIET, FINISH, []),
    (KEY_PAIR, QUIET, UNDO, []),
    (KEY_PAIR, QUIET, NOW, [KEPT, FINISHED]),
    (KEY_PAIR, KEPT, BEGIN, []),
    (KEY_PAIR, KEPT, RETIRE, "EC2 knows no inactive key pair: --finish comes next"),
    (KEY_PAIR, KEPT, FINISH, [FINISHED]),
    (KEY_PAIR, KEPT, UNDO, [QUIET]),
    (KEY_PAIR, KEPT, NOW, [FINISHED]),
]


@pytest.mark.parametrize(("kind", "now", "request_", "leads_to"), STEPS)
def test_a_request_leads_from_where_the_rotation_stands(
    kind: Kind, now: State, request_: str, leads_to: list[State] | str
) -> None:
    if isinstance(leads_to, str):
        with pytest.raises(Refused, match=re.escape(leads_to)):
            moves(kind, now, request_)
    else:
        assert moves(kind, now, request_) == leads_to


def test_the_table_has_every_request_in_every_state() -> None:
    states = {ACCESS_KEY: [QUIET, BEGUN, RETIRED], KEY_PAIR: [QUIET, KEPT]}
    every = {(kind, now, asked) for kind, n in states.items() for now in n for asked in REQUESTS}
    assert {(kind, now, asked) for kind, now, asked, _ in STEPS} == every


@pytest.mark.parametrize(
    ("kind", "now", "request_"),
    [(kind, now, asked) for kind, now, asked, leads_to in STEPS if not isinstance(leads_to, str)],
)
def test_no_step_leaves_the_profile_without_its_key(kind: Kind, now: State, request_: str) -> None:
    """One generation stays from each state to the next, and no key in use goes at once."""
    for then in moves(kind, now, request_):
        assert now.generations & then.generations
        gone = now.generations - then.generations
        if kind is ACCESS_KEY and now.generation - 1 in gone:
            assert now.previous == "Inactive"
        now = then


def test_states_are_in_the_order_of_their_steps() -> None:
    for ordered in ([QUIET, BEGUN, RETIRED, FINISHED], [QUIET, KEPT, FINISHED]):
        for before, after in itertools.pairwise(ordered):
            assert before.is_behind(after)
            assert not after.is_behind(before)
        assert not ordered[0].is_behind(ordered[0])


def test_what_goes_on_is_told() -> None:
    assert next_request(QUIET) is None
    assert next_request(BEGUN) == RETIRE
    assert next_request(RETIRED) == FINISH
    assert next_request(KEPT) == FINISH


def test_config_and_state_are_the_same_thing() -> None:
    for kind, now, _, _ in STEPS:
        assert kind.state(kind.config(now)) == now
    assert ACCESS_KEY.state({}) == State(1, "")


@pytest.mark.parametrize("config", [{"accessKeyGeneration": "0"}, {"accessKeyGeneration": "two"}])
def test_a_config_that_is_no_state_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(Refused, match="accessKeyGeneration is "):
        ACCESS_KEY.state(config)


def test_a_stage_of_the_other_key_is_refused() -> None:
    with pytest.raises(Refused, match=r"previousAccessKey is 'Kept'.* not one of Active, Inactive"):
        ACCESS_KEY.state({"previousAccessKey": "Kept"})


@pytest.mark.parametrize(
    ("config", "steps"), [({}, 0), ({STEP: ""}, 0), ({STEP: "0"}, 0), ({STEP: "12"}, 12)]
)
def test_a_config_counts_the_steps(config: dict[str, str], steps: int) -> None:
    assert parse_step(config) == steps


@pytest.mark.parametrize("text", ["two", "-1", "1.5", "²"])
def test_a_number_of_steps_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=rf"^rotationStep is '{text}' in the stack's config, no"):
        parse_step({STEP: text})


COURSES = {ACCESS_KEY: rotation.ACCESS_KEY, KEY_PAIR: rotation.KEY_PAIR}


def is_taken(kind: Kind, now: State, then: State, undo: int | None = None) -> bool:
    """Whether the program takes a config with ``then`` where ``now`` is deployed."""
    try:
        rotation.check_move(
            COURSES[kind],
            rotation.Rotation(*now),
            rotation.Rotation(*then),
            stack="production",
            undo=undo,
        )
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "now", "request_"),
    [(kind, now, asked) for kind, now, asked, leads_to in STEPS if not isinstance(leads_to, str)],
)
def test_the_program_takes_every_step_and_one_back_only_as_an_undo(
    kind: Kind, now: State, request_: str
) -> None:
    for then in moves(kind, now, request_):
        is_back = then.is_behind(now)
        assert is_back is (request_ == UNDO)
        assert is_taken(kind, now, then) is not is_back
        assert is_taken(kind, now, then, undo=now.generation)
        now = then


def test_both_sides_name_config_and_stages_alike() -> None:
    for kind, course in COURSES.items():
        assert (kind.generation, kind.previous) == (course.generation, course.previous)
        assert (*kind.stages, "") == course.statuses
        assert kind.flag == course.command
    assert update.UNDO == rotation.UNDO
    assert STEP in KEYS
