"""Settings: what the config means, and what is refused before anything is made."""

import json

import pulumi
import pytest

from components.rotation import Rotation
from components.settings import KEYS, Settings
from tests.unit.mocks import declared_config, default_config

DEFAULTS = {key.removeprefix("aws-keys:"): value for key, value in default_config().items()}
DEFAULTS.pop("aws:region")


def parse(stack: str = "staging", /, **changes: str) -> Settings:
    return Settings.parse("aws-keys", stack, DEFAULTS | changes)


def refusal(stack: str = "staging", /, **changes: str) -> str:
    with pytest.raises(pulumi.RunError) as error:
        parse(stack, **changes)
    return str(error.value)


def test_every_key_is_declared_in_the_project_with_a_default_and_a_description() -> None:
    declared = declared_config()
    region = declared.pop("aws:region")

    assert region == {"value": "us-west-2"}
    assert tuple(declared) == KEYS
    assert all({"default", "description"} <= each.keys() for each in declared.values())


def test_without_config_a_stack_gives_its_name_to_everything() -> None:
    assert parse("staging") == Settings(
        key_name="staging",
        key_algorithm="ED25519",
        rsa_bits=4096,
        user_name="staging",
        policy_name="FullAccess",
        policy={
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "${user_arn}"}],
        },
        tags={"environment": "staging", "managed-by": "aws-keys"},
        protect=False,
        force_destroy=False,
        rotation_step=0,
        access_key=Rotation(1, ""),
        key_pair=Rotation(1, ""),
    )


def test_config_has_its_way() -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
    }

    assert parse(
        keyName="my key",
        keyAlgorithm="RSA",
        rsaBits="2048",
        userName="a.user+1=2,3@example_x-y",
        policyName="Nothing",
        policy=json.dumps(policy),
        tags='{"team":"Über ops"}',
        protect="true",
        forceDestroy="true",
        accessKeyGeneration="3",
        previousAccessKey="Inactive",
        keyPairGeneration="2",
        previousKeyPair="Kept",
        rotationStep="7",
    ) == Settings(
        key_name="my key",
        key_algorithm="RSA",
        rsa_bits=2048,
        user_name="a.user+1=2,3@example_x-y",
        policy_name="Nothing",
        policy=policy,
        tags={"team": "Über ops", "environment": "staging", "managed-by": "aws-keys"},
        protect=True,
        force_destroy=True,
        rotation_step=7,
        access_key=Rotation(3, "Inactive"),
        key_pair=Rotation(2, "Kept"),
    )


def test_a_refusal_names_key_value_and_what_is_allowed() -> None:
    assert refusal(keyAlgorithm="DSA") == "aws-keys:keyAlgorithm is 'DSA': must be ED25519 or RSA"


def test_a_refusal_does_not_show_a_secret_value() -> None:
    with pytest.raises(pulumi.RunError) as error:
        Settings.parse("aws-keys", "staging", {"keyName": "hünter2"}, secret={"keyName"})

    assert str(error.value).startswith("aws-keys:keyName is [secret]: must be")
    assert "hünter2" not in str(error.value)


def test_a_refusal_shortens_a_long_value() -> None:
    assert refusal(keyName="x" * 256) == (
        f"aws-keys:keyName is '{'x' * 79}...: "
        "must be 1 to 255 printable ASCII characters, no space at either end"
    )


def test_a_mistyped_key_is_refused_with_the_one_that_is_meant() -> None:
    assert refusal(rsabits="2048") == "aws-keys:rsabits: no such key; is it rsaBits?"


