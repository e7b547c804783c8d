"""An update, with a stand-in for the engine: locks, failures and interruptions, made to order."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync.engine import StackError
from sync.update import Lock, LockedError, Update, UpdateError

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_IN = """#!/bin/sh
[ "$1" != version ] || { cat "{root}/version"; exit; }
echo "$*" >> calls
case "$*" in
  *" cancel "*) if [ -e cancel.sh ]; then . ./cancel.sh; fi ;;
  *" history "*) cat history.json ;;
  *" output "*) echo '{}' ;;
  *" config "*) if [ -e config.sh ]; then . ./config.sh; fi ;;
  *) for word; do case $last in --event-log) log=$word; esac; last=$word; done
     . ./act.sh ;;
esac
"""
HISTORY = [
    {
        "kind": "update",
        "startTime": "2026-11-24T10:14:35.000Z",
        "message": "",
        "environment": {},
        "config": {},
        "result": "succeeded",
    }
]
HERE = socket.gethostname()
LOCKED = """\
error: the stack is currently locked by {number} lock(s). Either wait for the other process(es) to \
end or delete the lock file with `pulumi cancel`.
"""
LOCK = """\
  file:///x/.pulumi/locks/organization/aws-keys/test/b3e1.json?no_tmp_dir=true: created by \
root@{host} (pid {pid}) at 2026-11-24T10:14:35Z
"""


def lock_of(*holders: tuple[str, int]) -> str:
    """What the engine says while each of these processes, by host and number, holds a lock."""
    locks = [LOCK.format(host=host, pid=pid) for host, pid in holders]
    return LOCKED.format(number=len(locks)) + "".join(locks)


class Project:
    """A project's directory, with a `pulumi` that does what a test wants."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[str] = []
        self.environ = {"PATH": os.environ["PATH"], "PULUMI_CONFIG_PASSPHRASE": "open"}
        (root / "bin").mkdir()
        (root / "bin" / "pulumi").write_text(STAND_IN.replace("{root}", str(root)))
        (root / "bin" / "pulumi").chmod(0o755)
        (root / "history.json").write_text(json.dumps(HISTORY))
        self.is_version("v3.259.0")
        self.does("")

    def is_version(self, version: str) -> None:
        (self.root / "version").write_text(f"{version}\n")

    def does(self, script: str, what: str = "act") -> None:
        """Let ``pulumi up`` and ``refresh`` run ``script``, or ``cancel`` or ``config``."""
        (self.root / f"{what}.sh").write_text(f"{script}\n")

    def is_locked(self, said: str, *, for_good: bool = False) -> None:
        (self.root / "lock").write_text(said)
        self.does("if [ -e lock ]; then echo 'Updating (test):'; cat lock >&2; exit 255; fi")
        if not for_good:
            self.does("rm lock", "cancel")

    def logs(self, *events: dict[str, Any]) -> str:
        """A script that logs ``events``, in a file as engines up to 3.205 do."""
        self.is_version("v3.205.0")
        lines = [
            json.dumps({"sequence": number, "timestamp": 0, **event})
            for number, event in enumerate([*events, {"cancelEvent": {}}])
        ]
        (self.root / "events").write_text("".join(f"{line}\n" for line in lines))
        return 'cat events > "$log"'

    def update(self) -> Update:
        return Update(str(self.root), "test", self.environ, self.told.append)

    def calls(self) -> list[str]:
        """The engine's commands, without what all of them have."""
        calls = (self.root / "calls").read_text().splitlines()
        assert all(f"{call} ".startswith("--non-interactive ") for call in calls)
        return [call.removeprefix("--non-interactive ") for call in calls]

    def commands(self) -> list[str]:
        """What was asked of the engine, in a word, beside what it only told."""
        words = [call.split()[0] for call in self.calls()]
        return [word for word in words if word != "stack"]

    def has(self, name: str) -> bool:
        return (self.root / name).exists()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("AWS_KEYS_UNDO", raising=False)
    return Project(tmp_path)


def a_dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


