"""What the stand-ins promise, asked by the real engine: they behave as the real plugins do."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.caller import Caller, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.world import World

PROGRAM = """\
import json

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

want = json.loads(pulumi.Config().get("want") or "{}")


def arguments(name, **defaults):
    return defaults | want.get(name, {})


def options(name):
    return pulumi.ResourceOptions(**want.get(name + "-options", {}))


pair = tls.PrivateKey("pair", **arguments("pair", algorithm="ED25519"))
key = aws.ec2.KeyPair(
    "key",
    **arguments("key", public_key=pair.public_key_openssh.apply(str.strip)),
    opts=options("key"),
)
user = aws.iam.User("user", **arguments("user"), opts=options("user"))
access = aws.iam.AccessKey("access", **arguments("access", user=user.name))
statement = {"Effect": "Deny", "Action": "*", "Resource": "*"}
document = {"Version": "2012-10-17", "Statement": statement}
policy = aws.iam.UserPolicy(
    "policy", **arguments("policy", user=user.name, policy=json.dumps(document))
)

for resource in (pair, key, user, access, policy):
    name = resource.pulumi_resource_name
    for output in ("id", *want.get("show", {}).get(name, ())):
        pulumi.export(f"{name}.{output}", getattr(resource, output))
it = aws.get_partition()
pulumi.export("partition", [it.partition, it.dns_suffix, it.reverse_dns_prefix])
pulumi.export("account", aws.get_caller_identity().account_id)
"""

SHOW = {
    "pair": ["private_key_pem", "private_key_openssh", "private_key_pem_pkcs8", "rsa_bits"],
    "key": ["arn", "fingerprint", "key_name", "key_pair_id", "key_type", "region", "tags_all"],
    "user": ["arn", "name", "path", "unique_id", "force_destroy", "tags", "tags_all"],
    "access": ["create_date", "secret", "ses_smtp_password_v4", "status", "user"],
    "policy": ["name", "policy", "user"],
}


@dataclass(frozen=True)
class Stack:
    """A stack of a program with every resource type, and what it wants of each."""

    world: World
    name: str

    def pulumi(self, command: str, *arguments: str, succeeds: bool = True) -> str:
        words = (*command.split(), *arguments, "--stack", self.name)
        ran = self.world.run("pulumi", *words, check=False)
        said = ran.stdout + ran.stderr
        assert (ran.returncode == 0) == succeeds, said
        return said

    def want(self, **wanted: dict[str, Any]) -> None:
        self.pulumi("config set want", json.dumps(wanted))

    def up(self, **wanted: dict[str, Any]) -> None:
        self.want(**wanted)
        self.pulumi("up --yes --skip-preview")

    def plan(self, **wanted: dict[str, Any]) -> dict[str, str]:
        """What a preview would do with each resource that does not stay the same."""
        self.want(**wanted)
        ran = self.world.run("pulumi", "preview", "--json", "--stack", self.name)
        return {
            step["urn"].rpartition("::")[2]: step["op"]
            for step in json.loads(ran.stdout)["steps"]
            if step["op"] != "same" and "pulumi:pulumi:Stack" not in step["urn"]
        }

    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self.pulumi("stack output --json --show-secrets"))
        return outputs


@pytest.fixture(scope="module")
def project(world: World) -> World:
    """The sandbox, with the program above as the project."""
    folder = world.root / "plugins"
    folder.mkdir()
    (folder / ".venv").symlink_to(world.project / ".venv")
    (folder / "Pulumi.yaml").write_text("name: plugins\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    return replace(world, project=folder)


def new_stack(project: World, name: str) -> Stack:
    stack = Stack(project, name)
    project.run("pulumi", "stack", "init", name, "--no-select")
    stack.pulumi("config set aws:region us-west-2")
    return stack


@pytest.fixture
def stack(project: World, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack of this test's own, not deployed yet."""
    stack = new_stack(project, request.node.name)
    yield stack
    stack.pulumi("destroy --yes --skip-preview")


