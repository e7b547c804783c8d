"""An SSH key pair: what is registered for it, and what it tells."""

import pulumi
import pytest

from components.limits import Algorithm
from components.rotation import Rotation
from components.ssh_key_pair import SshKeyPair, SshKeyPairArgs
from tests.unit.mocks import (
    KEY_PAIR,
    PRIVATE_KEY,
    SSH_KEY_PAIR,
    STACK,
    UNKNOWN,
    Engine,
    Secret,
    run,
)

FIRST = Rotation(1, "")


def deploy(
    algorithm: Algorithm = "ED25519",
    *,
    rotation: Rotation = FIRST,
    kept: dict[str, str] | None = None,
    opts: pulumi.ResourceOptions | None = None,
    preview: bool = False,
) -> Engine:
    args = SshKeyPairArgs(
        key_name="staging",
        algorithm=algorithm,
        rsa_bits=3072,
        tags={"team": "ops"},
        rotation=rotation,
    )
    return run(lambda: SshKeyPair("ssh", args, opts), Engine(preview=preview, kept=kept))


def test_it_is_a_private_key_and_a_key_pair_of_ec2_under_one_component() -> None:
    registered = [(each.type, each.name, each.parent_type) for each in deploy().registered]

    assert registered == [
        (SSH_KEY_PAIR, "ssh", STACK),
        (PRIVATE_KEY, "ssh", SSH_KEY_PAIR),
        (KEY_PAIR, "ssh", SSH_KEY_PAIR),
    ]


def test_an_ed25519_key_has_no_size_to_choose() -> None:
    assert deploy("ED25519").resource(PRIVATE_KEY).inputs == {"algorithm": "ED25519"}


def test_an_rsa_key_has_the_size_asked_for() -> None:
    assert deploy("RSA").resource(PRIVATE_KEY).inputs == {"algorithm": "RSA", "rsaBits": 3072}


def test_ec2_gets_name_tags_and_the_public_key_without_its_newline() -> None:
    assert deploy().resource(KEY_PAIR).inputs == {
        "keyName": "staging",
        "publicKey": "ssh-ed25519 AAAA+ssh",
        "tags": {"team": "ops"},
    }


def test_a_key_pair_is_deleted_before_another_takes_its_name() -> None:
    assert deploy().resource(KEY_PAIR).options.deleteBeforeReplace


def test_every_form_of_the_private_key_is_a_secret_of_its_resource() -> None:
    options = deploy().resource(PRIVATE_KEY).options

    assert set(options.additionalSecretOutputs) == {
        "privateKeyOpenssh",
        "privateKeyPem",
        "privateKeyPemPkcs8",
    }


@pytest.mark.parametrize(
    ("algorithm", "private_key", "size"),
    [
        ("ED25519", "OpenSSH private key of ssh\n", {}),
        ("RSA", "PEM private key of ssh\n", {"rsa_bits": 3072}),
    ],
)
def test_the_private_key_is_told_in_the_form_that_ssh_reads_and_as_a_secret(
    algorithm: Algorithm, private_key: str, size: dict[str, int]
) -> None:
    assert deploy(algorithm).outputs[SSH_KEY_PAIR] == {
        "key_name": "staging",
        "key_algorithm": algorithm,
        "public_key": "ssh-ed25519 AAAA+ssh",
        "private_key": Secret(private_key),
        **size,
    }


def test_a_private_key_is_secret_before_it_is_known() -> None:
    assert deploy(preview=True).outputs[SSH_KEY_PAIR]["private_key"] == Secret(UNKNOWN)


@pytest.mark.parametrize("protect", [True, False])
def test_protection_of_the_component_is_protection_of_all_it_holds(*, protect: bool) -> None:
    engine = deploy(opts=pulumi.ResourceOptions(protect=protect))

    assert [each.options.protect for each in engine.registered] == [protect] * 3


def test_a_key_stays_what_it_was_made_as() -> None:
    options = deploy().resource(PRIVATE_KEY).options

    assert set(options.ignoreChanges) == {"algorithm", "rsaBits"}


def test_a_later_generation_is_a_key_of_its_own() -> None:
    engine = deploy(rotation=Rotation(3, ""))

    assert engine.names(PRIVATE_KEY) == ["ssh-3"]
    assert engine.outputs[SSH_KEY_PAIR]["private_key"] == Secret("OpenSSH private key of ssh-3\n")


@pytest.mark.parametrize(("generation", "names"), [(2, ["ssh-2", "ssh"]), (3, ["ssh-3", "ssh-2"])])
def test_the_key_of_the_generation_before_is_kept_and_ec2_has_the_new_one(
    generation: int, names: list[str]
) -> None:
    engine = deploy(rotation=Rotation(generation, "Kept"))

    assert engine.names(PRIVATE_KEY) == names
    assert engine.names(KEY_PAIR) == ["ssh"]
    assert engine.resource(KEY_PAIR).inputs["publicKey"] == f"ssh-ed25519 AAAA+{names[0]}"


@pytest.mark.parametrize(
    ("algorithm", "kept", "private_key", "previous"),
    [
        ("RSA", "ED25519", "PEM private key of ssh-2\n", "OpenSSH private key of ssh\n"),
        ("ED25519", "RSA", "OpenSSH private key of ssh-2\n", "PEM private key of ssh\n"),
    ],
)
def test_each_private_key_is_told_in_the_form_of_its_own_algorithm(
    algorithm: Algorithm, kept: str, private_key: str, previous: str
) -> None:
    engine = deploy(algorithm, rotation=Rotation(2, "Kept"), kept={"ssh": kept})

    outputs = engine.outputs[SSH_KEY_PAIR]
    assert outputs["key_algorithm"] == algorithm
    assert outputs["private_key"] == Secret(private_key)
    assert outputs["previous_private_key"] == Secret(previous)
    assert ("rsa_bits" in outputs) == (algorithm == "RSA")


def test_a_key_that_is_kept_from_before_a_change_of_config_is_told_as_what_it_is() -> None:
    outputs = deploy("RSA", kept={"ssh": "ED25519"}).outputs[SSH_KEY_PAIR]

    assert outputs["key_algorithm"] == "ED25519"
    assert outputs["private_key"] == Secret("OpenSSH private key of ssh\n")
    assert "rsa_bits" not in outputs


def test_while_the_key_before_is_kept_nothing_in_it_is_protected() -> None:
    engine = deploy(rotation=Rotation(2, "Kept"), opts=pulumi.ResourceOptions(protect=True))

    assert [(each.type, each.options.protect) for each in engine.registered] == [
        (SSH_KEY_PAIR, True),
        (PRIVATE_KEY, False),
        (PRIVATE_KEY, False),
        (KEY_PAIR, False),
    ]
    assert all(each.options.HasField("protect") for each in engine.registered)


def test_after_its_rotation_the_key_is_protected_again() -> None:
    engine = deploy(rotation=Rotation(2, ""), opts=pulumi.ResourceOptions(protect=True))

    assert [each.options.protect for each in engine.registered] == [True] * 3
