"""Rotation with the real engine, by config alone: what is in force, what goes, what is refused.

One protected stack goes through both rotations, step by step, and another one takes steps back.
The tests read what there was after each step.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sandbox.world import sandbox
from sync.ssh_key import PublicKey, parse_private_key, parse_public_key
from tests.e2e.test_program import Aws, Outputs, Stack, new_stack

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from sandbox.world import World

STACK = "pulumi:pulumi:Stack"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"
KEY_PAIR = "aws:ec2/keyPair:KeyPair"
PRIVATE_KEY = "tls:index/privateKey:PrivateKey"


class Moment(NamedTuple):
    """A stack at a time: what it tells, what AWS holds, and what the engine's state protects."""

    outputs: Outputs
    access_keys: dict[str, str]
    public_key: PublicKey | None
    protected: dict[tuple[str, str], bool]

    @classmethod
    def of(cls, stack: Stack) -> Moment:
        aws = Aws(stack.world)
        keys = aws.iam.list_access_keys(UserName=stack.name)["AccessKeyMetadata"]
        pair = aws.key_pair(stack.name)
        resources = stack.resources()
        (outputs,) = (each["outputs"] for each in resources if each["type"] == STACK)
        return cls(
            Outputs({name: _plain(value) for name, value in outputs.items()}),
            {key["AccessKeyId"]: key["Status"] for key in keys},
            pair.public_key if pair else None,
            {
                (each["type"], each["urn"].rpartition("::")[2]): each.get("protect", False)
                for each in resources
                if not each["type"].startswith("pulumi:")
            },
        )

    def opens(self, name: str = "private_key") -> PublicKey | None:
        """The public half of a private key that is among the outputs."""
        key = parse_private_key(self.outputs[name].encode())
        return key.public_key if key else None

    def unprotected(self) -> list[tuple[str, str]]:
        return sorted(name for name, protected in self.protected.items() if not protected)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """An output as it is in state, secrets decrypted."""
    return json.loads(value["plaintext"]) if isinstance(value, dict) else value


def differing(left: Outputs, right: Outputs, **names: str) -> list[str]:
    """Which outputs are not the same, named on the left as on the right; no value is shown."""
    return [name for name, other in names.items() if left[name] != right[other]]


class Refusal(NamedTuple):
    """What the engine said to an update, and the stack before and after it."""

    said: str
    before: Moment
    after: Moment