DEPLOYED: dict[str, dict[str, Any]] = {
    "user": {"name": "me", "path": "/team/", "tags": {"a": "b"}},
    "key": {"key_name": "mine", "tags": {"a": "b"}},
    "pair": {"algorithm": "RSA", "rsa_bits": 2048},
    "show": SHOW,
}


@pytest.fixture(scope="module")
def deployed(project: World) -> Stack:
    """A stack that is deployed. Whoever changes its settings previews only."""
    stack = new_stack(project, "deployed")
    stack.up(**DEPLOYED)
    return stack


@pytest.fixture
def administrator(world: World) -> Caller:
    return Caller.administrator(world)


def test_a_preview_knows_what_is_given_and_not_what_is_yet_to_be(stack: Stack) -> None:
    stack.want(**DEPLOYED)
    said = re.sub(r" +", " ", stack.pulumi("preview --diff"))
    for line in (
        'key.key_name : "mine"',
        'user.path : "/team/"',
        'access.user : "me"',
        "pair.rsa_bits : 2048",
        "key.arn : [unknown]",
        "user.unique_id : [unknown]",
        "access.id : [unknown]",
        "access.secret : [secret]",
        "pair.private_key_openssh : [secret]",
    ):
        assert line in said


def test_what_was_made_stays_as_it_is(deployed: Stack) -> None:
    deployed.want(**DEPLOYED)
    deployed.pulumi("up --yes --skip-preview --expect-no-changes")
    deployed.pulumi("refresh --yes --skip-preview --expect-no-changes")


