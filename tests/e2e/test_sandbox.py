"""What a sandbox promises: a world of its own, that is gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from sandbox import demo, foreground
from sandbox.engine.find import find
from sandbox.errors import SandboxError
from sandbox.world import World, sandbox
from tests.e2e.caller import Caller, refusal, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who uses AWS and Pulumi for real, and everything set that could be."""
    monkeypatch.setenv("PATH", f"{find()}:{os.environ['PATH']}")
    home = tmp_path / "outside"
    for name in (".aws/credentials", ".aws/config", ".pulumi/credentials.json", ".pem/test.pem"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("the user's own")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    for name, value in {
        "AWS_PROFILE": "work",
        "AWS_ACCESS_KEY_ID": "the-users-own",
        "AWS_SESSION_TOKEN": "the-users-own",
        "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
        "AWS_REGION": "eu-central-1",
        "PULUMI_ACCESS_TOKEN": "the-users-own",
        "PULUMI_BACKEND_URL": "s3://the-users-own",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
        "PULUMI_STACK": "the-users-own",
        "XDG_CONFIG_HOME": str(home / "xdg"),
        "XDG_STATE_HOME": str(home / "xdg"),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "PYTHONPATH": str(home),
    }.items():
        monkeypatch.setenv(name, value)
    return home


def python_m_sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def answers(endpoint: str) -> bool:
    where = urlsplit(endpoint)
    try:
        socket.create_connection((where.hostname or "", where.port or 0), timeout=5).close()
    except OSError:
        return False
    return True


# --- a world of its own


def test_nothing_of_the_users_environment_comes_in(outside: Path) -> None:
    ran = python_m_sandbox("run", "--", "env")
    assert ran.returncode == 0, ran.stderr
    inside = dict(line.split("=", 1) for line in ran.stdout.splitlines())
    assert "the-users-own" not in ran.stdout
    assert str(outside) not in ran.stdout
    aws = {name for name in inside if name.startswith("AWS_")}
    assert aws == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "AWS_EC2_METADATA_DISABLED",
    }
    assert not {name for name in inside if name.startswith("XDG_")}
    assert not {"HTTP_PROXY", "PYTHONPATH", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK"} & inside.keys()


def test_nothing_of_the_users_home_is_written_nor_the_checkout(outside: Path) -> None:
    def settings() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in CHECKOUT.glob("Pulumi*.yaml")}

    before = snapshot(outside), settings()
    command = "pulumi stack init mine && pulumi config set x y -s mine && cat ~/.aws/credentials"
    ran = python_m_sandbox("run", "--", "sh", "-c", command)
    assert "Created stack 'mine'" in ran.stderr
    assert "the user's own" not in ran.stdout
    assert (snapshot(outside), settings()) == before


def test_it_is_its_owners_only(world: World) -> None:
    assert stat.S_IMODE(world.root.stat().st_mode) == 0o700
    assert world.home.parent == world.root


def test_two_are_two_worlds(world: World) -> None:
    with sandbox() as other:
        for each in (world, other):
            each.run("pulumi", "stack", "init", "twin", "--no-select")
        world.run("pulumi", "stack", "rm", "twin", "--yes")
        assert "twin" in other.run("pulumi", "stack", "ls", "--json").stdout
        stranger = replace(Caller.administrator(world), world=other)
        assert refusal(stranger.sts.get_caller_identity) == "InvalidClientTokenId"
        assert other.environment["PULUMI_CONFIG_PASSPHRASE"] not in world.environment.values()


def test_another_home_is_empty_and_in_the_same_world(world: World) -> None:
    other = world.with_home("another")
    assert list(other.home.iterdir()) == []
    assert other.run("sh", "-c", "echo $HOME").stdout.strip() == str(other.home)
    assert other.root == world.root


def test_python_is_the_one_that_runs_the_sandbox(world: World) -> None:
    prefix = world.run("python", "-c", "import sys; print(sys.prefix)").stdout.strip()
    assert prefix == sys.prefix


# --- the command


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-command"], 127),
        (["/etc/hostname"], 126),
    ],
)
def test_the_status_is_the_commands(world: World, command: list[str], status: int) -> None:
    assert foreground.run(world, command) == status


