"""The command line, with a stand-in for the engine: what the real one cannot be brought to do."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync import cli
from sync.engine import Engine, StackError
from tests.stacks import outputs
from tests.unit.aws_stand_in import Aws, arn, error, identity, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/bin/sh
for word; do case $word in --stack=*) stack=${word#--stack=};; esac; done
case $stack in "") exec cat stacks.json;; *) . "./$stack.sh";; esac
"""


class Sync:
    """``python -m sync`` in a home and a project of its own."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.project = root / "project"
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{root / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }
        self._secrets: set[str] = set()
        for path in (self.home, self.project, root / "bin"):
            path.mkdir()
        (self.project / "Pulumi.yaml").write_text("name: aws-keys\nruntime: python\n")
        (root / "bin" / "pulumi").write_text(STAND_IN)
        (root / "bin" / "pulumi").chmod(0o755)

    def has(self, *stacks: str) -> None:
        """Let the engine list ``stacks`` and give each its outputs."""
        listed = json.dumps([{"name": stack} for stack in stacks])
        (self.project / "stacks.json").write_text(listed)
        for stack in stacks:
            self.gives(stack, json.dumps(outputs(stack)))

    def gives(self, stack: str, printed: str) -> None:
        """Let the engine print ``printed`` for the outputs of ``stack``."""
        (self.project / f"{stack}.json").write_text(printed)
        self.does(stack, f"cat {stack}.json")
        for name in ("private_key", "secret_access_key", "access_key_id"):
            self._secrets.add(str(outputs(stack)[name]).strip())

    def does(self, stack: str, script: str) -> None:
        """Let the engine run ``script`` when it is asked for ``stack``."""
        (self.project / f"{stack}.sh").write_text(f"{script}\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "sync", *arguments]

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.project,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert not [secret for secret in self._secrets if secret in said]
        return done

    def files(self) -> set[str]:
        return {str(p.relative_to(self.home)) for p in self.home.rglob("*") if p.is_file()}


@pytest.fixture
def sync(tmp_path: Path) -> Sync:
    sync = Sync(tmp_path)
    sync.has("production", "staging")
    return sync


def fails(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line that ``done`` failed with."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_one_line_a_file_says_what_was_done(sync: Sync) -> None:
    done = sync("production")
    assert done.returncode == 0
    assert done.stdout == ""
    key_id = outputs("production")["access_key_id"]
    key, config, credentials = done.stderr.splitlines()
    assert key.startswith("production: wrote ~/.pem/production.pem: ED25519 SHA256:")
    assert config == "production: wrote ~/.aws/config: [profile production] region us-west-2"
    assert credentials == (
        f"production: wrote ~/.aws/credentials: [production] access key ...{key_id[-4:]}"
    )
    again = sync("production").stderr.splitlines()
    assert [line.split()[1] for line in again] == ["unchanged"] * 3


def test_a_machine_gets_json_on_standard_output(sync: Sync) -> None:
    done = sync("production", "--json")
    assert done.stderr == ""
    document = json.loads(done.stdout)
    (stack,) = document["stacks"]
    assert (stack["stack"], stack["profile"], stack["error"]) == ("production", "production", None)
    assert [change["action"] for change in stack["changes"]] == ["created"] * 3
    assert stack["changes"][0]["path"] == str(sync.home / ".pem/production.pem")
    assert stack["changes"][0]["facts"]["fingerprint"].startswith("SHA256:")


@pytest.mark.parametrize("look", ["--dry-run", "--check"])
def test_looking_touches_nothing(sync: Sync, look: str) -> None:
    done = sync("production", look)
    assert done.returncode == (3 if look == "--check" else 0)
    assert done.stderr.count("would write") == 3
    assert not sync.files()


def test_check_is_content_when_nothing_would_change(sync: Sync) -> None:
    sync("production")
    assert sync("production", "--check").returncode == 0
    assert sync("--all", "--check").returncode == 3


def test_all_stacks_of_the_project(sync: Sync) -> None:
    assert sync("--all").returncode == 0
    assert {".pem/production.pem", ".pem/staging.pem"} <= sync.files()


def test_default_is_written_only_by_name(sync: Sync) -> None:
    sync.has("default", "staging")
    done = sync("--all")
    assert done.returncode == 0
    assert done.stderr.startswith("default: left out")
    assert b"[default]" not in (sync.home / ".aws/credentials").read_bytes()
    assert sync("default").returncode == 0
    assert b"[default]" in (sync.home / ".aws/credentials").read_bytes()


def test_two_stacks_of_one_name_are_not_mixed_up(sync: Sync) -> None:
    (sync.project / "stacks.json").write_text('[{"name": "a/production"}, {"name": "production"}]')
    assert "would write the files of production" in fails(sync("--all"))
    assert not sync.files()


@pytest.mark.parametrize("stacks", ["[]", '[{"name": "default"}]'])
def test_no_stacks_at_all(sync: Sync, stacks: str) -> None:
    (sync.project / "stacks.json").write_text(stacks)
    done = sync("--all")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("sync: there is no stack to sync")


def test_a_stack_whose_name_is_no_profiles_is_left_out_of_all(sync: Sync) -> None:
    sync.has("DEFAULT", "staging")
    done = sync("--all")
    assert done.returncode == 0
    assert done.stderr.startswith("DEFAULT: left out: profile name 'DEFAULT'")


def test_warnings_are_told_once(sync: Sync) -> None:
    (sync.home / ".aws").mkdir()
    (sync.home / ".aws/config").write_bytes(
        b"# \xff\n[profile production]\nrole_arn = x\n[profile staging]\nregion = eu-west-1\n"
    )
    done = sync("production", "staging")
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if "warning: " in line]
    assert len(warnings) == 3
    assert "profile production has role_arn" in warnings[0]
    assert "UTF-8" in warnings[1]
    assert "profile staging has region eu-west-1, left as it is" in warnings[2]
    assert json.loads(sync("production", "--json").stdout)["stacks"][0]["warnings"]


def test_another_profile_and_another_directory(sync: Sync) -> None:
    done = sync("production", "--profile", "work", "--pem-dir", "keys")
    assert done.returncode == 0
    assert (sync.project / "keys/production.pem").is_file()
    assert (sync.home / ".aws/credentials").read_bytes().startswith(b"[work]\n")
    assert (sync.home / ".aws/config").read_bytes().startswith(b"[profile work]\n")


def test_the_project_may_be_elsewhere(sync: Sync) -> None:
    (sync.project / "deeper").mkdir()
    arguments = sync.command("production", "-C", str(sync.project))
    done = subprocess.run(arguments, cwd=sync.home, env=sync.environ, check=False)
    assert done.returncode == 0


def test_a_stack_that_fails_does_not_stop_the_others_and_is_named_last(sync: Sync) -> None:
    sync.gives("staging", "{}")
    done = sync("staging", "production")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith("staging: failed: has no outputs: deploy it")
    assert done.stderr.splitlines()[-1] == "failed: staging (1 of 2 stacks)"
    assert ".pem/production.pem" in sync.files()
    assert ".pem/staging.pem" not in sync.files()


def test_stacks_are_read_in_parallel(sync: Sync) -> None:
    for stack, other in (("production", "staging"), ("staging", "production")):
        wait = f"until [ -e {other}.here ]; do sleep 0.01; done"
        sync.does(stack, f"touch {stack}.here; {wait}; cat {stack}.json")
    assert sync("production", "staging", "--timeout", "20").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "name the stacks or give --all"),
        (["--all", "production"], "not both"),
        (["production", "--nonsense"], "--nonsense"),
        (["production", "--dry-run", "--check"], "not allowed with"),
        (["production", "--verify", "--dry-run"], "--verify goes with writing, not with --dry-run"),
        (["production", "--verify", "--check"], "--verify goes with writing, not with --dry-run"),
        (["production", "staging", "--profile", "x"], "--profile goes with one stack"),
        (["--all", "--profile", "x"], "--profile goes with one stack"),
        (["a/production", "b/production"], "two of the stacks would write the files of production"),
        (["a/b/c/d"], "stack name 'a/b/c/d': allowed are"),
        (["../production"], "stack name '../production': allowed are"),
        (["pro\x1b[31m"], r"stack name 'pro\x1b[31m': allowed are"),
        (["--", "-production"], "stack name '-production': allowed are"),
        (["DEFAULT"], "profile name 'DEFAULT'"),
        (["production", "--profile", ""], "profile name ''"),
        (["production", "--profile", "a]b"], "profile name 'a]b'"),
        (["production", "--profile", "../a"], "profile name '../a'"),
        (["production", "--profile", "a..b"], "profile name 'a..b'"),
        (["production", "--profile", "a/b"], "profile name 'a/b'"),
        (["production", "--profile", "a\nb"], r"profile name 'a\nb'"),
        (["production", "--profile=-a"], "profile name '-a'"),
        (["production", "--timeout", "0"], "'0' is no positive number of seconds up to 86400"),
        (["production", "--timeout", "nan"], "positive number of seconds"),
        (["production", "--timeout", "soon"], "'soon'"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_status_2(
    sync: Sync, arguments: list[str], reason: str
) -> None:
    assert reason in fails(sync(*arguments), 2)
    assert not sync.files()


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_are_answers(sync: Sync, flag: str) -> None:
    done = sync(flag)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr == ""


def test_help_has_examples(sync: Sync) -> None:
    text = sync("--help").stdout
    assert "python -m sync production --dry-run" in text
    assert "exit status" in text


def test_no_pulumi_on_the_path(sync: Sync) -> None:
    assert "pulumi is not on PATH" in fails(sync("production", PATH="/nowhere"))


def test_no_project(sync: Sync) -> None:
    (sync.project / "Pulumi.yaml").unlink()
    assert "no Pulumi.yaml in" in fails(sync("production"))


@pytest.mark.parametrize("where", ["missing", "Pulumi.yaml"])
def test_no_such_directory(sync: Sync, where: str) -> None:
    assert where in fails(sync("production", "-C", where))


def test_an_engine_that_hangs_is_ended_with_all_it_started(sync: Sync) -> None:
    sync.does("production", "sleep 600 & echo $! > sleeper; wait")
    line = fails(sync("production", "--timeout", "0.5"))
    assert line == "production: failed: pulumi gave no answer within 0.5 s (--timeout)"
    assert not is_running(int((sync.project / "sleeper").read_text()))
    assert not sync.files()


def test_another_sync_is_waited_for(sync: Sync) -> None:
    state = sync.home / ".local/state/aws-keys"
    state.mkdir(parents=True)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = sync("production", "--timeout", "0.5")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[0] == "waiting for another sync to end"
    assert said[1].endswith("lock: another sync has held this lock for 0.5 s")
    assert sync.files() == {".local/state/aws-keys/lock"}


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_ends_the_engine_and_leaves_nothing(
    sync: Sync, number: signal.Signals
) -> None:
    sync.does("production", "echo $$ > engine; sleep 600")
    # A signal that the tests' own process ignores would be ignored in its children too.
    before = signal.signal(number, signal.default_int_handler)
    with subprocess.Popen(
        sync.command("production"),
        cwd=sync.project,
        env=sync.environ,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (sync.project / "engine").exists() or not (sync.project / "engine").read_text():
            time.sleep(0.01)
        for _ in range(3):  # whoever is in a hurry
            process.send_signal(number)
        signal.signal(number, before)
        _, said = process.communicate()
    assert (process.returncode, said) == (130, "sync: interrupted\n")
    assert not is_running(int((sync.project / "engine").read_text()))
    assert not sync.files()


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", "did not print JSON"),
        ("sEcReT {", "did not print JSON"),
        ("[1]", "something else than the stack's outputs"),
        ("null", "has no outputs"),
        (json.dumps(outputs("production") | {"secret_access_key": "[secret]"}), "is masked"),
        (json.dumps(outputs("production") | {"private_key": None}), "is null: was the passphrase"),
        (
            json.dumps(outputs("production") | {"region": "a\nb"}),
            "output region is not of the form",
        ),
        (
            json.dumps(outputs("production") | {"private_key": "sEcReT"}),
            "private_key is not of the",
        ),
    ],
)
def test_outputs_that_are_none_are_refused_unseen(sync: Sync, printed: str, reason: str) -> None:
    sync.gives("production", printed)
    line = fails(sync("production"))
    assert line.startswith("production: failed: ")
    assert reason in line
    assert "sEcReT" not in line
    assert not sync.files()


def test_what_a_failing_engine_printed_is_not_shown(sync: Sync) -> None:
    sync.does("production", "echo sEcReT; echo 'error: the reason' >&2; echo more >&2; exit 9")
    assert fails(sync("production")) == "production: failed: the reason"


def test_the_last_word_of_an_engine_that_gives_no_reason(sync: Sync) -> None:
    sync.does("production", "echo 'panic: \033[31mred' >&2; exit 2")
    assert fails(sync("production")) == (
        r"production: failed: pulumi ended with status 2: panic: \x1b[31mred"
    )


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "2>/dev/null <&- >&-"])
def test_with_nobody_to_tell_the_files_are_written_all_the_same(sync: Sync, closed: str) -> None:
    done = in_a_shell(sync, f'"$@" {closed}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ".pem/production.pem" in sync.files()


@pytest.mark.parametrize("printed", ["--help", "--version"])
def test_an_answer_that_cannot_be_printed_is_a_failure(sync: Sync, printed: str) -> None:
    done = in_a_shell(sync, f'"$@" {printed} > /dev/full')
    assert fails(done) == "sync: standard output: No space left on device"


def test_json_to_a_closed_output_writes_nothing(sync: Sync) -> None:
    done = in_a_shell(sync, '"$@" --json >&-')
    assert fails(done) == "sync: standard output is closed, and --json would go there"
    assert not sync.files()


def test_without_standard_input_a_missing_passphrase_is_told(sync: Sync) -> None:
    sync.does("production", "echo 'error: passphrase must be set with ...' >&2; exit 255")
    assert "set PULUMI_CONFIG_PASSPHRASE" in fails(in_a_shell(sync, '"$@" <&-'))


def test_a_state_that_a_killed_engine_left_unreadable_is_explained(sync: Sync) -> None:
    sync.does("production", "echo 'error: failed to load checkpoint: EOF' >&2; exit 255")
    assert "an empty .attrs file beside the state; remove that" in fails(sync("production"))


def test_nohup_is_heeded(sync: Sync) -> None:
    sync.does("production", "kill -HUP $PPID; sleep 0.1; cat production.json")
    done = in_a_shell(sync, "trap '' HUP; exec \"$@\"")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("to", [">/dev/full", "| exec 0<&-"])
def test_json_that_cannot_be_printed_is_a_failure(sync: Sync, to: str) -> None:
    done = in_a_shell(sync, f'{{ "$@" --json; echo "status $?" >&2; }} {to}')
    first, last = done.stderr.splitlines()
    assert first.startswith("sync: standard output: ")
    assert last == "status 1"


def in_a_shell(sync: Sync, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script, "sh", *sync.command("production")],
        cwd=sync.project,
        env=sync.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_machine_learns_of_an_early_failure_too(sync: Sync) -> None:
    done = sync("production", "--json", "-C", "missing")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "missing is not a directory"


def test_the_engine_is_spared_its_look_for_updates(sync: Sync) -> None:
    sync.does("production", 'echo "$PULUMI_SKIP_UPDATE_CHECK" > skip; cat production.json')
    sync("production")
    assert (sync.project / "skip").read_text() == "true\n"


def test_an_engine_that_was_stopped_starts_no_more(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", sync.environ["PATH"])
    engine = Engine(str(sync.project), 10, sync.environ)
    engine.stop()
    with pytest.raises(StackError, match="interrupted"):
        engine.read_outputs(["production"])("production")


def test_no_core_file_is_left_of_a_crash(sync: Sync) -> None:
    sync.does("production", "ulimit -c > core-limit; cat production.json")
    in_a_shell(sync, 'ulimit -c unlimited 2> /dev/null; "$@"')
    assert (sync.project / "core-limit").read_text() == "0\n"


def test_a_home_that_cannot_be_written(sync: Sync) -> None:
    line = fails(sync("production", HOME="/dev/null"))
    assert line == "production: failed: /dev/null: is not a directory; one belongs there"


def in_a_mount_namespace(sync: Sync, prepare: str) -> subprocess.CompletedProcess[str]:
    """Run ``sync production`` with a small file system of its own as home, after ``prepare``."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    script = f"""set -e
        mount -t tmpfs -o size=64k,mode=700 tmpfs "$HOME"
        mkdir "$HOME/.aws" "$HOME/.pem"; printf '[mine]\\nx = 1\\n' > "$HOME/.aws/credentials"
        cd "$HOME"; {prepare}; cd - > /dev/null
        find "$HOME" -type f -exec cksum {{}} + | sort > before
        "$@" && status=0 || status=$?
        find "$HOME" -type f -exec cksum {{}} + | sort > after
        exit $status"""
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", *sync.command("production")],
        cwd=sync.project,
        env=sync.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    before = set((sync.project / "before").read_text().splitlines())
    after = set((sync.project / "after").read_text().splitlines())
    if done.returncode:
        assert before <= after
        made = {Path(line.split()[-1]).name for line in after - before}
        assert made <= {"lock", "credentials.before-aws-keys", "credentials.aws-keys.bak"}
    return done


def test_a_full_disk_leaves_every_file_as_it_was(sync: Sync) -> None:
    failures = 0
    for pages in range(16):  # free: sync gets a little further each time
        fill = "cat /dev/zero > filler 2> /dev/null || true"
        done = in_a_mount_namespace(sync, f"{fill}; truncate -s -{pages * 4096} filler")
        if not done.returncode:
            break
        failures += 1
        line = fails(done)
        assert line.startswith(f"production: failed: {sync.home}/")
        assert line.endswith(": No space left on device")
    assert 3 < failures < 16


def test_a_read_only_home_is_named(sync: Sync) -> None:
    line = fails(in_a_mount_namespace(sync, 'mount -o remount,ro "$HOME"'))
    assert line == f"production: failed: {sync.home}/.local: Read-only file system"


def test_a_profile_that_stands_twice(sync: Sync) -> None:
    credentials = sync.home / ".aws/credentials"
    credentials.parent.mkdir()
    credentials.write_bytes(b"[production]\n\n[production]\n")
    line = fails(sync("production"))
    assert f"{credentials}, line 3: section 'production' stands twice" in line
    assert sync.files() == {".aws/credentials", ".local/state/aws-keys/lock"}


def test_a_crash_shows_where_but_neither_traceback_nor_secret(
    sync: Sync, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(_: Engine) -> None:
        raise ValueError("sEcReT")

    monkeypatch.setattr(Engine, "check_directory", crash)
    monkeypatch.chdir(sync.project)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.main(["production"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err
    assert said.startswith("sync: internal error, please report it: ValueError at cli.py:")
    assert "sEcReT" not in said


def test_nothing_heavy_is_imported(sync: Sync) -> None:
    script = (
        "import sys; from sync.cli import main; main(['production'])\n"
        "heavy = {'boto3', 'botocore', 'pulumi', 'grpc', 'cryptography', 'asyncio', 'logging'}\n"
        "print(*heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=sync.project,
        env=sync.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"


@pytest.fixture
def aws(sync: Sync) -> Iterator[Aws]:
    """An AWS that takes the keys of production, and says so of any others too."""
    for stand_in in running():
        sync.environ |= {
            "AWS_ENDPOINT_URL": stand_in.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "AKIAAMBIENT",
            "AWS_SECRET_ACCESS_KEY": "ambient",
            "AWS_SESSION_TOKEN": "ambient",
        }
        stand_in.answers("GetCallerIdentity", identity("production"))
        yield stand_in


def test_verify_asks_aws_with_the_profile_after_writing(sync: Sync, aws: Aws) -> None:
    for wrote in ("wrote", "unchanged"):
        aws.asked.clear()
        done = sync("production", "--profile", "work", "--verify")
        assert (done.returncode, done.stdout) == (0, "")
        *files, last = done.stderr.splitlines()
        assert [line.split()[1] for line in files] == [wrote] * 3
        assert last == f"production: AWS takes the keys of profile work: {arn('production')}"
        key_id = outputs("production")["access_key_id"]
        assert [(asked.key_id, asked.token) for asked in aws.asked] == [(key_id, None)] * 5


def test_what_is_not_verified_fails_its_stack_alone(sync: Sync, aws: Aws) -> None:
    done = sync("production", "staging", "--verify")
    assert done.returncode == 1
    taken, failed, sum_ = done.stderr.splitlines()[-3:]
    assert taken.startswith("production: AWS takes the keys")
    assert failed == (
        "staging: failed: written, but not verified: profile staging: the keys are those of "
        f"{arn('production')}, and should be those of {arn('staging')}"
    )
    assert sum_ == "failed: staging (1 of 2 stacks)"
    assert {".pem/production.pem", ".pem/staging.pem"} <= sync.files()
    assert aws.asked


def test_a_profile_that_boto3_stumbles_over_fails_its_stack_alone(sync: Sync, aws: Aws) -> None:
    (sync.home / ".aws").mkdir()
    (sync.home / ".aws/config").write_text(
        "[profile staging]\nrole_arn = arn:aws:iam::123456789012:role/r\n"
        "web_identity_token_file = /nonexistent\n"
    )
    done = sync("production", "staging", "--verify", "--json")
    production, staging = json.loads(done.stdout)["stacks"]
    assert production["verified"]["arn"] == arn("production")
    assert staging["error"].startswith("written, but not verified: profile staging: a file or prog")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "failed: staging (1 of 2 stacks)"
    assert aws.asked


def test_a_machine_is_told_who_the_keys_are(sync: Sync, aws: Aws) -> None:
    done = sync("production", "staging", "--verify", "--json")
    document = json.loads(done.stdout)
    production, staging = document["stacks"]
    assert production["verified"] == {
        "account_id": "123456789012",
        "arn": arn("production"),
    }
    assert (staging["verified"], done.returncode) == (None, 1)
    assert "not verified" in staging["error"]
    assert aws.asked
    assert json.loads(sync("production", "--json").stdout)["stacks"][0]["verified"] is None


def test_a_stack_that_was_not_written_is_not_verified(sync: Sync, aws: Aws) -> None:
    sync.gives("production", "{}")
    line = fails(sync("production", "--verify"))
    assert line.startswith("production: failed: has no outputs")
    assert not aws.asked


def test_on_a_terminal_the_verification_shows_its_progress(sync: Sync, aws: Aws) -> None:
    status, shown = on_a_terminal(sync, "", "production", "--verify")
    assert status == 0
    waiting = "\rasking AWS for production, again and again: 0 s\x1b[K"
    assert waiting in shown
    assert shown.rindex("\r\x1b[K") > shown.rindex("again and again")
    assert aws.asked


def test_verification_gives_up_when_the_timeout_is_over(sync: Sync, aws: Aws) -> None:
    aws.answers("GetCallerIdentity", error("InvalidClientTokenId"))
    done = sync("production", "--verify", "--timeout", "2")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "AWS refuses the keys: InvalidClientTokenId" in last
    assert last.endswith("; asked for 2 s")


def read_until_hidden(descriptor: int) -> str:
    """All that a terminal gets to show."""
    text = b""
    try:
        while part := os.read(descriptor, 4096):
            text += part
    except OSError:  # the other side is closed
        pass
    return text.decode()


def on_a_terminal(sync: Sync, typed: str, *arguments: str, **environ: str) -> tuple[int, str]:
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(sync.project)
        os.execve(  # noqa: S606  a terminal needs no shell
            sys.executable, sync.command(*arguments), sync.environ | environ
        )
    if typed:
        shown = b""
        while b"Passphrase" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, typed.encode())
    shown_after = read_until_hidden(terminal)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown_after


def test_on_a_terminal_a_missing_passphrase_is_asked_for_unseen(sync: Sync) -> None:
    missing = "echo 'error: constructing: passphrase must be set with ...' >&2; exit 255"
    sync.does(
        "production",
        f'if [ "$PULUMI_CONFIG_PASSPHRASE" = open ]; then cat production.json; else {missing}; fi',
    )
    status, shown = on_a_terminal(sync, "open\n", "production")
    assert status == 0
    assert "open" not in shown
    assert ".pem/production.pem" in sync.files()


def test_without_a_terminal_a_missing_passphrase_is_told(sync: Sync) -> None:
    sync.does("production", "echo 'error: passphrase must be set with ...' >&2; exit 255")
    assert "set PULUMI_CONFIG_PASSPHRASE" in fails(sync("production"))


def test_a_terminal_sees_progress(sync: Sync) -> None:
    status, shown = on_a_terminal(sync, "", "production")
    assert status == 0
    assert shown.startswith("reading production ...\r\x1b[K")
