"""What a stack's outputs must be before anything is written from them."""

from __future__ import annotations

import json
import pickle
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sync.engine import StackError, short_name
from sync.secret import Secret
from sync.ssh_key import parse_public_key
from sync.stack import USED_OUTPUTS, parse_outputs
from tests.stacks import access_key, key_pair, outputs, rotating, stack_keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("algorithm", ["ED25519", "RSA"])
def test_good_outputs_become_keys(algorithm: str) -> None:
    keys = stack_keys("acme/aws-keys/production", algorithm)
    assert keys.stack == "production"
    assert keys.key_algorithm == algorithm


@pytest.mark.parametrize("name", USED_OUTPUTS)
@pytest.mark.parametrize("value", [None, "", "[secret]", "two\nlines", 7, ["x"], "\x00"])
def test_an_output_that_is_no_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(StackError, match=f"output {name} ") as raised:
        parse_outputs("production", json.dumps(outputs("production") | {name: value}))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", USED_OUTPUTS)
def test_a_missing_output_is_named(name: str) -> None:
    given = outputs("production")
    del given[name]
    with pytest.raises(StackError, match=f"output {name} is missing.*pulumi up -s production"):
        parse_outputs("production", json.dumps(given))


def test_a_stack_without_outputs_was_never_deployed() -> None:
    with pytest.raises(StackError, match="deploy it with 'pulumi up -s production'"):
        parse_outputs("production", "{}")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
            "that ssh takes",
        ),
        ({"private_key": key_pair("staging")[0]}, "not the private half"),
        ({"key_algorithm": "RSA"}, "key_algorithm says RSA"),
        ({"public_key": "ssh-ed25519 AAAA"}, "no public key"),
    ],
)
def test_a_key_pair_that_does_not_fit_is_refused(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        stack_keys(**changed)


def test_a_private_key_with_a_passphrase_is_of_no_use(tmp_path: Path) -> None:
    command = [
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "a passphrase",
        "-f",
        str(tmp_path / "key"),
    ]
    subprocess.run(command, check=True)
    private = (tmp_path / "key").read_text()
    public = (tmp_path / "key.pub").read_text().strip()
    with pytest.raises(StackError, match="no private key that ssh takes as it is"):
        stack_keys(private_key=private, public_key=public)


@pytest.mark.parametrize("name", ["private_key", "secret_access_key", "access_key_id"])
def test_a_refusal_does_not_quote_a_secret(name: str) -> None:
    with pytest.raises(StackError) as raised:
        stack_keys(**{name: "sEcReT\n"})
    assert "sEcReT" not in str(raised.value)


@pytest.mark.parametrize(
    ("stack", "name"),
    [
        ("production", "production"),
        ("acme/production", "production"),
        ("acme/aws-keys/a.b-c_1", "a.b-c_1"),
    ],
)
def test_the_last_part_of_a_stack_names_its_files(stack: str, name: str) -> None:
    assert short_name(stack) == name


@pytest.mark.parametrize(
    "stack",
    [
        "",
        "a/b/c/d",
        "..",
        "a/../b",
        "a..b",
        "/a",
        "a/",
        "-a",
        ".a",
        "a]",
        "a b",
        "a\n",
        "a\x1b[m",
        "é",
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(stack: str) -> None:
    with pytest.raises(StackError, match="allowed are letters") as raised:
        short_name(stack)
    assert str(raised.value).isprintable()


def test_a_secret_does_not_show_itself() -> None:
    keys = stack_keys()
    secret = Secret("sEcReT")
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>9}", repr(keys)):
        assert "sEcReT" not in text
        assert keys.secret_access_key.reveal() not in text
        assert keys.private_key.reveal() not in text
    with pytest.raises(TypeError, match="not serialized"):
        pickle.dumps(secret)


def test_a_stack_of_an_earlier_version_is_at_the_first_generation() -> None:
    keys = stack_keys()
    assert (keys.access_key_generation, keys.key_pair_generation) == (1, 1)
    assert keys.rotation_step == 0
    assert (keys.previous_access_key, keys.previous_key_pair) == (None, None)
    assert keys.with_previous_access_key == keys


def test_the_steps_that_rotations_have_taken_are_known() -> None:
    assert stack_keys(rotation_step=0).rotation_step == 0
    assert stack_keys(rotation_step=12).rotation_step == 12


def test_while_a_rotation_is_under_way_the_previous_keys_are_there() -> None:
    keys = rotating(status="Inactive")
    assert keys.previous_access_key is not None
    assert keys.previous_access_key.status == "Inactive"
    key_id, secret = access_key("previous/production")
    before = keys.with_previous_access_key
    assert (before.access_key_id.reveal(), before.secret_access_key.reveal()) == (key_id, secret)
    assert keys.previous_key_pair is not None
    assert keys.previous_key_pair.public_key == parse_public_key(key_pair("previous/production")[1])
    assert secret not in repr(keys)
    assert "PRIVATE" not in repr(keys)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"access_key_generation": 0}, "access_key_generation is not of the form.*number from 1$"),
        ({"key_pair_generation": "2"}, "key_pair_generation is not of the form"),
        ({"key_pair_generation": True}, "key_pair_generation is not of the form"),
        ({"rotation_step": -1}, "rotation_step is not of the form it must have: a number from 0$"),
        ({"rotation_step": "2"}, "rotation_step is not of the form"),
        ({"rotation_step": True}, "rotation_step is not of the form"),
        ({"rotation_step": 1.5}, "rotation_step is not of the form"),
        ({"previous_access_key": "Active"}, "previous_access_key_id is missing"),
        ({"previous_access_key": "Kept"}, "previous_access_key is not of the form.*Inactive"),
        ({"previous_private_key": "[secret]"}, "previous_private_key is masked"),
        (
            {"previous_private_key": "-----BEGIN KEY-----\nAA\n-----END KEY-----\n"},
            "previous_private_key is not of the form",
        ),
        (
            {"previous_private_key": outputs("production")["private_key"].replace("\n", "\nA", 1)},
            "previous_private_key is no private key",
        ),
    ],
)
def test_what_a_rotation_adds_is_checked_too(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        stack_keys(**changed)