def test_a_command_that_is_not_there_is_one_line(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    foreground.run(world, ["no-such-command"])
    assert capfd.readouterr().err == "sandbox: no-such-command: No such file or directory\n"


def test_it_runs_in_the_copy_of_the_project(world: World) -> None:
    assert Path(world.run("pwd").stdout.strip()) == world.project
    assert (world.project / "Pulumi.yaml").read_bytes() == (CHECKOUT / "Pulumi.yaml").read_bytes()


@pytest.mark.parametrize("arguments", [(), ("run",), ("run", "--"), ("dance",), ("run", "--keep")])
def test_wrong_usage_is_status_2(arguments: tuple[str, ...]) -> None:
    ran = python_m_sandbox(*arguments)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


# --- gone afterwards


@contextlib.contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sandbox whose command has started and sleeps, and where its AWS is."""
    trap = 'trap "echo cleaned up; exit 3" TERM INT HUP'
    script = f'{trap}; echo "$AWS_ENDPOINT_URL"; sleep 60 > /dev/null & wait'
    command = [sys.executable, "-m", "sandbox", "run", *options, "--", "sh", "-c", script]
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # no terminal, so that signals are ours alone
    ) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_nothing_is_left_when_the_command_ends(outside: Path) -> None:
    ran = python_m_sandbox("run", "--", "sh", "-c", 'echo "$AWS_ENDPOINT_URL"; mktemp; exit 1')
    assert ran.returncode == 1
    assert not answers(ran.stdout.split()[0])
    assert list((outside.parent / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_the_commands_and_nothing_is_left(
    outside: Path, number: signal.Signals
) -> None:
    with running() as (process, endpoint):
        assert answers(endpoint)
        process.send_signal(number)
        assert process.stdout
        assert process.stdout.read() == "cleaned up\n"
        assert process.wait(10) == 3
        assert not answers(endpoint)
        assert list((outside.parent / "tmp").iterdir()) == []


def test_aws_ends_with_a_sandbox_that_is_killed(outside: Path) -> None:
    assert outside
    with running() as (process, endpoint):
        assert answers(endpoint)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while answers(endpoint) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not answers(endpoint)


# --- keep


def test_what_is_kept_can_be_looked_at_later(outside: Path) -> None:
    kept = outside.parent / "kept"
    ran = python_m_sandbox("run", "--keep", str(kept), "--", "pulumi", "stack", "init", "mine")
    assert ran.returncode == 0, ran.stderr
    assert f"kept in {kept}" in ran.stderr
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert stat.S_IMODE((kept / "environment").stat().st_mode) == 0o600
    look = f". {kept}/environment && cd {kept}/project && pulumi stack ls"
    looked = subprocess.run(["sh", "-c", look], env={}, capture_output=True, text=True, check=True)
    assert "mine" in looked.stdout


def test_a_directory_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = python_m_sandbox("run", "--keep", str(tmp_path), "--", "true")
    assert ran.returncode == 1
    assert ran.stderr.endswith("is not empty: keep a sandbox in a directory of its own\n")
    assert len(ran.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# --- plugins of the user's own


def test_sandbox_plugins_are_used_in_place_of_the_stand_ins(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = outside.parent / "plugins"
    mine.mkdir()
    monkeypatch.setenv("SANDBOX_PLUGINS", str(mine))
    ran = python_m_sandbox("run", "--", "sh", "-c", "readlink -f $PULUMI_HOME/plugins")
    assert ran.stdout.strip() == str(mine.resolve())


def test_sandbox_plugins_that_are_not_there_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_PLUGINS", "/no/where")
    ran = python_m_sandbox("run", "--", "true")
    assert ran.returncode == 1
    assert ran.stderr == "sandbox: SANDBOX_PLUGINS is /no/where, which is not a directory\n"


# --- AWS


@pytest.fixture(scope="module")
def somebody(world: World) -> Caller:
    """A user with full access to oneself."""
    iam = Caller.administrator(world).iam
    arn = iam.create_user(UserName="somebody")["User"]["Arn"]
    oneself = {"Effect": "Allow", "Action": "*", "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": oneself})
    iam.put_user_policy(UserName="somebody", PolicyName="FullAccess", PolicyDocument=document)
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    settle(world, "somebody")
    return Caller(world, key["AccessKeyId"], key["SecretAccessKey"])


def test_the_administrator_may_do_everything(world: World) -> None:
    administrator = Caller.administrator(world)
    arn = administrator.sts.get_caller_identity()["Arn"]
    assert arn == "arn:aws:iam::123456789012:user/administrator"
    assert administrator.ec2.describe_instances()["Reservations"] == []


def test_signatures_are_checked(somebody: Caller) -> None:
    wrong = replace(somebody, secret="x" * 40)
    assert refusal(wrong.sts.get_caller_identity) == "SignatureDoesNotMatch"
    unknown = replace(somebody, key="AKIA0000000000000000")
    assert refusal(unknown.sts.get_caller_identity) == "InvalidClientTokenId"


def test_full_access_to_oneself_is_to_oneself(somebody: Caller) -> None:
    iam = somebody.iam
    assert iam.get_user()["User"]["UserName"] == "somebody"
    assert iam.list_access_keys(UserName="somebody")["AccessKeyMetadata"]
    assert iam.get_access_key_last_used(AccessKeyId=somebody.key)["UserName"] == "somebody"
    assert refusal(iam.get_user, UserName="administrator") == "AccessDenied"
    assert refusal(iam.create_access_key, UserName="administrator") == "AccessDenied"
    assert refusal(iam.create_user, UserName="another") == "AccessDenied"
    assert refusal(iam.list_users) == "AccessDenied"
    everybody = {"GroupName": "everybody", "UserName": "somebody"}
    assert refusal(iam.add_user_to_group, **everybody) == "AccessDenied"
    assert refusal(somebody.ec2.describe_instances) == "AccessDenied"


# --- the tour


def test_the_tour_ends_well_and_is_plain_in_a_pipe() -> None:
    ran = python_m_sandbox("demo")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "\033" not in ran.stdout
    assert "profiles: development, production, staging, test" in ran.stdout
    for name in ("production", "staging", "development", "test"):
        assert f"-rw-------  ~/.pem/{name}.pem" in ran.stdout
    assert "arn:aws:iam::123456789012:user/production" in ran.stdout
    assert "AccessDenied" in ran.stdout
    assert "cannot be deleted" in ran.stdout
    assert "0 key pairs; users: administrator" in ran.stdout
    assert "PRIVATE KEY" not in ran.stdout
    assert "AKIA" not in ran.stdout


def test_the_tour_stops_where_something_is_wrong() -> None:
    with sandbox() as world:
        world.environment["AWS_ACCESS_KEY_ID"] = "AKIA0000000000000000"
        with pytest.raises(SandboxError, match=r"^pulumi up .* failed: "):
            demo.play(world)
