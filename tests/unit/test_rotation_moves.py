"""Rotation: which update may follow which, and what the refusal of another one says."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pulumi
import pytest

from components.deployed import Deployed, check
from components.rotation import ACCESS_KEY, KEY_PAIR, Course, Rotation, check_move, parse_undo
from components.settings import Settings
from tests.unit.mocks import default_config

CONFIG = {
    key.removeprefix("aws-keys:"): value
    for key, value in default_config().items()
    if key.startswith("aws-keys:")
}
FIRST = Deployed(
    rotation_step=0,
    access_key=Rotation(1, ""),
    key_pair=Rotation(1, ""),
    key_algorithm="ED25519",
    rsa_bits=None,
)

# From what is deployed, in a row, to what an update may lead to, without and with an undo.
MOVES = {
    ACCESS_KEY: {
        (1, ""): ({(1, ""), (2, "Active")}, set()),
        (2, "Active"): ({(2, "Active"), (2, "Inactive")}, {(1, "")}),
        (2, "Inactive"): ({(2, "Inactive"), (2, "")}, {(2, "Active"), (1, "")}),
        (2, ""): ({(2, ""), (3, "Active")}, set()),
        (3, "Active"): ({(3, "Active"), (3, "Inactive")}, {(2, "")}),
        (3, "Inactive"): ({(3, "Inactive"), (3, "")}, {(3, "Active"), (2, "")}),
        (3, ""): ({(3, ""), (4, "Active")}, set()),
    },
    KEY_PAIR: {
        (1, ""): ({(1, ""), (2, "Kept")}, set()),
        (2, "Kept"): ({(2, "Kept"), (2, "")}, {(1, "")}),
        (2, ""): ({(2, ""), (3, "Kept")}, set()),
        (3, "Kept"): ({(3, "Kept"), (3, "")}, {(2, "")}),
        (3, ""): ({(3, ""), (4, "Kept")}, set()),
    },
}
CASES = [
    pytest.param(course, deployed, id=f"{course.generation}-{deployed[0]}{deployed[1]}")
    for course, moves in MOVES.items()
    for deployed in moves
]


def rotations(course: Course) -> set[tuple[int, str]]:
    """Every one that a config can say, up to the fifth generation."""
    return {(1, "")} | set(product(range(2, 6), course.statuses))


def allowed(
    course: Course, deployed: tuple[int, str], undo: int | None = None
) -> set[tuple[int, str]]:
    found = set()
    for wanted in rotations(course):
        try:
            check_move(course, Rotation(*deployed), Rotation(*wanted), stack="staging", undo=undo)
        except ValueError:
            continue
        found.add(wanted)
    return found


@pytest.mark.parametrize(("course", "deployed"), CASES)
def test_an_update_takes_one_step_or_none(course: Course, deployed: tuple[int, str]) -> None:
    assert allowed(course, deployed) == MOVES[course][deployed][0]


@pytest.mark.parametrize(("course", "deployed"), CASES)
def test_an_undo_of_what_is_deployed_takes_a_step_back_too(
    course: Course, deployed: tuple[int, str]
) -> None:
    onward, back = MOVES[course][deployed]

    assert allowed(course, deployed, undo=deployed[0]) == onward | back


@pytest.mark.parametrize(("course", "deployed"), CASES)
def test_an_undo_of_something_else_allows_nothing_more(
    course: Course, deployed: tuple[int, str]
) -> None:
    for other in {0, 1, 2, 3, 4} - {deployed[0]}:
        assert allowed(course, deployed, undo=other) == MOVES[course][deployed][0]


@pytest.mark.parametrize("course", MOVES)
def test_where_nothing_is_deployed_anything_may_be(course: Course) -> None:
    for wanted in rotations(course):
        check_move(course, None, Rotation(*wanted), stack="staging")


# --- what a refusal says


def refusal(deployed: Deployed, undo: str = "", **config: str) -> str:
    settings = Settings.parse("aws-keys", "staging", CONFIG | config)
    with pytest.raises(pulumi.RunError) as error:
        check("aws-keys", "staging", settings, deployed, undo=undo)
    return str(error.value)


@pytest.mark.parametrize(
    ("access_key", "config", "values"),
    [
        (Rotation(2, "Active"), {}, "is 1 and previousAccessKey is ''"),
        (
            Rotation(2, "Inactive"),
            {"accessKeyGeneration": "2", "previousAccessKey": "Active"},
            "is 2 and previousAccessKey is 'Active'",
        ),
        (
            Rotation(2, ""),
            {"accessKeyGeneration": "2", "previousAccessKey": "Active"},
            "is 2 and previousAccessKey is 'Active'",
        ),
    ],
)
def test_a_config_that_is_behind_is_to_be_pulled(
    access_key: Rotation, config: dict[str, str], values: str
) -> None:
    deployed = replace(FIRST, access_key=access_key)

    assert refusal(deployed, **config) == (
        f"aws-keys:accessKeyGeneration {values}: older than the deployed "
        f"{access_key.generation} and {access_key.previous!r}: pull Pulumi.staging.yaml"
    )


@pytest.mark.parametrize(
    ("access_key", "generation", "previous"),
    [
        (Rotation(1, ""), "2", ""),
        (Rotation(1, ""), "2", "Inactive"),
        (Rotation(1, ""), "3", "Active"),
        (Rotation(2, "Active"), "2", ""),
        (Rotation(2, "Active"), "3", "Active"),
    ],
)
def test_a_config_that_is_too_far_ahead_is_to_take_the_steps_in_order(
    access_key: Rotation, generation: str, previous: str
) -> None:
    config = {"accessKeyGeneration": generation, "previousAccessKey": previous}

    assert refusal(replace(FIRST, access_key=access_key), **config) == (
        f"aws-keys:accessKeyGeneration is {generation} and previousAccessKey is {previous!r}: "
        f"more than one step after the deployed {access_key.generation} and "
        f"{access_key.previous!r}: `python -m sync rotate staging` takes the steps in order"
    )


def test_the_key_pair_has_steps_of_its_own() -> None:
    assert refusal(replace(FIRST, key_pair=Rotation(2, "Kept"))) == (
        "aws-keys:keyPairGeneration is 1 and previousKeyPair is '': "
        "older than the deployed 2 and 'Kept': pull Pulumi.staging.yaml"
    )
    assert refusal(FIRST, keyPairGeneration="2") == (
        "aws-keys:keyPairGeneration is 2 and previousKeyPair is '': "
        "more than one step after the deployed 1 and '': "
        "`python -m sync rotate staging --key-pair` takes the steps in order"
    )


# --- the steps


UNDONE = replace(FIRST, rotation_step=2)
BEGUN = {"accessKeyGeneration": "2", "previousAccessKey": "Active", "rotationStep": "1"}


@pytest.mark.parametrize("undo", ["", "accessKeyGeneration:1"])
@pytest.mark.parametrize("config", [{}, {"rotationStep": "1"}, BEGUN])
def test_a_config_with_fewer_steps_is_older_whatever_else_it_says(
    config: dict[str, str], undo: str
) -> None:
    """After an undo, a config of the time before it would be a step onward."""
    assert refusal(UNDONE, undo, **config) == (
        f"aws-keys:rotationStep is {config.get('rotationStep', 0)}: older than the deployed 2: "
        "pull Pulumi.staging.yaml"
    )


@pytest.mark.parametrize(
    "config", [{"rotationStep": "2"}, {"rotationStep": "9"}, BEGUN | {"rotationStep": "3"}]
)
def test_a_config_with_as_many_steps_or_more_passes(config: dict[str, str]) -> None:
    check("aws-keys", "staging", Settings.parse("aws-keys", "staging", CONFIG | config), UNDONE)


# --- the algorithm


RSA = replace(FIRST, key_algorithm="RSA", rsa_bits=4096)


@pytest.mark.parametrize(
    ("deployed", "config", "line"),
    [
        (FIRST, {"keyAlgorithm": "RSA"}, "keyAlgorithm is 'RSA': the deployed key is ED25519"),
        (RSA, {}, "keyAlgorithm is 'ED25519': the deployed key is RSA"),
        (
            RSA,
            {"keyAlgorithm": "RSA", "rsaBits": "2048"},
            "rsaBits is '2048': the deployed key has 4096",
        ),
        (
            replace(FIRST, key_pair=Rotation(2, "Kept")),
            {"keyAlgorithm": "RSA", "keyPairGeneration": "2", "previousKeyPair": "Kept"},
            "keyAlgorithm is 'RSA': the deployed key is ED25519",
        ),
    ],
)
def test_another_algorithm_or_size_takes_a_new_generation(
    deployed: Deployed, config: dict[str, str], line: str
) -> None:
    assert refusal(deployed, **config) == (
        f"aws-keys:{line}; `python -m sync rotate staging --key-pair` makes a new key"
    )


@pytest.mark.parametrize(
    ("deployed", "undo", "config"),
    [
        (
            FIRST,
            "",
            {"keyAlgorithm": "RSA", "keyPairGeneration": "2", "previousKeyPair": "Kept"},
        ),
        (RSA, "", {"rsaBits": "2048", "keyPairGeneration": "2", "previousKeyPair": "Kept"}),
        (replace(RSA, key_pair=Rotation(2, "Kept")), "keyPairGeneration:2", {}),
        (replace(RSA, rsa_bits=None), "", {"keyAlgorithm": "RSA", "rsaBits": "2048"}),
        (FIRST, "", {"rsaBits": "2048"}),
    ],
    ids=["next", "next of another size", "undo", "size not known", "size of no meaning"],
)
def test_an_algorithm_or_size_that_the_deployed_key_need_not_have_passes(
    deployed: Deployed, undo: str, config: dict[str, str]
) -> None:
    settings = Settings.parse("aws-keys", "staging", CONFIG | config)

    check("aws-keys", "staging", settings, deployed, undo=undo)


# --- what is deployed, what is to be undone


def test_a_stack_without_outputs_is_not_deployed() -> None:
    assert Deployed.of_outputs({}) is None


def test_a_stack_deployed_before_there_were_generations_has_the_first() -> None:
    assert Deployed.of_outputs({"key_algorithm": "ED25519"}) == FIRST


def test_the_outputs_tell_what_is_deployed() -> None:
    assert Deployed.of_outputs(
        {
            "rotation_step": 5.0,  # a number as the engine hands it over
            "key_algorithm": "RSA",
            "rsa_bits": 2048.0,
            "access_key_generation": 3.0,
            "previous_access_key": "Inactive",
            "key_pair_generation": 2.0,
            "previous_private_key": "a private key",
        }
    ) == Deployed(
        rotation_step=5,
        access_key=Rotation(3, "Inactive"),
        key_pair=Rotation(2, "Kept"),
        key_algorithm="RSA",
        rsa_bits=2048,
    )


def test_one_kind_of_key_is_undone_at_a_time() -> None:
    assert parse_undo("") == {}
    assert parse_undo("accessKeyGeneration:2") == {"accessKeyGeneration": 2}
    assert parse_undo("keyPairGeneration:13") == {"keyPairGeneration": 13}

    behind = replace(FIRST, access_key=Rotation(2, "Active"))
    assert "older" in refusal(behind, undo="keyPairGeneration:2")


@pytest.mark.parametrize(
    "undo", ["2", "keyName:2", "accessKeyGeneration", "accessKeyGeneration:0", "keyPairGeneration:"]
)
def test_an_undo_that_cannot_be_read_is_one_line(undo: str) -> None:
    assert refusal(FIRST, undo=undo) == (
        f"AWS_KEYS_UNDO is {undo!r}: must be accessKeyGeneration or keyPairGeneration, a colon "
        "and the deployed generation"
    )