def up(stack: Stack, undo: str, config: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if config:
        pairs = [f"{key}={value}" for key, value in config.items()]
        stack.pulumi("config", "set-all", *(f"--plaintext={pair}" for pair in pairs))
    return stack.pulumi("up", "--yes", "--skip-preview", check=False, AWS_KEYS_UNDO=undo)


def step(stack: Stack, undo: str = "", /, **config: str) -> Moment:
    """Set config, update, and look."""
    done = up(stack, undo, config)
    assert done.returncode == 0, done.stdout
    return Moment.of(stack)


def refusal(stack: Stack, before: Moment, undo: str = "", /, **config: str) -> Refusal:
    """Update with other config than the stack's, which is left as it is."""
    settings = stack.settings.read_text()
    done = up(stack, undo, config)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    stack.settings.write_text(settings)
    return Refusal(done.stdout + done.stderr, before, Moment.of(stack))


@dataclass(frozen=True)
class State:
    """All of the engine's state, secrets decrypted. A failed assertion does not print it."""

    text: str = field(repr=False)


class Rotated(NamedTuple):
    """A protected stack on its way through both rotations, and what was refused meanwhile."""

    stack: Stack
    first: Moment
    other_algorithm: Refusal
    both: Moment
    old_checkout: Refusal
    inactive: Moment
    undo_unasked: Refusal
    active_again: Moment
    finished: Moment
    state: State


def rotate(world: World) -> Rotated:
    stack = new_stack(world, "rotated", "  aws-keys:protect: true\n")
    first = step(stack)
    other_algorithm = refusal(stack, first, keyAlgorithm="RSA")
    old = stack.settings.read_text()
    both = step(
        stack,
        accessKeyGeneration="2",
        previousAccessKey="Active",
        keyPairGeneration="2",
        previousKeyPair="Kept",
        keyAlgorithm="RSA",
        rsaBits="2048",
    )
    new = stack.settings.read_text()
    stack.settings.write_text(old)
    old_checkout = refusal(stack, both)
    stack.settings.write_text(new)
    inactive = step(stack, previousAccessKey="Inactive", previousKeyPair="")
    undo_unasked = refusal(stack, inactive, previousAccessKey="Active")
    active_again = step(stack, "accessKeyGeneration:2", previousAccessKey="Active")
    step(stack, previousAccessKey="Inactive")
    finished = step(stack, previousAccessKey="")
    return Rotated(
        stack,
        first,
        other_algorithm,
        both,
        old_checkout,
        inactive,
        undo_unasked,
        active_again,
        finished,
        State(json.dumps(stack.resources())),
    )


class Undone(NamedTuple):
    """A protected stack with two generations of each key, and with one again."""

    both: Moment
    another_asked: Refusal
    access_key: Moment
    key_pair: Moment


def step_back(world: World) -> Undone:
    config = {
        "protect": True,
        "accessKeyGeneration": 2,
        "previousAccessKey": "Active",
        "keyPairGeneration": 2,
        "previousKeyPair": "Kept",
    }
    lines = [f"  aws-keys:{key}: {json.dumps(value)}\n" for key, value in config.items()]
    stack = new_stack(world, "undone", "".join(lines))
    both = step(stack)
    first = {"accessKeyGeneration": "1", "previousAccessKey": ""}
    another_asked = refusal(stack, both, "keyPairGeneration:2", **first)
    access_key = step(stack, "accessKeyGeneration:2", **first)
    key_pair = step(stack, "keyPairGeneration:2", keyPairGeneration="1", previousKeyPair="")
    return Undone(both, another_asked, access_key, key_pair)


@pytest.fixture(scope="module")
def both_stacks() -> Iterator[tuple[Rotated, Undone]]:
    """A sandbox for these tests alone, so that no stack needs to be destroyed after them."""
    with sandbox() as world, ThreadPoolExecutor() as pool:
        rotated, undone = pool.submit(rotate, world), pool.submit(step_back, world)
        yield rotated.result(), undone.result()


@pytest.fixture(scope="module")
def rotated(both_stacks: tuple[Rotated, Undone]) -> Rotated:
    return both_stacks[0]


@pytest.fixture(scope="module")
def undone(both_stacks: tuple[Rotated, Undone]) -> Undone:
    return both_stacks[1]


# --- what is in force


def test_two_generations_of_an_access_key_are_in_force_at_once(rotated: Rotated) -> None:
    first, both = rotated.first.outputs, rotated.both.outputs
    names = {f"previous_{name}": name for name in ("access_key_id", "secret_access_key")}
    assert not differing(both, first, **names)
    assert differing(both, first, secret_access_key="secret_access_key")
    assert rotated.both.access_keys == {
        first["access_key_id"]: "Active",
        both["access_key_id"]: "Active",
    }


def test_the_outputs_are_numbers_and_texts_and_name_a_previous_key_while_there_is_one(
    rotated: Rotated,
) -> None:
    names = ("access_key_generation", "previous_access_key", "key_pair_generation", "rsa_bits")
    moments = (rotated.first, rotated.both, rotated.inactive, rotated.finished)
    assert [[moment.outputs.get(name) for name in names] for moment in moments] == [
        [1, None, 1, None],
        [2, "Active", 2, 2048],
        [2, "Inactive", 2, 2048],
        [2, None, 2, 2048],
    ]
    assert [
        sorted(name for name in moment.outputs if name.startswith("previous_"))
        for moment in moments
    ] == [
        [],
        [
            "previous_access_key",
            "previous_access_key_id",
            "previous_private_key",
            "previous_secret_access_key",
        ],
        ["previous_access_key", "previous_access_key_id", "previous_secret_access_key"],
        [],
    ]


def test_neither_key_is_shown(rotated: Rotated) -> None:
    said = "".join(rotated.stack.said.values())
    assert "previous_access_key_id    : [secret]" in said
    shown = [
        name
        for outputs in (rotated.first.outputs, rotated.finished.outputs)
        for name in ("access_key_id", "secret_access_key", "private_key")
        for line in outputs[name].splitlines()
        if line in said and not line.startswith("-----")
    ]
    assert not shown


def test_another_algorithm_is_that_of_the_next_generation_alone(rotated: Rotated) -> None:
    first, both = rotated.first, rotated.both
    assert first.outputs["key_algorithm"] == "ED25519"
    assert both.outputs["key_algorithm"] == "RSA"
    assert not differing(both.outputs, first.outputs, previous_private_key="private_key")
    assert both.public_key == parse_public_key(both.outputs["public_key"]) != first.public_key
    assert both.opens() == both.public_key
    assert both.opens("previous_private_key") == first.public_key


def test_an_inactive_key_is_inactive_at_aws(rotated: Rotated) -> None:
    old, new = rotated.first.outputs["access_key_id"], rotated.both.outputs["access_key_id"]
    assert rotated.inactive.access_keys == {old: "Inactive", new: "Active"}


def test_the_end_of_a_rotation_deletes_the_old_key_and_keeps_the_new_one(rotated: Rotated) -> None:
    both, finished = rotated.both, rotated.finished
    assert finished.access_keys == {both.outputs["access_key_id"]: "Active"}
    names = ("access_key_id", "secret_access_key", "private_key", "public_key")
    assert not differing(finished.outputs, both.outputs, **{name: name for name in names})
    assert finished.public_key == both.public_key


def test_nothing_of_an_old_key_is_left_in_the_engines_state(rotated: Rotated) -> None:
    old = rotated.first.outputs
    needles = [old["access_key_id"], old["secret_access_key"], old["private_key"].splitlines()[1]]
    state = rotated.state
    assert rotated.finished.outputs["access_key_id"] in state.text
    assert [needle in state.text for needle in needles] == [False] * 3


# --- protection


def test_a_protected_stack_is_rotated_by_config_alone_and_only_what_rotates_is_unprotected(
    rotated: Rotated,
) -> None:
    access_keys = [(ACCESS_KEY, "access"), (ACCESS_KEY, "access-2")]
    assert rotated.first.unprotected() == []
    assert rotated.both.unprotected() == [
        (KEY_PAIR, "ssh"),
        *access_keys,
        (PRIVATE_KEY, "ssh"),
        (PRIVATE_KEY, "ssh-2"),
    ]
    assert rotated.inactive.unprotected() == access_keys
    assert rotated.finished.unprotected() == []
    assert len(rotated.finished.protected) == len(rotated.first.protected) == 7


def test_after_a_rotation_destroy_is_refused_and_deletes_nothing(rotated: Rotated) -> None:
    done = rotated.stack.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert "because it is protected" in done.stdout + done.stderr
    after = Moment.of(rotated.stack)
    assert after.access_keys == rotated.finished.access_keys
    assert after.public_key == rotated.finished.public_key


# --- what is refused


def test_another_algorithm_of_the_same_generation_is_refused_with_a_hint(rotated: Rotated) -> None:
    said, before, after = rotated.other_algorithm
    assert (
        "error: aws-keys:keyAlgorithm is 'RSA': the deployed key is ED25519; "
        "`python -m sync rotate rotated --key-pair` makes a new key\n"
    ) in said
    assert after == before


def test_an_old_checkout_is_refused_and_changes_nothing(rotated: Rotated) -> None:
    said, before, after = rotated.old_checkout
    assert (
        "error: aws-keys:accessKeyGeneration is 1 and previousAccessKey is '': "
        "older than the deployed 2 and 'Active': pull Pulumi.rotated.yaml\n"
    ) in said
    assert after == before


def test_a_step_back_is_refused_unless_it_is_asked_for(rotated: Rotated) -> None:
    said, before, after = rotated.undo_unasked
    assert (
        "is 2 and previousAccessKey is 'Active': older than the deployed 2 and 'Inactive'" in said
    )
    assert after == before


def test_a_step_back_of_another_kind_of_key_is_refused(undone: Undone) -> None:
    said, before, after = undone.another_asked
    assert "aws-keys:accessKeyGeneration is 1 and previousAccessKey is '': older" in said
    assert after == before


# --- steps back


def test_an_inactive_key_becomes_active_again(rotated: Rotated) -> None:
    old, new = rotated.first.outputs["access_key_id"], rotated.both.outputs["access_key_id"]
    assert rotated.active_again.access_keys == {old: "Active", new: "Active"}
    assert rotated.active_again.outputs["previous_access_key"] == "Active"


def test_a_rotation_of_the_access_key_is_undone(undone: Undone) -> None:
    before, after = undone.both.outputs, undone.access_key.outputs
    names = {name: f"previous_{name}" for name in ("access_key_id", "secret_access_key")}
    assert not differing(after, before, **names)
    assert undone.access_key.access_keys == {after["access_key_id"]: "Active"}
    assert undone.access_key.public_key == undone.both.public_key


def test_a_rotation_of_the_key_pair_is_undone(undone: Undone) -> None:
    before, after = undone.both.outputs, undone.key_pair.outputs
    assert not differing(after, before, private_key="previous_private_key")
    assert undone.key_pair.opens() == undone.key_pair.public_key
    assert undone.key_pair.unprotected() == []
