"""Rotation with the real engine, killed and resumed, under the eyes of a client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from sync.ssh_key import parse_private_key, parse_public_key
from tests.e2e.caller import Caller, age, settle
from tests.e2e.client import call, calling
from tests.e2e.proxy import holding_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_iam.type_defs import AccessKeyMetadataTypeDef

    from sandbox.world import World

When: TypeAlias = (
    "Callable[[Stack], contextlib.AbstractContextManager[tuple[dict[str, str], HasComeAbout]]]"
)
HasComeAbout: TypeAlias = "Callable[[], bool]"

PATIENCE = 60.0  # seconds that a step may take on a busy machine


@dataclass(frozen=True)
class Stack:
    """A deployed stack whose profile is in use on this machine."""

    world: World
    name: str

    def rotate(
        self, *arguments: str, status: int = 0, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        done = self.world.run(
            "python", "-m", "sync", "rotate", self.name, *arguments, check=False, **environ
        )
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert done.returncode == status, done.stderr
        assert self.works()
        return done

    def refused(self, *arguments: str, **environ: str) -> str:
        """The line that a request fails with, which changed nothing."""
        before, keys = self.config.read_text(), self.access_keys()
        done = self.rotate(*arguments, status=1, **environ)
        assert self.config.read_text() == before
        assert self.access_keys() == keys
        return done.stderr.splitlines()[-1]

    @property
    def config(self) -> Path:
        return self.world.project / f"Pulumi.{self.name}.yaml"

    def access_keys(self) -> list[AccessKeyMetadataTypeDef]:
        """What AWS has, oldest first."""
        answer = Caller.administrator(self.world).iam.list_access_keys(UserName=self.name)
        return sorted(answer["AccessKeyMetadata"], key=lambda key: key["CreateDate"])

    def key_ids(self) -> list[str]:
        return [key["AccessKeyId"] for key in self.access_keys()]

    def statuses(self) -> list[str]:
        return [key["Status"] for key in self.access_keys()]

    def works(self) -> bool:
        """Whether AWS takes the keys of the profile."""
        return call(self.world, self.name) == ""

    def profile_key(self) -> str:
        text = (self.world.home / ".aws" / "credentials").read_text()
        return text.partition("aws_access_key_id = ")[2].partition("\n")[0]

    def outputs(self) -> dict[str, Any]:
        done = self.world.run("pulumi", "stack", "output", "--json", "--stack", self.name)
        outputs: dict[str, Any] = json.loads(done.stdout)
        return outputs

    def killed(self, *arguments: str, when: When) -> None:
        """Have a request killed, engine and all, as soon as something has come about."""
        with when(self) as (environ, has_come_about):
            log = self.world.root / "tmp" / "killed.log"
            with log.open("w") as output:
                process = subprocess.Popen(
                    ["python", "-m", "sync", "rotate", self.name, *arguments],
                    cwd=self.world.project,
                    env={**self.world.environment, **environ},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            try:
                wait_for(lambda: has_come_about() or process.poll() is not None)
                assert process.poll() is None, f"ended before: {log.read_text()}"
            finally:
                kill_session(process.pid)
                process.wait()
        assert self.works()


def config_says(text: str) -> When:
    """The moment after the config was moved on."""

    @contextlib.contextmanager
    def moment(stack: Stack) -> Iterator[tuple[dict[str, str], HasComeAbout]]:
        yield {}, lambda: text in stack.config.read_text()

    return moment


def it_says(text: str) -> When:
    """The moment after a line was printed."""

    @contextlib.contextmanager
    def moment(stack: Stack) -> Iterator[tuple[dict[str, str], HasComeAbout]]:
        yield {}, lambda: text in (stack.world.root / "tmp" / "killed.log").read_text()

    return moment


def profile_holds(access_key_id: str) -> When:
    """The moment after the profile was written, or the start if it was before."""

    @contextlib.contextmanager
    def moment(stack: Stack) -> Iterator[tuple[dict[str, str], HasComeAbout]]:
        yield {}, lambda: stack.profile_key() == access_key_id

    return moment


def aws_did(action: str) -> When:
    """The moment after AWS has done something and before anybody hears of it."""

    @contextlib.contextmanager
    def moment(stack: Stack) -> Iterator[tuple[dict[str, str], HasComeAbout]]:
        aws = stack.world.environment["AWS_ENDPOINT_URL"]
        with holding_back(aws, f"Action={action}") as held:
            yield {"AWS_ENDPOINT_URL": held.endpoint}, held.reached.is_set

    return moment


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_session(leader: int) -> None:
    """Kill every process of a session: sync, the engine, its plugins and the program."""
    for _ in range(3):  # some are born meanwhile
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture
def deployed_stack(world: World, stack: str) -> Stack:
    """A protected stack of this test's own, synced, its key known all over AWS."""
    world.run("pulumi", "config", "set", "protect", "true", "--stack", stack)
    world.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    home = world.with_home(stack)
    home.run("python", "-m", "sync", stack)
    settle(home, stack)
    return Stack(home, stack)


