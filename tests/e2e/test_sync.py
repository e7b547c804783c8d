"""``python -m sync`` with the real engine, and real clients using what it wrote."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.project import STACKS
from sync.ssh_key import parse_public_key
from tests.e2e.caller import settle

if TYPE_CHECKING:
    from sandbox.world import World

AWS_CLI = Path(__file__).parents[2] / ".venv-awscli" / "bin" / "aws"


@pytest.fixture(scope="module")
def deployed(deployed: World) -> World:
    """The sandbox with all four stacks deployed, and their keys known to all of AWS."""
    for stack in STACKS:
        settle(deployed, stack)
    return deployed


def sync(world: World, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = world.run("python", "-m", "sync", *arguments, check=False, **environ)
    assert "Traceback" not in done.stderr
    return done


def line_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that ``done`` failed with."""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def output(world: World, stack: str, name: str) -> str:
    done = world.run("pulumi", "stack", "output", name, "--show-secrets", "--stack", stack)
    return done.stdout.strip()


def key_file(world: World, stack: str) -> Path:
    return world.home / ".pem" / f"{stack}.pem"


def derive(key: Path) -> subprocess.CompletedProcess[str]:
    """The public half of ``key`` as OpenSSH derives it, by the same rules as ``ssh -i``."""
    command = ["ssh-keygen", "-y", "-P", "", "-f", str(key)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def as_profile(world: World, profile: str) -> boto3.Session:
    """A session as a program that uses ``profile`` makes it, with the files as written."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(world).items():
            patch.setenv(name, value)
        session = boto3.Session(profile_name=profile)
        session.get_credentials()
    return session


def aws_environment(world: World) -> dict[str, str]:
    aws = world.home / ".aws"
    return {
        "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
        "AWS_CONFIG_FILE": str(aws / "config"),
        "AWS_ENDPOINT_URL": world.environment["AWS_ENDPOINT_URL"],
    }


def aws_cli(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert AWS_CLI.exists(), "`make test` makes the AWS CLI's environment"
    environ = {**aws_environment(world), "HOME": str(world.home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [AWS_CLI, *arguments], env=environ, capture_output=True, text=True, check=False
    )


def test_all_four_stacks_become_files_that_real_clients_use(home: World) -> None:
    assert sync(home, "--all").returncode == 0
    administrator = boto3.client(
        "ec2",
        region_name="us-west-2",
        endpoint_url=home.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=home.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=home.environment["AWS_SECRET_ACCESS_KEY"],
    )
    registered = {
        pair["KeyName"]: parse_public_key(pair["PublicKey"])
        for pair in administrator.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    }
    for stack in STACKS:
        key = key_file(home, stack)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert parse_public_key(derive(key).stdout) == registered[stack]
        asked = aws_cli(
            home,
            "sts",
            "get-caller-identity",
            "--profile",
            stack,
            "--query",
            "Arn",
            "--output",
            "text",
        )
        assert asked.stdout.strip() == output(home, stack, "user_arn"), asked.stderr
        session = as_profile(home, stack)
        assert session.region_name == "us-west-2"
        endpoint = home.environment["AWS_ENDPOINT_URL"]
        user = session.client("iam", endpoint_url=endpoint).get_user()["User"]
        assert user["UserName"] == stack
        with pytest.raises(ClientError, match="AccessDenied"):
            session.client("iam", endpoint_url=endpoint).list_users()
    assert stat.S_IMODE((home.home / ".pem").stat().st_mode) == 0o700


def test_ssh_would_refuse_the_key_with_another_mode(home: World) -> None:
    sync(home, "production")
    key = key_file(home, "production")
    key.chmod(0o644)
    assert "UNPROTECTED PRIVATE KEY FILE" in derive(key).stderr
    assert "narrowed ~/.pem/production.pem: mode 0644 -> 0600" in sync(home, "production").stderr
    assert derive(key).returncode == 0


def test_the_profiles_of_others_keep_every_byte(home: World) -> None:
    theirs = (
        b"# careful\r\n[work]\r\naws_access_key_id = AKIAWORK\r\n"
        b"aws_secret_access_key = x\r\n\r\n[default]\r\n  region=eu-west-1"
    )
    credentials = home.home / ".aws" / "credentials"
    credentials.parent.mkdir()
    credentials.write_bytes(theirs)
    assert sync(home, "test").returncode == 0
    assert credentials.read_bytes().startswith(theirs)
    assert aws_cli(home, "configure", "get", "aws_access_key_id", "--profile", "work").stdout == (
        "AKIAWORK\n"
    )
    asked = aws_cli(home, "sts", "get-caller-identity", "--profile", "test")
    assert asked.returncode == 0, asked.stderr


def test_keys_that_aws_configure_put_there_are_not_overwritten(home: World) -> None:
    sync(home, "staging")
    for name, value in (("aws_access_key_id", "AKIAOTHER"), ("aws_secret_access_key", "other")):
        aws_cli(home, "configure", "set", name, value, "--profile", "staging")
    before = (home.home / ".aws" / "credentials").read_bytes()
    assert "another access key, ...THER" in line_of(sync(home, "staging"))
    assert (home.home / ".aws" / "credentials").read_bytes() == before
    assert sync(home, "staging", "--take-over").returncode == 0
    asked = aws_cli(home, "sts", "get-caller-identity", "--profile", "staging")
    assert asked.returncode == 0, asked.stderr


def test_a_second_run_changes_nothing(home: World) -> None:
    sync(home, "--all")
    times = {path: path.stat().st_mtime_ns for path in home.home.rglob("*")}
    done = sync(home, "--all", "--check")
    assert done.returncode == 0, done.stderr
    assert sync(home, "--all").stderr.count("unchanged") == 3 * len(STACKS)
    assert {path: path.stat().st_mtime_ns for path in home.home.rglob("*")} == times


@pytest.mark.parametrize("name", ["organization/test", "organization/aws-keys/test"])
def test_a_qualified_stack_writes_the_files_of_its_last_part(home: World, name: str) -> None:
    assert sync(home, name).returncode == 0
    assert key_file(home, "test").is_file()


def test_a_stack_that_gets_another_key_leaves_the_old_one_beside(world: World, stack: str) -> None:
    own = world.with_home(stack)
    own.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    assert sync(own, stack).returncode == 0
    first = key_file(own, stack).read_bytes()
    own.run("pulumi", "config", "set", "keyAlgorithm", "RSA", "--stack", stack)
    own.run("pulumi", "config", "set", "rsaBits", "2048", "--stack", stack)
    own.run("pulumi", "config", "set", "keyPairGeneration", "2", "--stack", stack)
    own.run("pulumi", "config", "set", "previousKeyPair", "Kept", "--stack", stack)
    own.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    done = sync(own, stack)
    assert done.returncode == 0
    assert "kept as ~/.pem/" in done.stderr
    (kept,) = (own.home / ".pem").glob(f"{stack}.*.pem")
    assert kept.read_bytes() == first
    registered = output(own, stack, "public_key")
    assert parse_public_key(derive(key_file(own, stack)).stdout) == parse_public_key(registered)


def test_an_unknown_stack_is_told_which_there_are(home: World) -> None:
    line = line_of(sync(home, "prodcution"))
    assert line.startswith("prodcution: failed: no such stack; there are: ")
    assert set(STACKS) <= set(line.rpartition(": ")[2].split(", "))


def test_a_stack_that_was_never_deployed(world: World, stack: str) -> None:
    assert f"deploy it with 'pulumi up -s {stack}'" in line_of(sync(world, stack))


@pytest.mark.parametrize(
    ("passphrase", "reason"),
    [("wrong", "the passphrase is wrong"), ("", "the stack's secrets need a passphrase")],
)
def test_a_wrong_or_missing_passphrase_writes_nothing(
    home: World, passphrase: str, reason: str
) -> None:
    environ = {"PULUMI_CONFIG_PASSPHRASE": passphrase}
    if not passphrase:
        environ = {}
        home.environment.pop("PULUMI_CONFIG_PASSPHRASE")
    assert reason in line_of(sync(home, "production", **environ))
    assert not list(home.home.iterdir())
