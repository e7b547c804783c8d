"""An SSH key pair: what is registered for it, and what it tells."""

import pulumi
import pytest

from components.limits import Algorithm
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


def deploy(
    algorithm: Algorithm = "ED25519",
    *,
    opts: pulumi.ResourceOptions | None = None,
    preview: bool = False,
) -> Engine:
    args = SshKeyPairArgs(
        key_name="staging", algorithm=algorithm, rsa_bits=3072, tags={"team": "ops"}
    )
    return run(lambda: SshKeyPair("ssh", args, opts), Engine(preview=preview))


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
        "publicKey": "ssh-ed25519 AAAAC3Nz",
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
    ("algorithm", "private_key"),
    [("ED25519", "an OpenSSH private key\n"), ("RSA", "a PEM private key\n")],
)
def test_the_private_key_is_told_in_the_form_that_ssh_reads_and_as_a_secret(
    algorithm: Algorithm, private_key: str
) -> None:
    assert deploy(algorithm).outputs[SSH_KEY_PAIR] == {
        "key_name": "staging",
        "key_algorithm": algorithm,
        "public_key": "ssh-ed25519 AAAAC3Nz",
        "private_key": Secret(private_key),
    }


def test_a_private_key_is_secret_before_it_is_known() -> None:
    assert deploy(preview=True).outputs[SSH_KEY_PAIR]["private_key"] == Secret(UNKNOWN)


@pytest.mark.parametrize("protect", [True, False])
def test_protection_of_the_component_is_protection_of_all_it_holds(*, protect: bool) -> None:
    engine = deploy(opts=pulumi.ResourceOptions(protect=protect))

    assert [each.options.protect for each in engine.registered] == [protect] * 3