def test_a_key_like_no_other_is_refused_with_all_there_are() -> None:
    assert refusal(zzz="") == f"aws-keys:zzz: no such key; is it {' or '.join(KEYS)}?"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keyName", "x" * 255),
        ("userName", "x" * 64),
        ("policyName", "x" * 128),
        ("rsaBits", "3072"),
        ("keyPairGeneration", "999999999"),
        ("rotationStep", "999999999"),
        ("tags", json.dumps({"k" * 128: "v" * 256})),
        ("tags", json.dumps({"empty": ""})),
        ("tags", json.dumps({str(number): "" for number in range(48)})),
    ],
)
def test_a_value_at_the_limit_passes(key: str, value: str) -> None:
    assert parse(**{key: value})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("keyName", " padded", "no space at either end"),
        ("keyName", "padded ", "no space at either end"),
        ("keyName", "schlüssel", "printable ASCII"),
        ("keyName", "two\nlines", "printable ASCII"),
        ("keyName", "name\n", "printable ASCII"),
        ("keyAlgorithm", "ed25519", "must be ED25519 or RSA"),
        ("keyAlgorithm", "", "must be ED25519 or RSA"),
        ("rsaBits", "1024", "must be 2048 or 3072 or 4096"),
        ("rsaBits", "8192", "must be 2048 or 3072 or 4096"),
        ("rsaBits", "many", "must be 2048 or 3072 or 4096"),
        ("userName", "x" * 65, "must be 1 to 64 of"),
        ("userName", "a b", "must be 1 to 64 of"),
        ("userName", "a/b", "must be 1 to 64 of"),
        ("userName", "jürgen", "must be 1 to 64 of"),
        ("userName", "name\n", "must be 1 to 64 of"),
        ("policyName", "x" * 129, "must be 1 to 128 of"),
        ("policyName", "Full Access", "must be 1 to 128 of"),
        ("policyName", "", "must be 1 to 128 of"),
        ("policy", "no-such", "the name of a file in policies/: full-access"),
        ("policy", "../policies/full-access", "the name of a file in policies/: full-access"),
        ("policy", '{"Version":"2012-10-17 00:00:00 +0000 UTC"}', 'Version must be "2012-10-17"'),
        ("tags", "text", "must be an object"),
        ("tags", "[]", "must be an object"),
        ("tags", '{"cost":7}', "the value of 'cost' must be text"),
        ("tags", '{"":"x"}', "the key '' must be 1 to 128"),
        ("tags", json.dumps({"k" * 129: ""}), "must be 1 to 128"),
        ("tags", json.dumps({"key": "v" * 257}), "the value of 'key' must be at most 256"),
        ("tags", '{"a#b":""}', "the key 'a#b' must be"),
        ("tags", '{"a":"x#y"}', "the value of 'a' must be"),
        ("tags", '{"aws:x":""}', "must not begin with aws:"),
        ("tags", '{"AWS:x":""}', "must not begin with aws:"),
        ("tags", '{"Environment":"x"}', "the key 'Environment' is there already"),
        ("tags", '{"managed-by":"x"}', "the key 'managed-by' is there already"),
        ("tags", '{"team":"x","Team":"y"}', "the key 'Team' is there already"),
        ("tags", json.dumps({str(number): "" for number in range(49)}), "at most 48 tags"),
        ("protect", "yes", "must be true or false"),
        ("forceDestroy", "1", "must be true or false"),
        ("accessKeyGeneration", "0", "must be a whole number from 1"),
        ("accessKeyGeneration", "-1", "must be a whole number from 1"),
        ("accessKeyGeneration", "1.5", "must be a whole number from 1"),
        ("accessKeyGeneration", "", "must be a whole number from 1"),
        ("accessKeyGeneration", "1000000000", "to 999999999"),
        ("keyPairGeneration", "two", "must be a whole number from 1"),
        ("keyPairGeneration", "2\n", "must be a whole number from 1"),
        ("rotationStep", "", "must be a whole number from 0"),
        ("rotationStep", "-1", "must be a whole number from 0"),
        ("rotationStep", "01", "must be a whole number from 0"),
        ("rotationStep", "1.5", "must be a whole number from 0"),
        ("rotationStep", "1\n", "must be a whole number from 0"),
        ("rotationStep", "1000000000", "to 999999999"),
        ("previousAccessKey", "Active", "must be empty, as accessKeyGeneration is 1, the first"),
        ("previousKeyPair", "Kept", "must be empty, as keyPairGeneration is 1, the first"),
    ],
)
def test_what_aws_would_refuse_is_refused(key: str, value: str, allowed: str) -> None:
    message = refusal(**{key: value})

    assert message.startswith(f"aws-keys:{key} is ")
    assert allowed in message
    assert "\n" not in message


def test_only_a_status_that_a_previous_key_can_have_passes() -> None:
    assert refusal(accessKeyGeneration="2", previousAccessKey="Kept") == (
        "aws-keys:previousAccessKey is 'Kept': must be Active or Inactive or empty"
    )
    assert refusal(keyPairGeneration="2", previousKeyPair="Active") == (
        "aws-keys:previousKeyPair is 'Active': must be Kept or empty"
    )


def test_a_stack_whose_name_is_too_long_for_iam_needs_another_user_name() -> None:
    stack = "s" * 65

    assert refusal(stack).startswith(f"aws-keys:userName is '{stack}', the stack's name: ")
    assert parse(stack, userName="short").key_name == stack
