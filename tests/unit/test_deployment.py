"""What is read from the engine's state: ids and times, and never what is secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.deployment import ACCESS_KEY, KEY_PAIR, Deployment, KnownAccessKey, parse_export
from sync.engine import StackError
from sync.ssh_key import PublicKey, parse_public_key
from tests.stacks import key_pair

FIRST, SECOND = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"
MADE = datetime(2026, 11, 24, 10, 14, 35, tzinfo=UTC)
WRITTEN = datetime(2026, 11, 24, 10, 31, 54, tzinfo=UTC)
URN = "urn:pulumi:production::aws-keys"
SECRET = {  # as pulumi stack export prints one: its marker for secrets, and the ciphertext
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "v1:c0ffee==",
}


def resource(kind: str, name: str, resource_id: str, **outputs: object) -> dict[str, Any]:
    parent = {
        "aws:iam": "aws-keys:index:AccessUser",
        "aws:ec2": "aws-keys:index:SshKeyPair",
        "tls:ind": "aws-keys:index:SshKeyPair",
    }[kind[:7]]
    return {
        "urn": f"{URN}::{parent}${kind}::{name}",
        "custom": True,
        "id": resource_id,
        "type": kind,
        "inputs": {"__defaults": []},
        "outputs": outputs,
        "parent": f"{URN}::{parent}::{name}",
        "protect": True,
        "provider": f"{URN}::pulumi:providers:aws::default_7_51_1::0b6e",
        "created": "2026-11-24T10:14:36.5Z",
    }


def user(unique_id: str = "AIDAUSERUSERUSERUSER") -> dict[str, Any]:
    return resource("aws:iam/user:User", "access", "production", uniqueId=unique_id)


def access_key(name: str, key_id: str, **outputs: object) -> dict[str, Any]:
    return resource(
        "aws:iam/accessKey:AccessKey",
        name,
        key_id,
        **{
            "createDate": "2026-11-24T10:14:35Z",
            "secret": SECRET,
            "sesSmtpPasswordV4": SECRET,
            "status": "Active",
        }
        | outputs,
    )


def private_key(name: str, stack: str) -> dict[str, Any]:
    return resource(
        "tls:index/privateKey:PrivateKey",
        name,
        "5b0c",
        privateKeyOpenssh=SECRET,
        publicKeyOpenssh=f"{' '.join(key_pair(stack)[1].split()[:2])}\n",
    )


def public_key(stack: str) -> PublicKey | None:
    return parse_public_key(key_pair(stack)[1])


def manifest(time: object) -> dict[str, object]:
    return {"manifest": {"time": time}}


def pending(operation: str, kind: str) -> dict[str, Any]:
    return {"resource": {"urn": f"{URN}::{kind}::access-2", "type": kind}, "type": operation}


def export(*resources: dict[str, Any], **more: object) -> str:
    """What ``pulumi stack export`` prints for a stack with these resources."""
    deployment = {
        "manifest": {"time": "2026-11-24T10:31:54.8Z", "magic": "f034", "version": "3.259.0"},
        "secrets_providers": {"type": "passphrase", "state": {"salt": "v1:dobrOg="}},
        "resources": [
            {
                "urn": f"{URN}::pulumi:pulumi:Stack::s",
                "custom": False,
                "type": "pulumi:pulumi:Stack",
            },
            {
                "urn": f"{URN}::pulumi:providers:aws::default_7_51_1",
                "custom": True,
                "id": "0b6e",
                "type": "pulumi:providers:aws",
            },
            *resources,
        ],
        "metadata": {},
    }
    return json.dumps({"version": 3, "deployment": deployment | more}, indent=4)


def test_of_a_stack_the_user_the_keys_and_their_ages_are_known() -> None:
    deployed = parse_export(
        export(
            user(),
            private_key("ssh", "production"),
            resource(
                "aws:ec2/keyPair:KeyPair", "ssh", "production", publicKey=key_pair("production")[1]
            ),
            access_key("access", FIRST),
        )
    )
    assert deployed == Deployment(
        "AIDAUSERUSERUSERUSER",
        (KnownAccessKey(1, FIRST, MADE),),
        {1: deployed.public_keys[1]},
        (),
        is_interrupted=False,
        written=WRITTEN,
    )
    assert deployed.public_keys[1] == public_key("production")


def test_a_name_without_a_number_is_of_the_first_generation() -> None:
    deployed = parse_export(
        export(
            access_key("access", FIRST),
            access_key("access-2", SECOND),
            private_key("ssh-11", "staging"),
            private_key("ssh-12", "production"),
        )
    )
    assert [(key.generation, key.access_key_id) for key in deployed.access_keys] == [
        (1, FIRST),
        (2, SECOND),
    ]
    assert deployed.public_keys == {11: public_key("staging"), 12: public_key("production")}
    assert deployed.generations("access key") == {1, 2}
    assert deployed.generations("key pair") == {11, 12}


def test_a_key_that_is_still_to_be_deleted_is_known() -> None:
    doomed = access_key("access", FIRST) | {"delete": True}
    deployed = parse_export(export(access_key("access", SECOND), doomed))
    assert {key.access_key_id for key in deployed.access_keys} == {FIRST, SECOND}


def test_only_creations_that_were_not_heard_of_again_are_pending() -> None:
    deployed = parse_export(
        export(
            pending_operations=[
                pending("creating", ACCESS_KEY),
                pending("updating", "aws:iam/user:User"),
                pending("deleting", ACCESS_KEY),
                pending("reading", "aws:iam/user:User"),
                pending("creating", KEY_PAIR),
            ]
        )
    )
    assert deployed.pending == (ACCESS_KEY, KEY_PAIR)


@pytest.mark.parametrize("operation", ["creating", "updating", "deleting", "reading"])
def test_whatever_was_not_heard_of_again_is_an_interruption(operation: str) -> None:
    given = export(pending_operations=[pending(operation, ACCESS_KEY)])
    assert parse_export(given).is_interrupted
    assert not parse_export(export(pending_operations=[])).is_interrupted
    assert not parse_export(export(pending_operations=None)).is_interrupted


@pytest.mark.parametrize(
    "time", ["2026-11-24T10:31:54Z", "2026-11-24T10:31:54.8Z", "2026-11-24T10:31:54.123456789Z"]
)
def test_when_the_state_was_written_is_known_to_the_second(time: str) -> None:
    assert parse_export(export(**manifest(time))).written == WRITTEN


@pytest.mark.parametrize("outputs", [{}, {"createDate": ""}, {"createDate": None}])
def test_when_a_key_was_made_may_be_unknown(outputs: dict[str, object]) -> None:
    given = access_key("access", FIRST)
    given["outputs"] = outputs
    assert [key.created for key in parse_export(export(given)).access_keys] == [None]


@pytest.mark.parametrize("more", [{}, {"resources": None}, {"resources": []}])
def test_a_stack_that_was_never_deployed_knows_nothing(more: dict[str, object]) -> None:
    assert parse_export(export(**more)) == Deployment(
        None, (), {}, (), is_interrupted=False, written=WRITTEN
    )


def test_nothing_secret_is_taken_out() -> None:
    deployed = parse_export(export(access_key("access", FIRST), private_key("ssh", "production")))
    assert "c0ffee" not in repr(deployed)


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "sEcReT",
        '{"sEcReT',
        "null",
        "7",
        '["sEcReT"]',
        '{"sEcReT": 1}',
        '{"deployment": null}',
        '{"deployment": ["sEcReT"]}',
        export(resources=7),
        export(resources=["sEcReT"]),
        export(resources=[{"id": "sEcReT"}]),
        export({"type": "aws:iam/accessKey:AccessKey", "urn": "sEcReT"}),
        export({"type": "aws:iam/accessKey:AccessKey", "id": "sEcReT"}),
        export(access_key("access", FIRST, createDate="sEcReT")),
        export(access_key("access", FIRST, createDate=["sEcReT"])),
        export(access_key("access", FIRST) | {"outputs": ["sEcReT"]}),
        export(private_key("ssh", "production") | {"outputs": {"publicKeyOpenssh": SECRET}}),
        export(user() | {"outputs": None}),
        export(pending_operations=["sEcReT"]),
        export(pending_operations=[{"type": "creating"}]),
        export(manifest=None),
        export(manifest={}),
        export(**manifest("sEcReT")),
        export(**manifest(7)),
    ],
)
def test_what_is_no_state_is_refused_unseen(printed: str) -> None:
    with pytest.raises(StackError) as raised:
        parse_export(printed)
    assert str(raised.value) == "pulumi stack export did not print a stack's state"
    assert raised.value.__suppress_context__
