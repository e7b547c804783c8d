"""``python -m sync status`` with the real engine and an AWS that answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.project import STACKS
from tests.e2e.caller import Caller, age, settle
from tests.stacks import key_pair

if TYPE_CHECKING:
    import subprocess

    from sandbox.world import World

DAY = 86_400


@pytest.fixture(scope="module")
def deployed(deployed: World) -> World:
    """The sandbox with all four stacks deployed, and their keys known to all of AWS."""
    for stack in STACKS:
        settle(deployed, stack)
    return deployed


def sync(world: World, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = world.run("python", "-m", "sync", *arguments, check=False, **environ)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "PRIVATE KEY" not in said
    return done


def document(world: World, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sync(world, "status", "--json", *arguments).stdout)
    return found


@pytest.fixture
def own(world: World, stack: str) -> World:
    """A stack of this test's own, deployed, known to AWS and synced, in a home of its own."""
    world.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    settle(world, stack)
    home = world.with_home(f"status-{stack}")
    assert sync(home, stack).returncode == 0
    return home


def key_of(world: World, user: str) -> str:
    (key,) = Caller.administrator(world).iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    return key["AccessKeyId"]


def test_stacks_that_were_just_synced_are_well(home: World) -> None:
    assert sync(home, "--all").returncode == 0
    done = sync(home, "status", *STACKS)
    assert (done.returncode, done.stderr) == (0, "")
    blocks = done.stdout.split("\n\n")
    assert [block.splitlines()[0] for block in blocks[:-1]] == list(STACKS)
    assert blocks[-1] == f"{len(STACKS)} stacks: nothing to complain of\n"
    for stack, block in zip(STACKS, blocks, strict=False):
        assert f"[{stack}] in ~/.aws/credentials: the stack's key" in block
        assert f"  identity    arn:aws:iam::123456789012:user/{stack}\n" in block
        assert f"  key pair    {stack} in us-west-2: the stack's key\n" in block
        assert "(sts, " in sync(home, "status", stack).stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert sync(home, "status", *STACKS, "--check").returncode == 0


def test_no_access_key_is_shown_whole(home: World) -> None:
    sync(home, "production")
    said = json.dumps(document(home, "production")) + sync(home, "status", "production").stdout
    assert key_of(home, "production") not in said
    assert key_of(home, "production")[-4:] in said


def test_an_empty_home_lacks_both_files(home: World) -> None:
    done = sync(home, "status", "test", "--check")
    assert done.returncode == 3
    file, profile = done.stdout.splitlines()
    assert file.startswith("test: key file: ~/.pem/test.pem is not there")
    assert profile.startswith("test: profile: [test] in ~/.aws/credentials is not there")
    assert not list(home.home.iterdir())


def test_who_may_not_look_learns_what_the_profile_may_tell(home: World) -> None:
    """With keys of a user that may do everything to itself, and nothing else."""
    sync(home, "staging")
    without = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "staging"}
    done = sync(home, "status", "staging", **without)
    assert done.returncode == 0
    assert "us-west-2: not known: not allowed to call DescribeKeyPairs" in done.stdout
    assert "  access key  ..." in done.stdout
    assert sync(home, "status", "staging", "--check", **without).returncode == 0


def test_keys_grow_old(own: World, stack: str) -> None:
    age(own, key_of(own, stack), created=91 * DAY, last_used=605)
    done = sync(own, "status", stack, "--check")
    assert done.returncode == 3
    assert "91 d old (--max-age 90)" in done.stdout
    assert "last use AWS knows of 10 min ago (sts, " in sync(own, "status", stack).stdout
    assert sync(own, "status", stack, "--check", "--max-age", "92").returncode == 0


def test_what_was_changed_at_aws_behind_pulumis_back_is_seen(own: World, stack: str) -> None:
    administrator = Caller.administrator(own)
    strange = administrator.iam.create_access_key(UserName=stack)["AccessKey"]["AccessKeyId"]
    policy = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
    administrator.iam.attach_user_policy(UserName=stack, PolicyArn=policy)
    administrator.ec2.delete_key_pair(KeyName=stack)
    administrator.ec2.import_key_pair(
        KeyName=stack, PublicKeyMaterial=key_pair("somebody")[1].encode()
    )
    lines = sync(own, "status", stack, "--check").stdout.splitlines()
    administrator.iam.detach_user_policy(UserName=stack, PolicyArn=policy)
    administrator.iam.delete_access_key(UserName=stack, AccessKeyId=strange)
    assert [line.split(": ")[1] for line in lines] == ["key pair", "access key", "quarantine"]
    assert f"EC2 has another key as {stack} in us-west-2" in lines[0]
    assert f"...{strange[-4:]} is not of this stack" in lines[1]
    assert "AWSCompromisedKeyQuarantineV3" in lines[2]


def test_a_key_that_is_inactive_is_refused_and_seen(own: World, stack: str) -> None:
    iam = Caller.administrator(own).iam
    iam.update_access_key(UserName=stack, AccessKeyId=key_of(own, stack), Status="Inactive")
    lines = sync(own, "status", stack, "--check").stdout.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["identity", "access key"]
    assert "AWS refuses the keys: InvalidClientTokenId" in lines[0]
    assert "inactive at AWS" in lines[1]


def test_a_rotation_under_way_is_no_finding_but_has_a_next_command(own: World, stack: str) -> None:
    for key, value in {
        "accessKeyGeneration": "2",
        "previousAccessKey": "Active",
        "keyPairGeneration": "2",
        "previousKeyPair": "Kept",
    }.items():
        own.run("pulumi", "config", "set", key, value, "--stack", stack)
    own.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    settle(own, stack)
    behind = sync(own, "status", stack, "--check").stdout
    assert f"key file: ~/.pem/{stack}.pem holds the key before the rotation" in behind
    assert f"[{stack}] in ~/.aws/credentials holds the key before the rotation" in behind
    assert sync(own, stack).returncode == 0
    done = sync(own, "status", stack)
    assert f"next      python -m sync rotate {stack} --retire" in done.stdout
    assert f"next      python -m sync rotate {stack} --key-pair --finish" in done.stdout
    assert f"  previous    ~/.pem/{stack}." in done.stdout
    assert ".pem: kept, mode 0600" in done.stdout
    check = sync(own, "status", stack, "--check")
    assert (check.returncode, check.stdout) == (0, "")


def test_offline_is_quiet_about_aws(home: World) -> None:
    sync(home, "production")
    done = sync(home, "status", "--offline", AWS_ENDPOINT_URL="http://127.0.0.1:1", PULUMI_HOME="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "production\n  key file  ~/.pem/production.pem, mode 0600: written by sync" in done.stdout
    )
