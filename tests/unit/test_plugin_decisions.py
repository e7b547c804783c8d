"""What the stand-ins decide by their tables, without an engine or an AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.plugins.aws.access_key import AccessKey, ses_smtp_password
from sandbox.plugins.aws.key_pair import KeyPair
from sandbox.plugins.aws.session import Session
from sandbox.plugins.aws.user import User
from sandbox.plugins.aws.user_policy import UserPolicy, same_policy
from sandbox.plugins.decisions import (
    DEFAULTS,
    check,
    difference,
    inputs_of,
    planned,
    unique_name,
)
from sandbox.plugins.tls.private_key import PrivateKey
from sandbox.plugins.wire import UNKNOWN, decode, encode

if TYPE_CHECKING:
    from sandbox.plugins.resource import Resource

SEED = b"seed"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
SAME_POLICY = """\
{"Statement": {"Resource": ["*"], "Action": ["*"], "Effect": "Allow"}, "Version": "2012-10-17"}"""


@pytest.fixture
def session() -> Session:
    session = Session()
    session.settings = {"region": "us-west-2", "defaultTags": {"tags": {"team": "ops"}}}
    return session


@pytest.fixture
def types(session: Session) -> dict[str, Resource]:
    return {
        "KeyPair": KeyPair(session),
        "User": User(session),
        "AccessKey": AccessKey(session),
        "UserPolicy": UserPolicy(session),
        "PrivateKey": PrivateKey(),
    }


GOOD: dict[str, dict[str, Any]] = {
    "KeyPair": {"keyName": "test", "publicKey": "ssh-ed25519 AAAA", "tags": {"a": "b"}},
    "User": {"name": "test", "path": "/", "forceDestroy": False, "tags": {"a": "b"}},
    "AccessKey": {"user": "test", "status": "Active"},
    "UserPolicy": {"name": "FullAccess", "user": "test", "policy": POLICY},
    "PrivateKey": {"algorithm": "RSA", "rsaBits": 2048, "ecdsaCurve": "P224"},
}


@pytest.mark.parametrize(
    ("type_", "change", "name", "reason"),
    [
        ("KeyPair", {"publicKey": None}, "publicKey", "is required"),
        ("KeyPair", {"keyName": "x" * 256}, "keyName", "at most 255"),
        ("KeyPair", {"tags": {"a": 1}}, "tags", "a map of strings"),
        ("KeyPair", {"tags": "a"}, "tags", "a map"),
        ("KeyPair", {"keyname": "x"}, "keyname", "not a property"),
        ("User", {"name": "with space"}, "name", "letters and digits"),
        ("User", {"name": "ü"}, "name", "letters and digits"),
        ("User", {"name": 1}, "name", "a string"),
        ("User", {"forceDestroy": "yes"}, "forceDestroy", "true or false"),
        ("AccessKey", {"status": "active"}, "status", "one of Active, Inactive"),
        ("AccessKey", {"user": None}, "user", "is required"),
        ("AccessKey", {"pgpKey": "keybase:me"}, "pgpKey", "not a property"),
        ("UserPolicy", {"policy": "{"}, "policy", "invalid JSON"),
        ("UserPolicy", {"policy": "[]"}, "policy", "not an object"),
        ("PrivateKey", {"algorithm": "DSA"}, "algorithm", "one of RSA, ECDSA, ED25519"),
        ("PrivateKey", {"ecdsaCurve": "P255"}, "ecdsaCurve", "one of P224"),
        ("PrivateKey", {"rsaBits": 512}, "rsaBits", "at least 1024"),
        ("PrivateKey", {"rsaBits": True}, "rsaBits", "a whole number"),
        ("PrivateKey", {"rsaBits": 2048.5}, "rsaBits", "a whole number"),
    ],
)
def test_a_bad_input_is_refused_by_name(
    types: dict[str, Resource], type_: str, change: dict[str, Any], name: str, reason: str
) -> None:
    _, failures = check(types[type_], "x", {}, GOOD[type_] | change, SEED)
    assert [failure.name for failure in failures] == [name]
    assert reason in failures[0].reason


@pytest.mark.parametrize("type_", GOOD)
def test_good_inputs_pass_as_they_are(types: dict[str, Resource], type_: str) -> None:
    inputs, failures = check(types[type_], "x", {}, GOOD[type_], SEED)
    assert failures == []
    assert inputs.items() >= GOOD[type_].items()
    assert inputs[DEFAULTS] == []


@pytest.mark.parametrize("type_", GOOD)
def test_what_is_not_known_yet_passes_and_counts_as_changed(
    types: dict[str, Resource], type_: str
) -> None:
    for name in GOOD[type_]:
        news = GOOD[type_] | {name: UNKNOWN}
        inputs, failures = check(types[type_], "x", {}, news, SEED)
        assert failures == []
        assert name in difference(types[type_], GOOD[type_], inputs).changed


def test_a_name_not_given_is_made_up_once(types: dict[str, Resource]) -> None:
    first, _ = check(types["User"], "me", {}, {}, SEED)
    assert first["name"] == unique_name("me", SEED)
    assert first[DEFAULTS] == ["name", "path", "forceDestroy"]
    later, _ = check(types["User"], "me", first, {}, b"another seed")
    assert later["name"] == first["name"]


def test_a_name_taken_back_is_made_up_anew(types: dict[str, Resource]) -> None:
    given, _ = check(types["User"], "me", {}, {"name": "fixed"}, SEED)
    inputs, _ = check(types["User"], "me", given, {}, SEED)
    assert inputs["name"] == unique_name("me", SEED)


def test_a_made_up_name_is_the_resources_with_seven_hexadecimal_digits() -> None:
    stem, _, suffix = unique_name("my-key", SEED).rpartition("-")
    assert stem == "my-key"
    assert len(suffix) == 7
    int(suffix, 16)


def test_tags_of_the_provider_are_on_every_resource(types: dict[str, Resource]) -> None:
    inputs, _ = check(types["User"], "me", {}, {"tags": {"a": "b"}}, SEED)
    assert inputs["tagsAll"] == {"team": "ops", "a": "b"}
    assert inputs["tags"] == {"a": "b"}
    unknown, _ = check(types["User"], "me", {}, {"tags": {"a": UNKNOWN}}, SEED)
    assert unknown["tagsAll"] == UNKNOWN


@pytest.mark.parametrize(
    ("type_", "change", "replaces"),
    [
        ("KeyPair", {"keyName": "another"}, True),
        ("KeyPair", {"publicKey": "ssh-ed25519 BBBB"}, True),
        ("KeyPair", {"region": "eu-central-1"}, True),
        ("KeyPair", {"tags": {"a": "c"}}, False),
        ("User", {"name": "another"}, False),
        ("User", {"path": "/team/"}, False),
        ("User", {"forceDestroy": True}, False),
        ("User", {"permissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}, False),
        ("AccessKey", {"user": "another"}, True),
        ("AccessKey", {"status": "Inactive"}, False),
        ("UserPolicy", {"name": "another"}, True),
        ("UserPolicy", {"user": "another"}, True),
        ("UserPolicy", {"policy": POLICY.replace("Allow", "Deny")}, False),
        ("PrivateKey", {"algorithm": "ED25519"}, True),
        ("PrivateKey", {"rsaBits": 4096}, True),
        ("PrivateKey", {"ecdsaCurve": "P256"}, True),
    ],
)
def test_what_takes_a_replacement(
    types: dict[str, Resource], type_: str, change: dict[str, Any], *, replaces: bool
) -> None:
    state, _ = check(types[type_], "x", {}, GOOD[type_], SEED)
    inputs, _ = check(types[type_], "x", {}, GOOD[type_] | change, SEED)
    found = difference(types[type_], state, inputs)
    (name,) = change
    assert name in found.changed | found.added
    assert bool(found.replaces) == replaces


@pytest.mark.parametrize("type_", GOOD)
def test_the_same_inputs_make_no_difference(types: dict[str, Resource], type_: str) -> None:
    inputs, _ = check(types[type_], "x", {}, GOOD[type_], SEED)
    assert not difference(types[type_], inputs, inputs)


def test_an_input_taken_away_is_a_difference_but_none_is_as_good_as_empty(
    types: dict[str, Resource],
) -> None:
    inputs, _ = check(types["User"], "x", {}, GOOD["User"] | {"tags": {}}, SEED)
    boundary = {"permissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    assert difference(types["User"], inputs | boundary, inputs).removed == {"permissionsBoundary"}
    assert not difference(types["User"], inputs | {"tags": None}, inputs)


def test_a_fixed_name_is_deleted_before_it_is_replaced_a_made_up_one_after(
    types: dict[str, Resource],
) -> None:
    change = {"publicKey": "ssh-ed25519 BBBB"}
    fixed, _ = check(types["KeyPair"], "x", {}, GOOD["KeyPair"], SEED)
    assert difference(types["KeyPair"], fixed, fixed | change).delete_first
    made_up, _ = check(types["KeyPair"], "x", {}, {"publicKey": "ssh-ed25519 AAAA"}, SEED)
    assert not difference(types["KeyPair"], made_up, made_up | change).delete_first
    tagged = fixed | {"tags": {"a": "c"}}
    assert not difference(types["KeyPair"], fixed, tagged).delete_first


def test_a_public_key_is_the_same_with_a_final_newline(types: dict[str, Resource]) -> None:
    inputs, _ = check(types["KeyPair"], "x", {}, GOOD["KeyPair"], SEED)
    assert not difference(types["KeyPair"], inputs, inputs | {"publicKey": "ssh-ed25519 AAAA\n"})


def test_the_same_policy_in_other_words_makes_no_difference(types: dict[str, Resource]) -> None:
    inputs, _ = check(types["UserPolicy"], "x", {}, GOOD["UserPolicy"], SEED)
    assert not difference(types["UserPolicy"], inputs, inputs | {"policy": SAME_POLICY})


@pytest.mark.parametrize(
    "other",
    [
        POLICY.replace("Allow", "Deny"),
        POLICY.replace('"Action":"*"', '"Action":["*","iam:*"]'),
        POLICY.replace("2012-10-17", "2008-10-17"),
    ],
)
def test_another_policy_is_another(other: str) -> None:
    assert not same_policy(POLICY, other)


def test_a_preview_knows_what_was_given_and_nothing_that_is_yet_to_be_made(
    types: dict[str, Resource],
) -> None:
    inputs, _ = check(types["User"], "x", {}, GOOD["User"], SEED)
    shown = planned(types["User"], inputs)
    assert shown == {
        **GOOD["User"],
        "tagsAll": {"team": "ops", "a": "b"},
        "arn": UNKNOWN,
        "uniqueId": UNKNOWN,
    }


def test_a_preview_of_an_update_keeps_what_stays(types: dict[str, Resource]) -> None:
    state = {**GOOD["AccessKey"], "createDate": "2026-01-01T00:00:00Z", "secret": "s"}
    shown = planned(types["AccessKey"], {"user": "test", "status": "Inactive"}, state)
    assert shown == state | {"status": "Inactive"}


def test_an_import_tells_the_inputs_that_are_not_defaults(types: dict[str, Resource]) -> None:
    properties = {"name": "test", "path": "/", "forceDestroy": False, "tags": None, "arn": "arn:x"}
    assert inputs_of(types["User"], properties, {}) == {"name": "test", DEFAULTS: []}


def test_a_refresh_tells_what_the_inputs_have_become(types: dict[str, Resource]) -> None:
    before = {"user": "test", "status": "Active", DEFAULTS: ["status"]}
    now = {"user": "test", "status": "Inactive", "createDate": "2026-01-01T00:00:00Z"}
    assert inputs_of(types["AccessKey"], now, before) == before | {"status": "Inactive"}


def test_the_ses_password_is_what_awss_algorithm_gives() -> None:
    expected = "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"
    assert ses_smtp_password("some+secret+key", "eu-central-1") == expected


def test_properties_come_back_from_the_wire_as_they_went() -> None:
    properties = {"a": "b", "n": 4096, "f": 0.5, "t": True, "m": {"l": [1, {"x": "y"}]}, "e": {}}
    decoded = decode(encode(properties))
    assert decoded == properties
    assert isinstance(decoded["n"], int)
    assert "nothing" not in decode(encode({"nothing": None}))


def test_a_secret_is_marked_on_the_wire_and_plain_on_return() -> None:
    message = encode({"secret": "s3cr3t", "user": "test"}, secret=("secret",))
    mark = message.fields["secret"].struct_value.fields
    assert mark["4dabf18193072939515e22adb298388d"].string_value
    assert message.fields["user"].string_value == "test"
    assert decode(message) == {"secret": "s3cr3t", "user": "test"}
