"""The command line of a rotation: what it takes, and what it says to anything else."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sync import replacement, terminal
from sync.account import AccountError
from sync.commands import rotate
from sync.engine import StackError
from sync.private_file import lock
from sync.rotation import REQUESTS, State
from tests.stacks import stack_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync.stack import StackKeys

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory in no project, and no engine: a command line that is taken goes no further."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


def complaint(capsys: Captured, *arguments: str) -> str:
    """The one line that a wrong command line gets, with status 2."""
    with pytest.raises(SystemExit) as ended:
        rotate.run(arguments)
    assert ended.value.code == 2
    out, said = capsys.readouterr()
    assert out == ""
    (line,) = said.splitlines()
    assert line.startswith("sync: ")
    assert line.endswith(" (see python -m sync rotate --help)")
    return line


def is_taken(*arguments: str) -> bool:
    """Whether the command line leads as far as to look for the project, which is not there."""
    with pytest.raises(StackError, match=r": no Pulumi\.yaml in "):
        rotate.run(arguments)
    return True


TWO = "not allowed with argument"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "the following arguments are required: STACK"),
        (["a", "b"], "unrecognized arguments: b"),
        (["test", "--all"], "unrecognized arguments: --all"),
        (["test", "--ret"], "unrecognized arguments: --ret"),
        (["test", "--retire", "--finish"], TWO),
        (["test", "--undo", "--now"], TWO),
        (["test", "--finish", "--undo"], TWO),
        (["test", "--now", "--retire"], TWO),
        (["test", "--key-pair", "--retire"], "EC2 knows no inactive keys, use --finish"),
        (["test", "--force"], "--force goes with --retire or --finish"),
        (["test", "--force", "--undo"], "--force goes with --retire or --finish"),
        (["test", "--force", "--now"], "--force goes with --retire or --finish"),
        (["test", "--key-pair", "--force"], "--force goes with --retire or --finish"),
        (["a/b/c/d"], "stack name 'a/b/c/d': allowed are"),
        (["../test"], "stack name '../test': allowed are"),
        (["te\x1b[31m"], r"stack name 'te\x1b[31m': allowed are"),
        (["DEFAULT"], "profile name 'DEFAULT'"),
        (["test", "--profile", "a]b"], "profile name 'a]b'"),
        (["test", "--profile", "a\nb"], r"profile name 'a\nb'"),
        (["test", "--timeout", "0"], "'0' is no positive number of seconds"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_status_2(
    capsys: Captured, arguments: list[str], reason: str
) -> None:
    assert reason in complaint(capsys, *arguments)


def test_a_stacks_name_is_checked_whatever_the_profile(capsys: Captured) -> None:
    try:
        assert "stack name 'a/b/c/d'" in complaint(capsys, "a/b/c/d", "--profile", "work")
    except StackError:
        pytest.fail("no complaint about the command line")


def test_an_empty_profile_is_none(capsys: Captured) -> None:
    try:
        assert "profile name ''" in complaint(capsys, "test", "--profile", "")
    except StackError:
        pytest.fail("no complaint about the command line")


@pytest.mark.parametrize(
    "time", ["", "soon", "-1h", "1.5h", "24 h", "h", "1w", "1h30m", "24H", "٣h", "9999999d"]
)
def test_a_time_that_is_none_is_named_with_what_is_allowed(capsys: Captured, time: str) -> None:
    line = complaint(capsys, "test", "--retire", f"--after={time}")
    assert f"{time!r} is no time: a whole number and s, m, h or d, as in 24h" in line


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("40s", 40),
        ("90m", 5400),
        ("24h", 86_400),
        ("7d", 604_800),
        ("999999d", 86_399_913_600),
    ],
)
def test_a_time_is_a_whole_number_and_a_unit(given: str, seconds: int) -> None:
    options = rotate._parse(["test", "--retire", f"--after={given}"])  # noqa: SLF001  nothing else tells
    assert options.after.total_seconds() == seconds


def test_an_old_key_stays_active_for_a_day_unless_another_time_is_given() -> None:
    options = rotate._parse(["test", "--retire"])  # noqa: SLF001  likewise
    assert options.after.total_seconds() == 86_400


@pytest.mark.parametrize(
    ("arguments", "request_", "kind"),
    [
        ([], "begin", "access key"),
        (["--retire", "--after", "7d", "--force"], "retire", "access key"),
        (["--finish", "--force"], "finish", "access key"),
        (["--undo"], "undo", "access key"),
        (["--now", "--yes", "--profile", "work"], "now", "access key"),
        (["--key-pair"], "begin", "key pair"),
        (["--key-pair", "--finish", "--force"], "finish", "key pair"),
        (["--key-pair", "--undo"], "undo", "key pair"),
        (["--key-pair", "--now"], "now", "key pair"),
    ],
)
def test_every_request_is_taken_for_what_it_is(
    capsys: Captured, arguments: list[str], request_: str, kind: str
) -> None:
    assert is_taken("acme/aws-keys/test", *arguments)
    assert rotate.run(["acme/aws-keys/test", *arguments, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["stack"], told["request"], told["key"]) == ("test", request_, kind)
    assert told["error"].startswith("no Pulumi.yaml in ")


def test_help_tells_of_every_request_with_examples(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        rotate.run(["--help"])
    assert ended.value.code == 0
    text, said = capsys.readouterr()
    assert said == ""
    described = re.findall(r"^  rotate STACK(?: --([a-z]+))?  ", text, re.MULTILINE)
    assert [request or "begin" for request in described] == list(REQUESTS)
    listed = re.findall(r"^  --([a-z-]+)", text, re.MULTILINE)
    assert {"retire", "finish", "undo", "now", "key-pair", "after", "force", "yes"} <= set(listed)
    assert "  python -m sync rotate production --retire --after 7d " in text
    assert "exit status: 0 done, 1 failed, 2 wrong usage" in text
    assert max(map(len, text.splitlines())) <= 100


# Two at once


def test_of_two_rotations_of_a_stack_on_this_machine_the_second_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").touch()
    with (
        lock(tmp_path / ".local/state/aws-keys/rotate-test.lock", 1, lambda: None),
        pytest.raises(StackError) as raised,
    ):
        rotate.run(["acme/aws-keys/test", "--key-pair"])
    assert str(raised.value) == "test: another rotation of this stack is under way on this machine"


def test_rotations_of_two_stacks_do_not_hinder_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch)
    with lock(tmp_path / ".local/state/aws-keys/rotate-other.lock", 1, lambda: None):
        assert rotate.run(["test"]) == 0


# What is told in the end

CHANGED = {"accessKeyGeneration": "2", "previousAccessKey": "", "rotationStep": "3"}
TOLD = (
    "Pulumi.test.yaml was changed (accessKeyGeneration: 2, previousAccessKey: empty, "
    "rotationStep: 3): commit it"
)


class Fake(NamedTuple):
    """A `Replacement` that does nothing, however far it says to have come."""

    keys: StackKeys
    state: State
    changed_config: dict[str, str]
    carry_out: Callable[[str], None]


def stands_in(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    changed: dict[str, str] | None = None,
    fails: Exception | None = None,
) -> None:
    """Let a project be here, and a rotation that is finished or ``fails``."""

    def carry_out(_request: str) -> None:
        if fails:
            raise fails

    (tmp_path / "Pulumi.yaml").touch()
    fake = Fake(stack_keys("test"), State(2, ""), changed or {}, carry_out)
    monkeypatch.setattr(replacement, "Replacement", lambda *_: fake)


def test_where_nothing_was_to_be_done_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    stands_in(tmp_path, monkeypatch)
    assert rotate.run(["test", "--retire"]) == 0
    said = "test: no rotation of the access key is under way: nothing to do\n"
    assert capsys.readouterr().err == said


def test_what_was_cut_off_and_is_done_now_is_told_with_the_config_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    stands_in(tmp_path, monkeypatch, changed=CHANGED)
    assert rotate.run(["test", "--finish"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "test: what was cut off is done; no rotation of the access key is under way",
        f"test: {TOLD}",
    ]


@pytest.mark.parametrize("error", [StackError("the reason"), AccountError("the reason")])
def test_a_failure_tells_the_config_that_was_changed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, error: Exception
) -> None:
    stands_in(tmp_path, monkeypatch, changed=CHANGED, fails=error)
    with pytest.raises(StackError, match=r"^test: the reason$"):
        rotate.run(["test"])
    assert capsys.readouterr().err == f"test: {TOLD}\n"


@pytest.mark.parametrize("error", [None, StackError("the reason"), AccountError("the reason")])
def test_json_has_the_config_that_was_changed_after_a_failure_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, error: Exception | None
) -> None:
    stands_in(tmp_path, monkeypatch, changed=CHANGED, fails=error)
    assert rotate.run(["test", "--json"]) == (1 if error else 0)
    out, said = capsys.readouterr()
    told = json.loads(out)
    assert said == ""
    assert told["config"] == CHANGED
    assert told["error"] == (error and str(error))
    assert told["done"][-1] == TOLD


# What a terminal shows


def test_a_line_said_while_something_takes_its_time_has_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clear = "\r\x1b[K"
    with terminal.progress("pulumi up ..."):
        terminal.say("made a key")
        terminal.say("deleted a key")
    terminal.say("done")
    assert capsys.readouterr().err == (
        f"pulumi up ...{clear}made a key\npulumi up ...{clear}deleted a key\npulumi up ...{clear}"
        "done\n"
    )


def test_a_failure_leaves_nothing_that_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(StackError), terminal.progress("pulumi up ..."):
        raise StackError("the reason")
    capsys.readouterr()
    terminal.say("the reason")
    assert capsys.readouterr().err == "the reason\n"


def test_where_nobody_watches_only_lines_are_said(capsys: Captured) -> None:
    with terminal.progress("pulumi up ..."):
        terminal.say("made a key")
    assert capsys.readouterr().err == "made a key\n"
