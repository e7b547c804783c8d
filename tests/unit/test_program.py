"""The whole program, from the stack's config to its outputs."""

import json
import runpy
import signal
import time
from collections.abc import Iterator
from typing import Any, Protocol
from unittest.mock import Mock

import pulumi
import pulumi_aws
import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from sync.stack import COUNTS, OUTPUTS_OF_A_ROTATION, USED_OUTPUTS
from tests.unit.mocks import (
    ACCESS_KEY,
    ACCESS_USER,
    ACCOUNT_ID,
    DIRECTORY,
    KEY_PAIR,
    PRIVATE_KEY,
    SSH_KEY_PAIR,
    STACK,
    USER,
    USER_POLICY,
    Engine,
    Secret,
    default_config,
    run,
)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Keep what the program does with signals out of the tests' own process."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


# As a stack's file says it in the middle of both rotations.
ROTATING: dict[str, Any] = {
    "keyAlgorithm": "RSA",
    "accessKeyGeneration": "3",
    "previousAccessKey": "Inactive",
    "keyPairGeneration": "2",
    "previousKeyPair": "Kept",
    "rotationStep": "4",
}


class Deploy(Protocol):
    def __call__(
        self, engine: Engine | None = None, /, *, secret: tuple[str, ...] = (), **config: str
    ) -> Engine: ...


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Run the program with this config beside the defaults."""

    def deploy(
        engine: Engine | None = None, /, *, secret: tuple[str, ...] = (), **config: str
    ) -> Engine:
        values = default_config() | {f"aws-keys:{key}": value for key, value in config.items()}
        monkeypatch.setenv("PULUMI_CONFIG", json.dumps(values))
        monkeypatch.setenv(
            "PULUMI_CONFIG_SECRET_KEYS", json.dumps([f"aws-keys:{key}" for key in secret])
        )
        return run(lambda: runpy.run_path(str(DIRECTORY / "__main__.py")), engine or Engine())

    return deploy


def test_a_stack_is_a_key_pair_and_a_user(deploy: Deploy) -> None:
    assert {(each.type, each.parent_type) for each in deploy().registered} == {
        (SSH_KEY_PAIR, STACK),
        (PRIVATE_KEY, SSH_KEY_PAIR),
        (KEY_PAIR, SSH_KEY_PAIR),
        (ACCESS_USER, STACK),
        (USER, ACCESS_USER),
        (ACCESS_KEY, ACCESS_USER),
        (USER_POLICY, ACCESS_USER),
    }


def test_its_outputs_are_flat_and_its_keys_secret(deploy: Deploy) -> None:
    arn = f"arn:aws-cn:iam::{ACCOUNT_ID}:user/staging"

    assert deploy().outputs[STACK] == {
        "rotation_step": 0,
        "key_name": "staging",
        "key_algorithm": "ED25519",
        "public_key": "ssh-ed25519 AAAA+ssh",
        "private_key": Secret("OpenSSH private key of ssh\n"),
        "key_pair_generation": 1,
        "user_name": "staging",
        "user_arn": "arn as AWS tells it",
        "account_id": ACCOUNT_ID,
        "region": "us-west-2",
        "access_key_id": Secret("id of access"),
        "secret_access_key": Secret("secret of access"),
        "access_key_generation": 1,
        "policy_name": "FullAccess",
        "policy_document": Secret(
            '{"Version":"2012-10-17",'
            f'"Statement":[{{"Effect":"Allow","Action":"*","Resource":"{arn}"}}]}}'
        ),
    }


def test_while_keys_are_rotated_the_outputs_have_those_before_too(deploy: Deploy) -> None:
    plain = deploy().outputs[STACK]
    outputs = deploy(**ROTATING).outputs[STACK]

    assert {name: value for name, value in outputs.items() if value != plain.get(name)} == {
        "rotation_step": 4,
        "key_algorithm": "RSA",
        "rsa_bits": 4096,
        "public_key": "ssh-ed25519 AAAA+ssh-2",
        "private_key": Secret("PEM private key of ssh-2\n"),
        "key_pair_generation": 2,
        "previous_private_key": Secret("PEM private key of ssh\n"),
        "access_key_id": Secret("id of access-3"),
        "secret_access_key": Secret("secret of access-3"),
        "access_key_generation": 3,
        "previous_access_key": "Inactive",
        "previous_access_key_id": Secret("id of access-2"),
        "previous_secret_access_key": Secret("secret of access-2"),
    }
    assert plain.keys() < outputs.keys()


def test_sync_finds_every_output_that_it_reads_and_its_secrets_secret(deploy: Deploy) -> None:
    outputs = deploy().outputs[STACK]

    assert USED_OUTPUTS.keys() <= outputs.keys()
    assert {name: form.is_secret for name, form in USED_OUTPUTS.items()} == {
        name: isinstance(outputs[name], Secret) for name in USED_OUTPUTS
    }


def test_sync_finds_what_a_rotation_adds_and_its_secrets_secret(deploy: Deploy) -> None:
    outputs = deploy(
        accessKeyGeneration="2",
        previousAccessKey="Active",
        keyPairGeneration="2",
        previousKeyPair="Kept",
    ).outputs[STACK]

    assert {*OUTPUTS_OF_A_ROTATION, *COUNTS} <= outputs.keys()
    assert {name: form.is_secret for name, form in OUTPUTS_OF_A_ROTATION.items()} == {
        name: isinstance(outputs[name], Secret) for name in OUTPUTS_OF_A_ROTATION
    }


def test_every_setting_reaches_its_resource(deploy: Deploy) -> None:
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
    engine = deploy(
        keyName="ssh-key",
        keyAlgorithm="RSA",
        rsaBits="2048",
        userName="deployer",
        policyName="Nothing",
        policy=policy,
        tags='{"team":"ops"}',
        forceDestroy="true",
    )
    tags = {"team": "ops", "environment": "staging", "managed-by": "aws-keys"}

    assert engine.resource(PRIVATE_KEY).inputs == {"algorithm": "RSA", "rsaBits": 2048}
    assert engine.resource(KEY_PAIR).inputs["keyName"] == "ssh-key"
    assert engine.resource(KEY_PAIR).inputs["tags"] == tags
    assert engine.resource(USER).inputs == {
        "name": "deployer",
        "path": "/",
        "forceDestroy": True,
        "tags": tags,
    }
    assert engine.resource(USER_POLICY).inputs == {
        "name": "Nothing",
        "user": "deployer",
        "policy": policy,
    }


@pytest.fixture(autouse=True)
def _nothing_to_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_KEYS_UNDO", raising=False)


@pytest.mark.parametrize("protect", [True, False])
def test_protection_reaches_every_resource(deploy: Deploy, *, protect: bool) -> None:
    engine = deploy(protect=json.dumps(protect))

    assert {each.options.protect for each in engine.registered} == {protect}


def test_a_wrong_setting_stops_the_program_before_it_registers_anything(deploy: Deploy) -> None:
    engine = Engine()

    with pytest.raises(pulumi.RunError, match=r"^aws-keys:keyAlgorithm is 'DSA': "):
        deploy(engine, keyAlgorithm="DSA")

    assert engine.registered == []


def test_a_config_that_is_behind_what_is_deployed_stops_the_program_before_it_registers_anything(
    deploy: Deploy,
) -> None:
    engine = Engine(deployed={"key_algorithm": "ED25519", "access_key_generation": 2})

    with pytest.raises(pulumi.RunError, match=r"^aws-keys:accessKeyGeneration is 1 .* older"):
        deploy(engine)

    assert engine.registered == []


def test_a_config_of_the_time_before_an_undo_stops_the_program_before_it_registers_anything(
    deploy: Deploy,
) -> None:
    """It says the next generation, which would be a step onward."""
    undone = {"key_algorithm": "ED25519", "access_key_generation": 1, "rotation_step": 2}
    engine = Engine(deployed=undone)

    with pytest.raises(
        pulumi.RunError,
        match=r"^aws-keys:rotationStep is 1: older than the deployed 2: pull Pulumi\.staging\.",
    ):
        deploy(engine, accessKeyGeneration="2", previousAccessKey="Active", rotationStep="1")

    assert engine.registered == []


def test_what_one_update_leaves_the_next_takes_as_deployed(deploy: Deploy) -> None:
    def shown(outputs: dict[str, Any]) -> dict[str, Any]:
        """As the engine hands them on; the SDK takes the marks of secrets off."""
        return {
            name: value.value if isinstance(value, Secret) else value
            for name, value in outputs.items()
        }

    deployed = shown(deploy(**ROTATING).outputs[STACK])
    finished = ROTATING | {"previousAccessKey": "", "previousKeyPair": "", "rotationStep": "6"}

    assert deploy(Engine(deployed=deployed), **ROTATING).registered
    assert deploy(Engine(deployed=deployed), **finished).registered
    assert deploy(Engine(deployed=shown(deploy(**finished).outputs[STACK])), **finished).registered
    with pytest.raises(pulumi.RunError, match=r"^aws-keys:rotationStep is 3: older than the dep"):
        deploy(Engine(deployed=deployed), **finished | {"rotationStep": "3"})
    with pytest.raises(pulumi.RunError, match="older than the deployed 3 and 'Inactive'"):
        deploy(Engine(deployed=deployed), **ROTATING | {"previousAccessKey": "Active"})
    with pytest.raises(pulumi.RunError, match=r"keyPairGeneration is 1 .* older than the deployed"):
        deploy(Engine(deployed=deployed), **finished | {"keyPairGeneration": "1"})
    with pytest.raises(pulumi.RunError, match="rsaBits is '2048': the deployed key has 4096"):
        deploy(Engine(deployed=deployed), **ROTATING | {"rsaBits": "2048"})


def test_a_step_is_undone_when_the_environment_says_so(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = {
        "key_algorithm": "ED25519",
        "access_key_generation": 2,
        "previous_access_key": "Active",
    }
    with pytest.raises(pulumi.RunError, match="older"):
        deploy(Engine(deployed=deployed))

    monkeypatch.setenv("AWS_KEYS_UNDO", "accessKeyGeneration:2")

    assert deploy(Engine(deployed=deployed)).names(ACCESS_KEY) == ["access"]


WHY = "invoke of pulumi:pulumi:readStackOutputs failed: invocation of it returned an error: why"


def test_an_engine_that_cannot_tell_what_is_deployed_stops_the_program(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, sleep = Engine(), Mock()
    monkeypatch.setattr(pulumi.runtime, "invoke", Mock(side_effect=Exception(WHY)))
    monkeypatch.setattr(time, "sleep", sleep)

    with pytest.raises(pulumi.RunError, match=r"^cannot tell what is deployed: why$"):
        deploy(engine)

    assert engine.registered == []
    assert 1 < sum(call.args[0] for call in sleep.mock_calls) < 2, (
        "no long wait for a lasting fault"
    )


def test_what_the_engine_is_writing_at_the_moment_is_read_again(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Mock(value={"outputs": {"key_algorithm": "ED25519", "access_key_generation": 2}})
    monkeypatch.setattr(
        pulumi.runtime, "invoke", Mock(side_effect=[Exception(WHY), Exception(WHY), answer])
    )
    monkeypatch.setattr(time, "sleep", Mock())

    with pytest.raises(pulumi.RunError, match="older than the deployed 2"):
        deploy()


def test_without_credentials_the_program_stops_before_it_registers_anything(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine()
    monkeypatch.setattr(pulumi_aws, "get_caller_identity", Mock(side_effect=Exception("what")))

    with pytest.raises(pulumi.RunError, match=r"^the AWS provider cannot be used: what$"):
        deploy(engine)

    assert engine.registered == []


def test_a_mistyped_key_stops_the_program(deploy: Deploy) -> None:
    with pytest.raises(pulumi.RunError, match=r"^aws-keys:keyname: no such key; is it keyName"):
        deploy(keyname="ssh-key")


def test_a_setting_that_is_secret_is_not_shown(deploy: Deploy) -> None:
    with pytest.raises(pulumi.RunError, match=r"^aws-keys:userName is \[secret\]: "):
        deploy(userName="not for all", secret=("userName",))


def test_only_production_is_protected() -> None:
    files = DIRECTORY.glob("Pulumi.*.yaml")

    assert {path.name: yaml.safe_load(path.read_text())["config"] for path in files} == {
        "Pulumi.production.yaml": {"aws-keys:protect": "true"},
        "Pulumi.staging.yaml": {"aws-keys:protect": "false"},
        "Pulumi.development.yaml": {"aws-keys:protect": "false"},
        "Pulumi.test.yaml": {"aws-keys:protect": "false"},
    }


def test_an_interruption_by_the_engine_leaves_no_traceback(deploy: Deploy) -> None:
    deploy()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
