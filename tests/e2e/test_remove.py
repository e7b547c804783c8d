"""``python -m sync remove`` beside stacks that go on being used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.project import STACKS
from tests.e2e.caller import settle
from tests.e2e.test_sync import aws_cli, derive, key_file, sync

if TYPE_CHECKING:
    from sandbox.world import World


def test_of_all_stacks_one_is_removed_and_the_others_still_work(home: World) -> None:
    theirs = b"[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = x"
    credentials = home.home / ".aws" / "credentials"
    credentials.parent.mkdir()
    credentials.write_bytes(theirs)
    assert sync(home, "--all").returncode == 0
    done = sync(home, "remove", "staging", "--yes")
    assert done.returncode == 0, done.stderr
    assert not key_file(home, "staging").exists()
    asked = aws_cli(home, "sts", "get-caller-identity", "--profile", "staging")
    assert "The config profile (staging) could not be found" in asked.stderr
    others = [stack for stack in STACKS if stack != "staging"]
    for stack in others:
        settle(home, stack)
        assert derive(key_file(home, stack)).returncode == 0
        asked = aws_cli(home, "sts", "get-caller-identity", "--profile", stack)
        assert asked.returncode == 0, asked.stderr
        region = aws_cli(home, "configure", "get", "region", "--profile", stack)
        assert region.stdout == "us-west-2\n"
    assert sync(home, *others, "--check").returncode == 0
    for stack in others:
        assert sync(home, "remove", stack, "--yes", "--backups").returncode == 0
    assert credentials.read_bytes() == theirs
    assert {path.name for path in credentials.parent.iterdir()} == {"credentials"}
    assert not list((home.home / ".pem").iterdir())