@pytest.fixture(autouse=True)
def _unprotected_in_the_end(world: World, stack: str) -> Iterator[None]:
    yield
    world.run("pulumi", "cancel", "--stack", stack, "--yes", check=False)
    world.run("pulumi", "state", "unprotect", "--all", "--stack", stack, "--yes", check=False)


def test_a_client_that_calls_all_the_time_sees_no_failure(deployed_stack: Stack) -> None:
    stack = deployed_stack
    before = stack.profile_key()
    with calling(stack.world, stack.name) as client:
        said = stack.rotate().stderr
        assert "next: python -m sync rotate" in said
        assert f"Pulumi.{stack.name}.yaml was changed (accessKeyGeneration: 2, " in said
        assert stack.profile_key() != before
        assert stack.statuses() == ["Active", "Active"]
        stack.rotate("--retire", "--force")
        assert stack.statuses() == ["Inactive", "Active"]
        stack.rotate("--undo")
        assert stack.profile_key() == before
        assert stack.statuses() == ["Active"]
        stack.rotate("--now")
    assert client.failures == []
    assert client.calls > 100
    assert stack.key_ids() == [stack.profile_key()] != [before]
    refused = stack.world.run(
        "pulumi", "destroy", "--yes", "--skip-preview", "--stack", stack.name, check=False
    )
    assert "cannot be deleted" in refused.stdout
    assert " deleted" not in refused.stdout.partition("Resources:")[2]  # protected again, all of it
    assert stack.works()


@pytest.mark.timeout(400)
def test_killed_anywhere_in_the_beginning_and_the_end_it_goes_on(deployed_stack: Stack) -> None:
    stack = deployed_stack
    begun = 'accessKeyGeneration: "2"'
    stack.killed(when=config_says(begun))
    stack.killed(when=aws_did("CreateAccessKey"))
    made = stack.access_keys()[-1]["AccessKeyId"]
    line = stack.rotate(status=1).stderr.splitlines()[-1]
    assert f"access key ...{made[-4:]} is in the way: --yes has it deleted" in line
    stack.killed("--yes", when=it_says("made access key"))
    assert made not in stack.key_ids()
    stack.killed(when=it_says("AWS takes access key"))
    stack.rotate()
    assert stack.statuses() == ["Active", "Active"]
    assert stack.access_keys()[-1]["AccessKeyId"] == stack.profile_key()

    force = ("--retire", "--force")
    stack.killed(*force, when=config_says("previousAccessKey: Inactive"))
    stack.killed(*force, when=aws_did("UpdateAccessKey"))
    assert "the old access key stays active" in stack.rotate().stderr
    assert stack.statuses() == ["Active", "Active"]
    stack.rotate(*force)
    assert stack.statuses() == ["Inactive", "Active"]

    stack.killed("--finish", when=config_says('previousAccessKey: ""'))
    stack.killed("--finish", when=aws_did("DeleteAccessKey"))
    stack.rotate("--finish")
    assert stack.key_ids() == [stack.profile_key()]
    assert stack.outputs()["access_key_generation"] == 2
    assert "nothing to do" in stack.rotate("--finish").stderr


@pytest.mark.timeout(400)
def test_killed_anywhere_on_the_way_back_it_goes_on(deployed_stack: Stack) -> None:
    stack = deployed_stack
    before = stack.profile_key()
    stack.rotate()
    stack.rotate("--retire", "--force")
    stack.killed("--undo", when=config_says("previousAccessKey: Active"))
    stack.killed("--undo", when=aws_did("UpdateAccessKey"))
    stack.killed("--undo", when=it_says("AWS takes access key"))
    stack.killed("--undo", when=profile_holds(before))
    stack.killed("--undo", when=config_says('accessKeyGeneration: "1"'))
    stack.killed("--undo", when=aws_did("DeleteAccessKey"))
    stack.rotate("--undo")
    assert stack.profile_key() == before
    assert stack.key_ids() == [before]
    assert stack.outputs()["access_key_generation"] == 1