@pytest.fixture
def a_live_pulumi(tmp_path: Path) -> Iterator[int]:
    """The number of a process that is called as the engine is."""
    (tmp_path / "live").mkdir()
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "live" / "pulumi")
    with subprocess.Popen([program, "60"]) as process:
        while "pulumi" not in Path(f"/proc/{process.pid}/comm").read_text():
            time.sleep(0.01)
        yield process.pid
        process.kill()


# What is run


def test_an_update_is_one_run_of_pulumi_up_without_a_question(project: Project) -> None:
    project.update().up()
    (up,) = [call for call in project.calls() if not call.startswith("stack ")]
    assert up.startswith("up --yes --skip-preview --suppress-outputs ")
    assert "--refresh" not in up


def test_an_update_looks_at_aws_first_if_it_is_asked_to(project: Project) -> None:
    project.update().up(refresh=True)
    assert "--refresh" in project.calls()[0].split()


@pytest.mark.parametrize("forget", [False, True])
def test_pending_creations_are_forgotten_only_by_a_refresh_that_is_to(
    project: Project, *, forget: bool
) -> None:
    project.update().refresh(forget_pending=forget)
    (call,) = [call.split() for call in project.calls() if not call.startswith("stack ")]
    assert call[0] == "refresh"
    assert {"--yes", "--skip-preview"} <= set(call)
    assert ("--clear-pending-creates" in call) is forget


def test_config_is_set_all_at_once_and_an_empty_value_is_one(project: Project) -> None:
    project.update().set_config({"accessKeyGeneration": "2", "previousAccessKey": ""})
    (call,) = project.calls()
    assert call == (
        "config set-all --stack test --plaintext accessKeyGeneration=2 --plaintext "
        "previousAccessKey="
    )


CONFIG = b"# ours\r\nconfig:\n  aws-keys:region: us-west-2   # not the nearest\n\n\n"


def test_the_config_is_put_back_to_the_last_byte(project: Project) -> None:
    config = project.root / "Pulumi.test.yaml"
    config.write_bytes(CONFIG)
    config.chmod(0o640)
    project.does("echo 'config: {}' > Pulumi.test.yaml", "config")
    before = {path.name for path in project.root.iterdir()}
    update = project.update()
    update.set_config({"accessKeyGeneration": "2"})
    assert config.read_bytes() == b"config: {}\n"
    update.put_config_back()
    assert config.read_bytes() == CONFIG
    assert config.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in project.root.iterdir()} - before == {"calls"}


def test_of_several_changes_of_the_config_the_last_is_taken_back(project: Project) -> None:
    (project.root / "Pulumi.test.yaml").write_bytes(CONFIG)
    project.does('echo "# $*" >> Pulumi.test.yaml', "config")
    update = project.update()
    update.set_config({"accessKeyGeneration": "2"})
    after_the_first = (project.root / "Pulumi.test.yaml").read_bytes()
    update.set_config({"previousAccessKey": "Active"})
    update.put_config_back()
    assert (project.root / "Pulumi.test.yaml").read_bytes() == after_the_first


def test_a_config_that_was_not_there_before_is_taken_away_again(project: Project) -> None:
    project.does("touch Pulumi.test.yaml", "config")
    update = project.update()
    update.set_config({"accessKeyGeneration": "2"})
    update.put_config_back()
    assert not project.has("Pulumi.test.yaml")


def test_a_qualified_stack_has_the_config_of_its_last_part(project: Project) -> None:
    config = project.root / "Pulumi.test.yaml"
    config.write_bytes(CONFIG)
    project.does("rm Pulumi.test.yaml; touch Pulumi.test.yaml", "config")
    update = Update(str(project.root), "acme/aws-keys/test", project.environ, print)
    update.set_config({"accessKeyGeneration": "2"})
    update.put_config_back()
    assert config.read_bytes() == CONFIG


def test_the_stack_that_the_user_selected_stays_selected(project: Project) -> None:
    project.is_locked(lock_of((HERE, a_dead_process())))
    update = project.update()
    update.set_config({"accessKeyGeneration": "2"})
    update.up()
    update.refresh(forget_pending=True)
    calls = project.calls()
    assert {call.split()[0] for call in calls} == {"config", "up", "cancel", "refresh", "stack"}
    assert all("--stack test" in call for call in calls)
    assert not [call for call in calls if call.startswith("stack select")]


