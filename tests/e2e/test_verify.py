"""``python -m sync --verify`` against an AWS that takes its time to know new keys."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sandbox.project import STACKS
from tests.e2e.caller import Caller, settle

if TYPE_CHECKING:
    import subprocess

    from sandbox.world import World


def sync(world: World, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = world.run("python", "-m", "sync", *arguments, check=False, **environ)
    assert "Traceback" not in done.stderr
    return done


def test_a_key_just_made_is_proved_through_awss_delay(world: World, stack: str) -> None:
    world.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    made = Caller.administrator(world).iam.list_access_keys(UserName=stack)
    assert len(made["AccessKeyMetadata"]) == 1
    home = world.with_home(stack)
    done = sync(home, stack, "--verify")
    assert done.returncode == 0, done.stderr
    assert f"{stack}: AWS takes the keys of profile {stack}: arn:aws:iam::" in done.stderr


def test_all_stacks_are_verified_at_a_time(home: World) -> None:
    for stack in STACKS:
        settle(home, stack)
    start = time.monotonic()
    done = sync(home, "--all", "--verify")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("AWS takes the keys") == len(STACKS)
    assert time.monotonic() - start < 4 * len(STACKS)  # one after the other would be more


def test_a_profile_whose_role_wins_over_its_keys_is_not_verified(home: World) -> None:
    settle(home, "test")
    assert sync(home, "test").returncode == 0
    config = home.home / ".aws" / "config"
    role = "role_arn = arn:aws:iam::123456789012:role/other\nsource_profile = test\n"
    config.write_text(config.read_text() + role)
    done = sync(home, "test", "--verify", "--json")
    (stack,) = json.loads(done.stdout)["stacks"]
    assert (done.returncode, stack["verified"]) == (1, None)
    assert stack["error"].startswith("written, but not verified: profile test: ")
    assert "AccessDenied" in stack["error"]


def test_inactive_keys_are_not_verified(world: World, stack: str) -> None:
    world.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")
    iam = Caller.administrator(world).iam
    (key,) = iam.list_access_keys(UserName=stack)["AccessKeyMetadata"]
    iam.update_access_key(UserName=stack, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    done = sync(world.with_home(stack), stack, "--verify", "--timeout", "6")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "written, but not verified" in last
    assert "InvalidClientTokenId" in last


def test_ambient_keys_are_not_what_is_verified(home: World) -> None:
    """The sandbox's environment holds the administrator's: they would say another name."""
    settle(home, "staging")
    assert home.environment["AWS_ACCESS_KEY_ID"]
    done = sync(home, "staging", "--verify", AWS_SESSION_TOKEN="a-token-of-others")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].endswith(":user/staging")