def test_what_speaks_against_a_new_key_is_said_before_it_is_made(deployed_stack: Stack) -> None:
    stack = deployed_stack
    administrator = Caller.administrator(stack.world)
    foreign = administrator.iam.create_access_key(UserName=stack.name)["AccessKey"]["AccessKeyId"]
    age(stack.world, foreign, created=3 * 86_400, last_used=7_200)
    line = stack.refused()
    assert "has 2 access keys, and AWS allows no third" in line
    assert f"...{foreign[-4:]} (active, 3 d old, last use AWS knows of 2 h ago, sts in" in line
    assert "not made by this stack" in line
    administrator.iam.delete_access_key(UserName=stack.name, AccessKeyId=foreign)

    credentials = stack.world.home / ".aws" / "credentials"
    text = credentials.read_text()
    credentials.write_text(f"{text}[again]\n[again]\n")
    assert (
        "section 'again' stands twice"
        in stack.world.run("python", "-m", "sync", "rotate", stack.name, check=False).stderr
    )
    credentials.write_text(text)
    assert stack.statuses() == ["Active"]

    limited = administrator.iam.create_user(UserName=f"{stack.name}-limited")["User"]["UserName"]
    allowed = ["iam:Get*", "iam:List*", "iam:Simulate*", "iam:UpdateAccessKey"]
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    administrator.iam.put_user_policy(
        UserName=limited,
        PolicyName="Looks",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    key = administrator.iam.create_access_key(UserName=limited)["AccessKey"]
    settle(stack.world, limited)
    line = stack.refused(
        AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"]
    )
    assert "may not iam:CreateAccessKey, iam:DeleteAccessKey on arn:aws:iam::" in line


def test_another_user_of_the_same_name_is_left_alone(deployed_stack: Stack) -> None:
    stack = deployed_stack
    iam = Caller.administrator(stack.world).iam
    (key,) = stack.access_keys()
    iam.delete_access_key(UserName=stack.name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=stack.name, PolicyName="FullAccess")
    iam.delete_user(UserName=stack.name)
    iam.create_user(UserName=stack.name)
    done = stack.world.run("python", "-m", "sync", "rotate", stack.name, check=False)
    assert done.returncode == 1
    assert "is not the one that this stack made: its unique id is " in done.stderr
    assert stack.access_keys() == []


def test_a_colleague_on_the_old_key_keeps_it_from_being_retired(deployed_stack: Stack) -> None:
    stack = deployed_stack
    colleague = stack.world.with_home(f"{stack.name}-colleague")
    colleague.run("python", "-m", "sync", stack.name)
    (old,) = stack.access_keys()
    age(stack.world, old["AccessKeyId"], created=86_400)
    stack.rotate()
    assert "too early: the new access key is " in stack.refused("--retire")
    age(stack.world, old["AccessKeyId"], last_used=3_600)  # before the new key was made
    assert call(colleague, stack.name) == ""
    line = stack.refused("--retire", "--after", "0s")
    assert f"access key ...{old['AccessKeyId'][-4:]} may still be in use" in line
    assert "of sts in us-west-2, at 20" in line
    stack.rotate("--retire", "--force")
    assert "InvalidClientTokenId" in call(colleague, stack.name)
    colleague.run("python", "-m", "sync", stack.name)
    assert call(colleague, stack.name) == ""


def test_an_old_checkout_is_refused_and_undo_passes(deployed_stack: Stack) -> None:
    stack = deployed_stack
    old = stack.config.read_bytes()
    before = stack.profile_key()
    stack.rotate()
    stack.config.write_bytes(old)
    up = stack.world.run(
        "pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name, check=False
    )
    assert up.returncode != 0
    assert f"pull Pulumi.{stack.name}.yaml" in up.stdout + up.stderr
    assert "the config here is older than what is deployed" in stack.refused()
    assert f"pull Pulumi.{stack.name}.yaml" in stack.refused("--retire", "--force")
    begun = stack.world.project / "begun.yaml"
    begun.write_bytes(stack.config.read_bytes())
    stack.rotate("--undo")
    assert stack.key_ids() == [before] == [stack.profile_key()]
    undone = stack.config.read_bytes()
    stack.config.write_bytes(begun.read_bytes())  # a checkout of the time before the undo
    up = stack.world.run(
        "pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name, check=False
    )
    assert f"pull Pulumi.{stack.name}.yaml" in up.stdout + up.stderr
    assert f"pull Pulumi.{stack.name}.yaml" in stack.refused()
    stack.config.write_bytes(undone)


def test_a_key_that_an_update_under_way_has_just_made_is_left_to_it(deployed_stack: Stack) -> None:
    stack = deployed_stack
    elsewhere = stack.world.with_home(f"{stack.name}-elsewhere")
    aws = stack.world.environment["AWS_ENDPOINT_URL"]
    with holding_back(aws, "Action=CreateAccessKey") as held:
        other = subprocess.Popen(
            ["python", "-m", "sync", "rotate", stack.name],
            cwd=stack.world.project,
            env={**elsewhere.environment, "AWS_ENDPOINT_URL": held.endpoint},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert held.reached.wait(PATIENCE)
        assert "another update of the stack is under way" in stack.refused("--yes")
        held.release.set()
        _, said = other.communicate(timeout=PATIENCE)
    assert other.returncode == 0, said
    stack.rotate()
    assert stack.statuses() == ["Active", "Active"]


def test_what_else_would_change_is_deployed_first(deployed_stack: Stack) -> None:
    stack = deployed_stack
    stack.world.run("pulumi", "config", "set", "userName", "another", "--stack", stack.name)
    line = stack.refused()
    assert f"userName is another in the config and {stack.name} as deployed" in line


def test_an_update_under_way_is_reported_with_its_owner(deployed_stack: Stack) -> None:
    stack = deployed_stack
    aws = stack.world.environment["AWS_ENDPOINT_URL"]
    stack.world.run("pulumi", "config", "set", "--path", "tags.a", "b", "--stack", stack.name)
    with holding_back(aws, "Action=TagUser") as held:
        other = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name],
            cwd=stack.world.project,
            env={**stack.world.environment, "AWS_ENDPOINT_URL": held.endpoint},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert held.reached.wait(PATIENCE)
            line = stack.refused()
            assert "another update of the stack is under way by " in line
            assert f"(pid {other.pid}) since 20" in line
        finally:
            kill_session(other.pid)
            other.wait()
    said = stack.rotate("--now").stderr
    assert f"whose process (pid {other.pid}) is gone" in said
    assert stack.statuses() == ["Active"]


def test_a_new_ssh_key_leaves_the_old_one_to_those_who_need_it(deployed_stack: Stack) -> None:
    stack = deployed_stack
    pem = stack.world.home / ".pem"
    ec2 = Caller.administrator(stack.world).ec2
    image = ec2.describe_images()["Images"][0]["ImageId"]
    machine = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, KeyName=stack.name)
    first = parse_private_key((pem / f"{stack.name}.pem").read_bytes())
    stack.world.run("pulumi", "config", "set", "keyAlgorithm", "RSA", "--stack", stack.name)
    stack.world.run("pulumi", "config", "set", "rsaBits", "2048", "--stack", stack.name)
    up = stack.world.run(
        "pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name, check=False
    )
    assert f"`python -m sync rotate {stack.name} --key-pair`" in up.stdout + up.stderr

    time.sleep(1)  # AWS tells times in whole seconds, and the machine is to be the older
    stack.killed("--key-pair", when=aws_did("ImportKeyPair"))
    said = stack.rotate("--key-pair").stderr
    assert machine["Instances"][0]["InstanceId"] in said

    def at_ec2() -> object:
        pairs = ec2.describe_key_pairs(KeyNames=[stack.name], IncludePublicKey=True)["KeyPairs"]
        return parse_public_key(pairs[0]["PublicKey"])

    second = parse_private_key((pem / f"{stack.name}.pem").read_bytes())
    assert first
    assert second
    assert at_ec2() == second.public_key != first.public_key
    assert second.public_key.algorithm == "RSA"
    kept = f"{stack.name}.{first.public_key.digest.hex()[:16]}.pem"
    assert parse_private_key((pem / kept).read_bytes()) == first

    colleague = stack.world.with_home(f"{stack.name}-colleague")
    colleague.run("python", "-m", "sync", stack.name)
    assert (colleague.home / ".pem" / kept).read_bytes() == (pem / kept).read_bytes()
    assert (colleague.home / ".pem" / kept).stat().st_mode & 0o777 == 0o600

    assert "launched with the old key, and not terminated: i-" in stack.refused(
        "--key-pair", "--finish"
    )
    stack.rotate("--key-pair", "--undo")
    assert at_ec2() == first.public_key
    assert "keyAlgorithm: ED25519" in stack.config.read_text()
    stack.world.run("pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name)
    assert parse_private_key((pem / f"{stack.name}.pem").read_bytes()) == first
    stack.rotate("--key-pair", "--now")
    third = parse_private_key((pem / f"{stack.name}.pem").read_bytes())
    assert third
    assert at_ec2() == third.public_key != first.public_key
    assert "previous_private_key" not in stack.outputs()
    assert parse_private_key((pem / kept).read_bytes()) == first