def test_outputs_are_those_of_the_real_plugins(deployed: Stack, administrator: Caller) -> None:
    found = deployed.outputs()
    (pair,) = administrator.ec2.describe_key_pairs(KeyNames=["mine"])["KeyPairs"]
    user = administrator.iam.get_user(UserName="me")["User"]
    assert found["key.id"] == found["key.key_name"] == "mine"
    assert found["key.arn"] == "arn:aws:ec2:us-west-2:123456789012:key-pair/mine"
    assert found["key.fingerprint"] == pair["KeyFingerprint"]
    assert found["key.key_pair_id"] == pair["KeyPairId"]
    assert (found["key.key_type"], found["key.region"]) == ("rsa", "us-west-2")
    assert found["user.id"] == found["user.name"] == found["access.user"] == "me"
    assert found["user.arn"] == user["Arn"] == "arn:aws:iam::123456789012:user/team/me"
    assert found["user.unique_id"] == user["UserId"]
    assert found["user.tags"] == found["user.tags_all"] == {"a": "b"}
    assert found["user.force_destroy"] is False
    assert re.fullmatch(r"AKIA[A-Z0-9]{16}", found["access.id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["access.create_date"])
    assert found["access.status"] == "Active"
    assert len(base64.b64decode(found["access.ses_smtp_password_v4"])) == 33
    assert found["policy.id"] == f"me:{found['policy.name']}"
    assert re.fullmatch(r"policy-[0-9a-f]{7}", found["policy.name"])
    assert found["pair.rsa_bits"] == 2048
    assert found["account"] == "123456789012"
    assert found["partition"] == ["aws", "amazonaws.com", "com.amazonaws"]
    settle(administrator.world, "me")
    made = replace(administrator, key=found["access.id"], secret=found["access.secret"])
    assert made.sts.get_caller_identity()["Arn"] == user["Arn"]


def test_no_secret_is_anywhere_in_plaintext(deployed: Stack) -> None:
    deployed.want(**DEPLOYED)
    found = deployed.outputs()
    secrets = [found["access.secret"], found["access.ses_smtp_password_v4"]]
    # Of each form a line near the end: what comes before is public, or the same for all keys.
    forms = ("private_key_pem", "private_key_openssh", "private_key_pem_pkcs8")
    secrets += [found[f"pair.{form}"].splitlines()[-5] for form in forms]
    said = deployed.pulumi("up --yes --skip-preview --diff") + deployed.pulumi("stack output")
    said += deployed.pulumi("stack export")
    for secret in secrets:
        assert secret not in said
        for folder in ("state", "pulumi"):
            assert holding(deployed.world.root / folder, secret) == []


def holding(folder: Path, text: str) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("change", "plan"),
    [
        ({"user": {"name": "me", "tags": {"a": "c"}}}, {"user": "update"}),
        ({"key": {"key_name": "other"}}, {"key": "replace"}),
        ({"pair": {"algorithm": "ED25519"}}, {"pair": "replace", "key": "replace"}),
        # A rename keeps the user; the key and the policy belong to a name.
        ({"user": {"name": "you"}}, {"user": "update", "access": "replace", "policy": "replace"}),
    ],
)
def test_what_an_update_takes(
    deployed: Stack, change: dict[str, Any], plan: dict[str, str]
) -> None:
    wanted = {name: value | change.get(name, {}) for name, value in DEPLOYED.items()}
    assert deployed.plan(**wanted) == plan


def test_a_key_pair_of_a_fixed_name_gives_way_to_the_next(
    stack: Stack, administrator: Caller
) -> None:
    stack.up(key={"key_name": "fixed"})
    stack.up(key={"key_name": "fixed"}, pair={"algorithm": "RSA"})
    (pair,) = administrator.ec2.describe_key_pairs(KeyNames=["fixed"])["KeyPairs"]
    assert pair["KeyType"] == "rsa"


def test_what_is_gone_is_noticed_and_its_deletion_no_error(
    stack: Stack, administrator: Caller
) -> None:
    stack.up(user={"name": "gone"}, key={"key_name": "gone"})
    found, iam = stack.outputs(), administrator.iam
    user, policy = found["policy.id"].split(":")
    iam.delete_user_policy(UserName=user, PolicyName=policy)
    iam.delete_access_key(UserName=user, AccessKeyId=found["access.id"])
    iam.delete_user(UserName=user)
    administrator.ec2.delete_key_pair(KeyName="gone")
    ran = stack.pulumi("refresh --preview-only")
    assert "4 to delete" in ran.replace("- ", "")
    stack.pulumi("destroy --yes --skip-preview")


def test_what_is_there_can_be_imported(stack: Stack, administrator: Caller) -> None:
    administrator.iam.create_user(UserName="found", Tags=[{"Key": "a", "Value": "b"}])
    wanted = {"name": "found", "tags": {"a": "b"}}
    assert stack.plan(user=wanted, **{"user-options": {"import_": "found"}})["user"] == "import"


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("want", '{"user": {"name": "a b"}}', "property name value {a b} has a problem: must hold"),
        ("aws:allowedAccountIds[0]", "210987654321", "AWS account ID not allowed: 123456789012"),
        ("aws:assumeRole.roleArn", "x", "is not a setting of the sandbox's stand-in"),
    ],
)
def test_what_is_wrong_is_one_line_in_the_preview(
    project: World, setting: str, value: str, line: str
) -> None:
    stack = new_stack(project, re.sub(r"\W", "-", setting))
    path = ["--path"] if setting != "want" else []
    stack.pulumi("config set", *path, setting, value)
    assert line in stack.pulumi("preview", succeeds=False)


def test_what_aws_refuses_is_told_in_its_words(stack: Stack, administrator: Caller) -> None:
    administrator.iam.create_user(UserName="already-there")
    stack.want(user={"name": "already-there"})
    said = stack.pulumi("up --yes --skip-preview", succeeds=False)
    assert "error: creating IAM User (already-there): EntityAlreadyExists: " in said


def test_a_type_that_is_not_there_says_where_to_add_it(stack: Stack) -> None:
    program = stack.world.project / "__main__.py"
    program.write_text("import pulumi_aws as aws\n\naws.s3.Bucket('bucket')\n")
    try:
        said = stack.pulumi("preview", succeeds=False)
    finally:
        program.write_text(PROGRAM)
    assert "has no resource type aws:s3/bucket:Bucket: add it under sandbox/plugins/aws" in said