def test_the_engine_runs_in_the_project_with_the_environment_that_was_given(
    project: Project,
) -> None:
    project.does('pwd > where; echo "$PULUMI_CONFIG_PASSPHRASE" > passphrase')
    project.update().up()
    assert (project.root / "where").read_text() == f"{project.root}\n"
    assert (project.root / "passphrase").read_text() == "open\n"


def test_the_undo_variable_reaches_the_engine_only_with_an_undo(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_KEYS_UNDO", "accessKeyGeneration:1")  # whoever set it
    project.does('echo "${AWS_KEYS_UNDO-unset}" >> undo')
    update = project.update()
    update.up()
    update.up(undo=("accessKeyGeneration", 2))
    update.up()
    undo = (project.root / "undo").read_text().splitlines()
    assert undo == ["", "accessKeyGeneration:2", ""]


# Locks


def test_the_lock_of_a_process_that_is_gone_is_cancelled_and_the_update_tried_again(
    project: Project,
) -> None:
    pid = a_dead_process()
    project.is_locked(lock_of((HERE, pid)))
    project.update().up()
    assert project.commands() == ["up", "cancel", "up"]
    assert project.told == [
        f"cancelled the update of 2026-11-24T10:14:35Z, whose process (pid {pid}) is gone"
    ]


def test_a_number_that_another_program_has_now_is_that_of_a_process_that_is_gone(
    project: Project,
) -> None:
    project.is_locked(lock_of((HERE, os.getpid())))
    project.update().up()
    assert project.commands() == ["up", "cancel", "up"]


def test_an_undo_is_still_one_when_it_is_tried_again(project: Project) -> None:
    project.is_locked(lock_of((HERE, a_dead_process())))
    script = (project.root / "act.sh").read_text()
    project.does(f'{script} echo "$AWS_KEYS_UNDO" > undo')
    project.update().up(undo=("keyPairGeneration", 3))
    assert (project.root / "undo").read_text() == "keyPairGeneration:3\n"


def test_a_refresh_gets_rid_of_an_abandoned_lock_too(project: Project) -> None:
    project.is_locked(lock_of((HERE, a_dead_process())))
    project.update().refresh()
    assert project.commands() == ["refresh", "cancel", "refresh"]


def test_it_is_tried_again_only_once(project: Project) -> None:
    project.is_locked(lock_of((HERE, a_dead_process())), for_good=True)
    with pytest.raises(LockedError):
        project.update().up()
    assert project.commands() == ["up", "cancel", "up"]


def test_the_lock_of_a_live_pulumi_is_respected_and_its_owner_told(
    project: Project, a_live_pulumi: int
) -> None:
    project.is_locked(lock_of((HERE, a_live_pulumi)))
    with pytest.raises(LockedError) as raised:
        project.update().up()
    assert project.commands() == ["up"]
    assert raised.value.locks == [Lock("root", HERE, a_live_pulumi, "2026-11-24T10:14:35Z")]
    assert str(raised.value) == (
        f"another update of the stack is under way by root@{HERE} (pid {a_live_pulumi}) since "
        "2026-11-24T10:14:35Z: wait for its end, or 'pulumi cancel -s test' if there is none any "
        "more"
    )


def test_the_lock_of_another_host_is_respected_and_its_owner_told(project: Project) -> None:
    project.is_locked(lock_of(("elsewhere", a_dead_process())))
    with pytest.raises(LockedError, match=r"under way by root@elsewhere \(pid [0-9]+\) since 2026"):
        project.update().up()
    assert project.commands() == ["up"]


def test_nothing_is_cancelled_while_one_of_several_locks_may_be_held(project: Project) -> None:
    project.is_locked(lock_of((HERE, a_dead_process()), ("elsewhere", 1)))
    with pytest.raises(LockedError):
        project.update().up()
    assert project.commands() == ["up"]


def test_a_backend_that_does_not_tell_who_holds_the_lock_is_asked_only_once(
    project: Project,
) -> None:
    project.is_locked("error: [409] Conflict: Another update is currently in progress.\n")
    with pytest.raises(LockedError, match=r"^another update of the stack is under way: wait") as it:
        project.update().up()
    assert it.value.locks == []
    assert project.commands() == ["up"]


# Failures


def test_a_failure_is_the_engines_reason_in_one_line_and_nothing_of_its_output(
    project: Project,
) -> None:
    project.does("echo sEcReT; echo 'error: sEcReT'; echo 'error: the reason' >&2; exit 255")
    with pytest.raises(UpdateError) as raised:
        project.update().up()
    assert str(raised.value) == "pulumi up failed: the reason"
    assert raised.value.__suppress_context__


def test_a_refresh_that_failed_is_told_as_one(project: Project) -> None:
    project.does("echo 'error: the reason' >&2; exit 255")
    with pytest.raises(UpdateError, match=r"^pulumi refresh failed: the reason$"):
        project.update().refresh()


def test_a_refresh_respects_the_lock_of_a_live_pulumi(project: Project, a_live_pulumi: int) -> None:
    project.is_locked(lock_of((HERE, a_live_pulumi)))
    with pytest.raises(LockedError, match="another update of the stack is under way"):
        project.update().refresh()
    assert project.commands() == ["refresh"]


def test_of_an_access_keys_id_a_reason_has_only_the_end(project: Project) -> None:
    key_id = "AKIAIOSFODNN7EXAMPLE"
    said = f"deleting IAM Access Key ({key_id}): no"
    project.does(f"echo 'error: {said}' >&2; exit 255")
    with pytest.raises(UpdateError, match=r"^pulumi up failed: deleting .*\(\.\.\.MPLE\): no$"):
        project.update().up()
    project.does(f"{project.logs(diagnostic(said))}; exit 255")
    with pytest.raises(
        UpdateError, match=r"^pulumi refresh failed: deleting .*\(\.\.\.MPLE\): no$"
    ):
        project.update().refresh()


def test_a_failure_without_a_reason_is_told_without_one(project: Project) -> None:
    project.does("echo 'error: sEcReT'; echo 'panic: sEcReT' >&2; exit 2")
    with pytest.raises(UpdateError, match=r"^pulumi up failed$"):
        project.update().up()


def test_an_output_that_looks_like_the_engines_reason_is_not_taken_for_it(project: Project) -> None:
    project.does(r"printf ' stderr: \nerror: sEcReT\n'; echo 'error: the reason' >&2; exit 255")
    with pytest.raises(UpdateError, match=r"^pulumi up failed: the reason$"):
        project.update().up()


def diagnostic(message: str, severity: str = "error") -> dict[str, object]:
    return {"diagnosticEvent": {"message": message, "color": "raw", "severity": severity}}


def test_the_first_error_of_a_resource_is_the_reason(project: Project) -> None:
    log = project.logs(
        diagnostic("<{%fg 1%}>just so you know<{%reset%}>", "warning"),
        diagnostic("<{%fg 1%}>error: <{%reset%}>creating IAM Access Key:\nLimitExceeded\n"),
        diagnostic("update failed"),
    )
    project.does(f"{log}; echo sEcReT; echo 'error: update failed' >&2; exit 255")
    with pytest.raises(UpdateError) as raised:
        project.update().up()
    assert str(raised.value) == "pulumi up failed: creating IAM Access Key:"


def test_a_failure_has_not_the_reason_of_the_one_before(project: Project) -> None:
    project.does(f"{project.logs(diagnostic('the first'))}; exit 255")
    update = project.update()
    with pytest.raises(UpdateError, match=r"the first$"):
        update.up()
    project.does(f"{project.logs()}; echo 'error: the second' >&2; exit 255")
    with pytest.raises(UpdateError, match=r"the second$"):
        update.up()


def test_a_config_that_cannot_be_set_is_a_failure_in_one_line(project: Project) -> None:
    project.does("echo sEcReT; echo 'error: could not save' >&2; exit 255", "config")
    with pytest.raises(UpdateError, match=r"failed: could not save$"):
        project.update().set_config({"accessKeyGeneration": "2"})


def outputs_of(kind: str, name: str, op: str) -> dict[str, object]:
    urn = f"urn:pulumi:test::aws-keys::aws-keys:index:AccessUser${kind}::{name}"
    return {
        "resOutputsEvent": {
            "metadata": {"op": op, "urn": urn, "type": kind, "provider": "p", "old": None}
        }
    }


def test_what_was_done_to_keys_is_told_as_it_happens(project: Project) -> None:
    access_key, key_pair = "aws:iam/accessKey:AccessKey", "aws:ec2/keyPair:KeyPair"
    log = project.logs(
        outputs_of("pulumi:pulumi:Stack", "aws-keys-test", "same"),
        outputs_of("aws-keys:index:AccessUser", "access", "update"),
        outputs_of("aws:iam/user:User", "access", "same"),
        outputs_of(access_key, "access-2", "create"),
        outputs_of(access_key, "access", "update"),
        outputs_of(key_pair, "ssh", "create-replacement"),
        outputs_of(key_pair, "ssh", "replace"),
        outputs_of(key_pair, "ssh", "delete-replaced"),
        outputs_of(access_key, "access", "delete"),
    )
    project.does(log)
    project.update().up()
    assert project.told == [
        "pulumi up: made access key access-2",
        "pulumi up: updated access key access",
        "pulumi up: made EC2 key pair ssh",
        "pulumi up: deleted EC2 key pair ssh",
        "pulumi up: deleted access key access",
    ]


# Interruptions


@contextlib.contextmanager
def handled(number: signal.Signals, handler: signal.Handlers | None = None) -> Iterator[None]:
    """``number`` as the command line has it, and that it is so again after an update."""
    expected = handler or signal.default_int_handler
    before = signal.signal(number, expected)
    try:
        yield
        assert signal.getsignal(number) == expected
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("status", [0, 255])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_lets_the_engine_end_first(
    project: Project, number: signal.Signals, status: int
) -> None:
    project.does(f"kill -{number} $PPID; sleep 0.1; touch ended; exit {status}")
    with handled(number), pytest.raises(KeyboardInterrupt):
        project.update().up()
    assert project.has("ended")


def test_an_interrupted_update_is_not_tried_again(project: Project) -> None:
    project.is_locked(lock_of((HERE, a_dead_process())))
    script = (project.root / "act.sh").read_text()
    project.does(f"kill -INT $PPID; sleep 0.1; {script}")
    with handled(signal.SIGINT), pytest.raises(KeyboardInterrupt):
        project.update().up()
    assert project.commands() == ["up"]


def test_the_engine_itself_may_be_interrupted_meanwhile(project: Project) -> None:
    project.does("(kill -INT $$); touch survived")
    with handled(signal.SIGINT), pytest.raises(UpdateError):
        project.update().up()
    assert not project.has("survived")


def test_nohup_is_heeded_during_an_update(project: Project) -> None:
    project.does("kill -HUP $PPID; sleep 0.1; kill -HUP $$; touch survived")
    with handled(signal.SIGHUP, signal.SIG_IGN):
        try:
            project.update().up()
        except KeyboardInterrupt:
            pytest.fail("interrupted")
    assert project.has("survived")


# The engine


def test_without_pulumi_it_is_told_where_to_get_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="pulumi is not on PATH: get the Pulumi CLI, https://"):
        project.update()


@pytest.mark.parametrize("version", ["v4.0.0", "v2.25.0", "sEcReT"])
def test_a_pulumi_that_cannot_be_used_is_named_in_one_line(project: Project, version: str) -> None:
    project.is_version(version)
    with pytest.raises(StackError) as raised:
        project.update()
    assert re.fullmatch("pulumi cannot be used: .+", str(raised.value))
    assert "sEcReT" not in str(raised.value)


def test_a_pulumi_that_does_not_run_is_told(project: Project) -> None:
    (project.root / "version").unlink()
    with pytest.raises(StackError, match=r"^pulumi cannot be run$"):
        project.update()
