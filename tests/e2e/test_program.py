"""The program with the real engine: what it makes in AWS, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.world import World, sandbox
from sync.ssh_key import PublicKey, parse_public_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "123456789012"

# Every setting that shows in AWS, as somebody writes it, at something else than its default.
EVERY_SETTING = """\
  aws:region: eu-west-1
  aws-keys:keyName: ssh of asked-for
  aws-keys:keyAlgorithm: RSA
  aws-keys:rsaBits: 2048
  aws-keys:userName: deployer
  aws-keys:policyName: LookOnly
  aws-keys:policy:
    Version: "2012-10-17"
    Statement:
      - Effect: Allow
        Action: [iam:GetUser, iam:ListAccessKeys]
        Resource: ${user_arn}
  aws-keys:tags:
    team: ops
    cost center: "012"
"""

# The table of outputs; what the engine must not show is marked.
OUTPUTS = {
    "key_name": False,
    "key_algorithm": False,
    "public_key": False,
    "private_key": True,
    "key_pair_generation": False,
    "rotation_step": False,
    "user_name": False,
    "user_arn": False,
    "account_id": False,
    "region": False,
    "access_key_id": True,
    "secret_access_key": True,
    "access_key_generation": False,
    "policy_name": False,
    "policy_document": True,
}


@dataclass
class Stack:
    """A stack of these tests, and all that the engine printed about it."""

    world: World
    name: str
    said: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Path:
        return self.world.project / f"Pulumi.{self.name}.yaml"

    def configure(self, config: str, to: Path | None = None) -> None:
        """Write the stack's file: its salt, and ``config``, indented YAML."""
        (salt,) = [
            line for line in self.settings.read_text().splitlines() if line.startswith("encryption")
        ]
        (to or self.settings).write_text(f"{salt}\nconfig:\n{config}" if config else f"{salt}\n")

    def pulumi(
        self, *arguments: str, check: bool = True, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        command = ("pulumi", *arguments, "--stack", self.name)
        done = self.world.run(*command, check=False, **environ)
        self.said[f"{len(self.said)}: {' '.join(command)}"] = done.stdout + done.stderr
        if check:
            assert done.returncode == 0, done.stderr or done.stdout
        return done

    def outputs(self) -> Outputs:
        return Outputs(json.loads(self._run("stack", "output", "--json", "--show-secrets")))

    def resources(self) -> list[dict[str, Any]]:
        """What the engine's state holds, secrets decrypted."""
        state: dict[str, Any] = json.loads(self._run("stack", "export", "--show-secrets"))
        resources: list[dict[str, Any]] = state["deployment"].get("resources", [])
        return resources

    def _run(self, *arguments: str) -> str:
        """What a command prints that is asked for secrets; it is not kept."""
        return self.world.run("pulumi", *arguments, "--stack", self.name).stdout


class Outputs(dict[str, str]):
    """A stack's outputs. A failed assertion prints which there are, and no value."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


def new_stack(world: World, name: str, config: str = "") -> Stack:
    stack = Stack(world, name)
    stack.pulumi("stack", "init", "--no-select")
    stack.configure(config)
    return stack


class User(NamedTuple):
    """An IAM user as AWS tells it."""

    arn: str
    tags: dict[str, str]
    access_keys: list[str]
    policies: dict[str, Any]


class KeyPair(NamedTuple):
    """An EC2 key pair as AWS tells it."""

    identifier: str
    public_key: PublicKey | None
    tags: dict[str, str]


class Aws:
    """What AWS holds, as its administrator sees it, or whose access key is given."""

    def __init__(
        self, world: World, region: str = "us-west-2", keys: tuple[str, str] | None = None
    ) -> None:
        own = world.environment
        key, secret = keys or (own["AWS_ACCESS_KEY_ID"], own["AWS_SECRET_ACCESS_KEY"])
        session = boto3.Session(key, secret, region_name=region)
        self.iam = session.client("iam", endpoint_url=own["AWS_ENDPOINT_URL"])
        self.ec2 = session.client("ec2", endpoint_url=own["AWS_ENDPOINT_URL"])

    def user(self, name: str) -> User | None:
        try:
            user = self.iam.get_user(UserName=name)["User"]
        except self.iam.exceptions.NoSuchEntityException:
            return None
        keys = self.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
        policies = self.iam.list_user_policies(UserName=name)["PolicyNames"]
        return User(
            user["Arn"],
            {tag["Key"]: tag["Value"] for tag in user.get("Tags", [])},
            [key["AccessKeyId"] for key in keys],
            {
                policy: self.iam.get_user_policy(UserName=name, PolicyName=policy)["PolicyDocument"]
                for policy in policies
            },
        )

    def key_pair(self, name: str) -> KeyPair | None:
        for pair in self.ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]:
            if pair["KeyName"] == name:
                return KeyPair(
                    pair["KeyPairId"],
                    parse_public_key(pair["PublicKey"]),
                    {tag["Key"]: tag["Value"] for tag in pair.get("Tags", [])},
                )
        return None

    def holds(self, name: str) -> tuple[User | None, KeyPair | None]:
        return self.user(name), self.key_pair(name)


def full_access(user: str) -> dict[str, Any]:
    """The policy of the tutorial that this project automates."""
    own = {"Effect": "Allow", "Action": "*", "Resource": f"arn:aws:iam::{ACCOUNT}:user/{user}"}
    return {"Version": "2012-10-17", "Statement": [own]}


def steps(preview: str) -> dict[str, dict[str, Any]]:
    """What a preview in JSON would make, by type."""
    states = [step["newState"] for step in json.loads(preview)["steps"]]
    return {state["type"]: state for state in states}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A sandbox for these tests alone, so that no stack needs to be destroyed after them."""
    with sandbox() as it:
        yield it


@pytest.fixture(scope="module")
def first_preview(world: World) -> tuple[Stack, str]:
    """A stack with nothing set, and what the engine said before anything of it was there."""
    stack = new_stack(world, "as-it-comes")
    return stack, stack.pulumi("preview", "--json").stdout


@pytest.fixture(scope="module")
def plain(first_preview: tuple[Stack, str]) -> Stack:
    """A stack deployed with nothing set."""
    stack, _ = first_preview
    stack.pulumi("up", "--yes", "--diff")
    return stack


@pytest.fixture(scope="module")
def asked_for(world: World) -> Stack:
    """A stack deployed with everything set."""
    stack = new_stack(world, "asked-for", EVERY_SETTING)
    stack.pulumi("up", "--yes", "--skip-preview")
    return stack


@pytest.fixture(params=["plain", "asked_for"])
def either(request: pytest.FixtureRequest) -> Stack:
    """A stack with an ED25519 key, and one with an RSA key."""
    stack: Stack = request.getfixturevalue(request.param)
    return stack


# --- what is made


def test_the_first_preview_shows_the_whole_policy(first_preview: tuple[Stack, str]) -> None:
    stack, preview = first_preview
    policy = steps(preview)["aws:iam/userPolicy:UserPolicy"]["inputs"]
    assert policy["name"] == "FullAccess"
    assert policy["user"] == stack.name
    assert json.loads(policy["policy"]) == full_access(stack.name)


def test_a_stack_with_nothing_set_is_named_and_tagged_by_its_name(plain: Stack) -> None:
    aws, outputs = Aws(plain.world), plain.outputs()
    tags = {"environment": "as-it-comes", "managed-by": "aws-keys"}
    assert aws.user("as-it-comes") == User(
        f"arn:aws:iam::{ACCOUNT}:user/as-it-comes",
        tags,
        [outputs["access_key_id"]],
        {"FullAccess": full_access("as-it-comes")},
    )
    pair = aws.key_pair("as-it-comes")
    assert pair
    assert pair.tags == tags
    assert pair.public_key
    assert pair.public_key == parse_public_key(outputs["public_key"])
    assert pair.public_key.algorithm == "ED25519"


def test_every_setting_of_a_stacks_file_is_what_aws_then_holds(asked_for: Stack) -> None:
    aws, outputs = Aws(asked_for.world, "eu-west-1"), asked_for.outputs()
    tags = {
        "team": "ops",
        "cost center": "012",
        "environment": "asked-for",
        "managed-by": "aws-keys",
    }
    arn = f"arn:aws:iam::{ACCOUNT}:user/deployer"
    action = ["iam:GetUser", "iam:ListAccessKeys"]
    own = {"Effect": "Allow", "Action": action, "Resource": arn}
    assert aws.user("deployer") == User(
        arn,
        tags,
        [outputs["access_key_id"]],
        {"LookOnly": {"Version": "2012-10-17", "Statement": [own]}},
    )
    pair = aws.key_pair("ssh of asked-for")
    assert pair
    assert pair.tags == tags
    assert pair.public_key
    assert pair.public_key == parse_public_key(outputs["public_key"])
    assert pair.public_key.algorithm == "RSA"
    assert outputs["region"] == "eu-west-1"
    # Nothing where, or called as, it would be without the settings.
    assert Aws(asked_for.world).key_pair("ssh of asked-for") is None
    assert aws.holds("asked-for") == (None, None)


def test_the_outputs_are_flat_and_the_keys_are_not_shown(plain: Stack) -> None:
    shown = json.loads(plain.pulumi("stack", "output", "--json").stdout)
    public = {name: text for name, text in shown.items() if text != "[secret]"}
    assert {name: name not in public for name in shown} == OUTPUTS
    assert re.fullmatch(r"ssh-ed25519 [A-Za-z0-9+/]+=*", public.pop("public_key"))
    assert public == {
        "key_name": "as-it-comes",
        "key_algorithm": "ED25519",
        "key_pair_generation": 1,
        "rotation_step": 0,
        "user_name": "as-it-comes",
        "user_arn": f"arn:aws:iam::{ACCOUNT}:user/as-it-comes",
        "account_id": ACCOUNT,
        "region": "us-west-2",
        "access_key_generation": 1,
        "policy_name": "FullAccess",
    }
    outputs = plain.outputs()
    assert outputs.keys() == OUTPUTS.keys()
    assert all(isinstance(value, str | int) for value in outputs.values())
    assert json.loads(outputs["policy_document"]) == full_access("as-it-comes")


def test_the_access_key_is_the_users(either: Stack) -> None:
    outputs = either.outputs()
    keys = outputs["access_key_id"], outputs["secret_access_key"]
    own = Aws(either.world, keys=keys).iam.get_user()["User"]
    assert own["Arn"] == outputs["user_arn"]


def test_the_private_key_is_that_of_the_key_pair_in_ec2(either: Stack, tmp_path: Path) -> None:
    outputs = either.outputs()
    key = tmp_path / "key.pem"
    key.touch(0o600)
    key.write_text(outputs["private_key"])
    command = ["ssh-keygen", "-y", "-P", "", "-f", str(key)]
    derived = subprocess.run(command, capture_output=True, text=True, check=False)
    assert derived.returncode == 0, derived.stderr
    pair = Aws(either.world, outputs["region"]).key_pair(outputs["key_name"])
    assert pair
    assert parse_public_key(derived.stdout) == pair.public_key is not None


# --- run again


def test_a_second_up_changes_nothing(either: Stack) -> None:
    either.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_refresh_shows_no_difference(either: Stack) -> None:
    either.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--diff")


# --- secrets

# Marked secret as outputs only. AWS and the engine's state hold both in the clear, as the access
# key's resource id and as the policy.
NOT_HIDDEN = {"access_key_id", "policy_document"}
SECRETS = {
    "privateKeyOpenssh",
    "privateKeyPem",
    "privateKeyPemPkcs8",
    "secret",
    "sesSmtpPasswordV4",
    "private_key",
    "secret_access_key",
}
_ENGINES_MARK = "4dabf18193072939515e22adb298388d"


def secrets_in(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """All that the engine marks as secret in its state, as property and text."""
    if isinstance(value, dict) and _ENGINES_MARK in value:
        yield name, json.loads(value["plaintext"])
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from secrets_in(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from secrets_in(each, name)


def slices(key: str, public: str = "") -> list[bytes]:
    """What to search for: a key's lines one by one, since newlines may be written as anything.

    Lines that are in ``public`` are left out: an RSA key's modulus stands in its private half too.
    """
    return [
        line.encode()
        for line in key.splitlines()
        if len(line) >= 32 and not line.startswith("-----") and line not in public
    ]


def holders(needles: list[bytes], texts: dict[str, bytes]) -> list[str]:
    return [where for where, text in texts.items() if any(each in text for each in needles)]


def test_no_secret_is_in_any_file_or_anything_the_engine_prints(
    either: Stack, tmp_path: Path
) -> None:
    # The engine has more to show of a key that goes: here all are to be replaced.
    other = tmp_path / "other.yaml"
    either.configure(
        f"  aws-keys:keyAlgorithm: {either.outputs()['key_algorithm']}\n"
        "  aws-keys:rsaBits: 2048\n"
        "  aws-keys:userName: x\n",
        to=other,
    )
    for command in (
        ("preview", "--diff", "--config-file", str(other), "--replace", "**:PrivateKey::ssh"),
        ("refresh", "--yes", "--skip-preview", "--diff"),
        ("stack", "output"),
        ("stack", "export"),
    ):
        either.pulumi(*command)
    for type_ in ("aws:iam/accessKey:AccessKey", "tls:index/privateKey:PrivateKey"):
        assert [each for each in either.said.values() if f"+-{type_}: (replace)" in each]

    resources = either.resources()
    (private_key,) = (
        each for each in resources if each["type"] == "tls:index/privateKey:PrivateKey"
    )
    public = [private_key["outputs"][name] for name in ("publicKeyPem", "publicKeyOpenssh")]
    needles = {
        (name, number): slices(text, "".join(public))
        for number, (name, text) in enumerate(secrets_in(resources))
        if name not in NOT_HIDDEN
    }
    assert {name for name, _ in needles} == SECRETS
    for name in ("PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY"):
        needles[name, 0] = slices(either.world.environment[name])
    assert not [name for (name, _), lines in needles.items() if not lines]

    root = either.world.root
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    said = {command: text.encode() for command, text in either.said.items()}
    # The search finds what is there: the public half, in each place where the engine keeps state.
    found = holders(slices(public[0]), files | said)
    for place in ("stacks", "history", "backups"):
        assert any(where.startswith(f"state/.pulumi/{place}/") for where in found)
    assert any(" stack export " in where for where in found)
    assert any(where.startswith("pulumi/") for where in files)

    assert not [
        (name, where)
        for (name, _), lines in needles.items()
        for where in holders(lines, files | said)
    ]


# --- protection and the end


def test_destroy_deletes_nothing_while_protected_and_everything_after(world: World) -> None:
    name, aws = "protected", Aws(world)
    stack = new_stack(world, name, "  aws-keys:protect: true\n")
    stack.pulumi("up", "--yes", "--skip-preview")
    before = aws.holds(name)
    assert all(before)
    refused = stack.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert refused.returncode != 0
    assert "because it is protected" in refused.stdout + refused.stderr
    assert aws.holds(name) == before
    # Destroy happens to stop before the user and the private key.
    protected = sorted(each["type"] for each in stack.resources() if each.get("protect"))
    assert protected == [
        "aws-keys:index:AccessUser",
        "aws-keys:index:SshKeyPair",
        "aws:ec2/keyPair:KeyPair",
        "aws:iam/accessKey:AccessKey",
        "aws:iam/user:User",
        "aws:iam/userPolicy:UserPolicy",
        "tls:index/privateKey:PrivateKey",
    ]

    stack.pulumi("config", "set", "protect", "false")
    stack.pulumi("up", "--yes", "--skip-preview")
    assert aws.holds(name) == before
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert aws.holds(name) == (None, None)
    assert not [each["type"] for each in stack.resources()]


# --- other names


class Moment(NamedTuple):
    """A stack's outputs, and what AWS held at that time by its old name and by its new one."""

    outputs: Outputs
    old: tuple[User | None, KeyPair | None]
    new: tuple[User | None, KeyPair | None]


@pytest.fixture(scope="module")
def renamed(world: World) -> list[Moment]:
    """A stack as it was, with another user's name, and then with another key pair's name too."""
    aws = Aws(world)
    moments, config = [], ""
    stack = new_stack(world, "old-name")
    for setting in ("", "  aws-keys:userName: new-name\n", "  aws-keys:keyName: new-name\n"):
        config += setting
        stack.configure(config)
        stack.pulumi("up", "--yes", "--skip-preview")
        moments.append(Moment(stack.outputs(), aws.holds("old-name"), aws.holds("new-name")))
    return moments


def test_another_user_name_takes_another_user_with_another_key(
    world: World, renamed: list[Moment]
) -> None:
    first, second, _ = renamed
    assert second.old == (None, first.old[1])
    user, _ = second.new
    assert user
    assert user.policies == {"FullAccess": full_access("new-name")}
    assert user.access_keys == [second.outputs["access_key_id"]]
    assert first.old[0]
    assert user.access_keys != first.old[0].access_keys
    keys = second.outputs["access_key_id"], second.outputs["secret_access_key"]
    assert Aws(world, keys=keys).iam.get_user()["User"]["UserName"] == "new-name"
    gone = first.outputs["access_key_id"], first.outputs["secret_access_key"]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        Aws(world, keys=gone).iam.get_user()


def test_another_key_name_takes_another_key_pair_and_leaves_the_user(
    renamed: list[Moment],
) -> None:
    _, second, third = renamed
    assert third.old == (None, None)
    user, pair = third.new
    assert user == second.new[0]
    assert pair
    assert second.old[1]
    assert pair.public_key == second.old[1].public_key
    assert third.outputs["key_name"] == "new-name"


# --- what is refused


@pytest.fixture(scope="module")
def refusing(world: World) -> Stack:
    """A stack that is never deployed."""
    return new_stack(world, "refusing")


def refusals(stack: Stack, config: str, **environ: str) -> list[str]:
    """What the engine says to this config. It must not get as far as a resource."""
    stack.configure(config)
    done = stack.pulumi("preview", "--json", check=False, **environ)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    if not done.stdout:  # the engine's own check, before the program
        return done.stderr.splitlines()
    assert steps(done.stdout).keys() == {"pulumi:pulumi:Stack"}
    messages = [each["message"] for each in json.loads(done.stdout)["diagnostics"]]
    # The engine, or its Python host, adds that to whatever a program ends with.
    return [text for text in messages if "an unhandled error occurred" not in text]


WRONG = {
    "keyname: x": "keyname: no such key; is it keyName?",
    "keyAlgorithm: DSA": "keyAlgorithm is 'DSA': must be ED25519 or RSA",
    "rsaBits: 1024": "rsaBits is '1024': must be 2048 or 3072 or 4096",
    "policy: everything": (
        "policy is 'everything': must be a policy document, or the name of a file in policies/: "
        "full-access"
    ),
    "policy: '{Version: 1}'": (
        "policy is '{Version: 1}': not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    ),
    "policy: {Version: 2012-10-17, Statement: []}": (
        """policy is '{"Statement":[],"Version":"2012-10-17 00:00:00 +0000 UTC"}': """
        'Version must be "2012-10-17", in quotes where the document is YAML'
    ),
    "userName: Jane Doe": "userName is 'Jane Doe': must be 1 to 64 of A-Z a-z 0-9 _ + = , . @ -",
    f"policyName: {'x' * 129}": (
        f"policyName is '{'x' * 79}...: must be 1 to 128 of A-Z a-z 0-9 _ + = , . @ -"
    ),
    "keyName: ' ssh'": (
        "keyName is ' ssh': must be 1 to 255 printable ASCII characters, no space at either end"
    ),
    "accessKeyGeneration: 0": (
        "accessKeyGeneration is '0': must be a whole number from 1 to 999999999"
    ),
    "previousKeyPair: Kept": (
        "previousKeyPair is 'Kept': must be empty, as keyPairGeneration is 1, the first"
    ),
    "tags: {team: 7}": (
        """tags is '{"team":7}': the value of 'team' must be text: a number or boolean """
        "needs quotes"
    ),
}


@pytest.mark.parametrize(
    ("config", "line"), WRONG.items(), ids=[config.partition(":")[0] for config in WRONG]
)
def test_a_wrong_setting_is_one_line_and_nothing_is_registered(
    refusing: Stack, config: str, line: str
) -> None:
    assert refusals(refusing, f"  aws-keys:{config}\n") == [f"error: aws-keys:{line}\n"]


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("rsaBits", "many", "integer"),
        ("tags", "ops", "object"),
        ("protect", "yes", "boolean"),
        ("forceDestroy", "1", "boolean"),
        ("accessKeyGeneration", "two", "integer"),
    ],
)
def test_a_setting_of_another_type_is_one_line_of_the_engines(
    refusing: Stack, key: str, value: str, kind: str
) -> None:
    (said,) = refusals(refusing, f"  aws-keys:{key}: {value}\n")
    assert said.endswith(f"configuration key '{key}' must be of type '{kind}'")


def test_a_policy_file_that_is_not_json_is_named(refusing: Stack) -> None:
    broken = refusing.world.project / "policies" / "broken.json"
    broken.write_text("{")
    try:
        (said,) = refusals(refusing, "  aws-keys:policy: broken\n")
    finally:
        broken.unlink()
    assert said.startswith("error: aws-keys:policy is 'broken': policies/broken.json: not JSON: ")
    assert len(said.splitlines()) == 1


def test_the_account_of_somebody_else_is_refused(refusing: Stack) -> None:
    (said,) = refusals(refusing, '  aws:allowedAccountIds: ["210987654321"]\n')
    assert said.startswith("error: the AWS provider cannot be used: ")
    assert ACCOUNT in said
    assert len(said.splitlines()) == 1


def test_credentials_that_aws_refuses_are_one_line(refusing: Stack) -> None:
    (said,) = refusals(refusing, "", AWS_SECRET_ACCESS_KEY="wrong")
    assert said.startswith("error: the AWS provider cannot be used: ")
    assert "SignatureDoesNotMatch" in said
    assert len(said.splitlines()) == 1
