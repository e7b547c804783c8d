"""``python -m sync remove`` on real files of a home made for the test."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync import clearing, home
from sync.places import Places
from sync.plan import Unreadable, Wish, aside_name, key_file
from sync.private_file import FileError, PrivateFile
from sync.receipts import Receipts
from sync.removal import NothingWritten, Request
from tests.stacks import access_key, key_pair, rotated, rotating, stack_keys

if TYPE_CHECKING:
    from sync.outcome import Outcome
    from sync.stack import StackKeys

ROOT = Path(__file__).parents[2]
THEIRS = b"[mine]\nx = 1"
NAMES = ("production", "staging", "test")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A home with a credentials file of somebody's and no config file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_bytes(THEIRS)
    return Places.find(None)


def write(places: Places, *keys: StackKeys, take_over: bool = False) -> None:
    wishes = [Wish(k, k.stack, places.private_key(k.stack)) for k in keys or (stack_keys(),)]
    outcomes = home.write(
        places, wishes, take_over=take_over, patience=5, on_wait=lambda: pytest.fail("waits")
    )
    assert not [outcome.error for outcome in outcomes if outcome.error]


def remove(
    places: Places, stack: str = "production", *, old_keys: bool = False, backups: bool = False
) -> Outcome:
    return clearing.remove(
        places,
        Request(stack, None, old_keys, backups),
        patience=5,
        on_wait=lambda: pytest.fail("waits"),
    )


def content(root: Path) -> dict[str, bytes]:
    """Every file below ``root`` but those of the state directory."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".local" not in path.parts
    }


def receipts(root: Path) -> Receipts:
    return Receipts.load((root / ".local/state/aws-keys/receipts.json").read_bytes())


def removed(outcome: Outcome) -> list[str]:
    return [Path(c.path).name for c in outcome.changes if c.action == "removed"]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("order", [NAMES, NAMES[::-1], ("staging", "production", "test")])
def test_what_was_written_and_removed_leaves_a_home_as_it_was(
    places: Places, tmp_path: Path, order: tuple[str, ...], *, at_once: bool
) -> None:
    before = content(tmp_path)
    for keys in [NAMES] if at_once else [(name,) for name in NAMES]:
        write(places, *map(stack_keys, keys))
    for name in order:
        assert remove(places, name, old_keys=True, backups=True).error is None
    assert content(tmp_path) == before
    assert receipts(tmp_path) == Receipts.load(None)


def test_a_file_that_sync_made_goes_though_it_was_cut_off_before_the_last_note(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = PrivateFile.commit
    written = iter(["receipts before", "receipts after"])

    def fail_the_second_time(self: PrivateFile) -> None:
        if self.path.name == "receipts.json" and next(written) == "receipts after":
            raise FileError(self.path, "No space left on device")
        commit(self)

    with monkeypatch.context() as patch:
        patch.setattr(PrivateFile, "commit", fail_the_second_time)
        write(places)
    remove(places, backups=True)
    assert content(tmp_path) == {".aws/credentials": THEIRS}


def test_a_file_that_was_there_and_empty_stays(places: Places, tmp_path: Path) -> None:
    (tmp_path / ".aws/config").write_bytes(b"")
    write(places)
    remove(places, backups=True)
    assert content(tmp_path) == {".aws/credentials": THEIRS, ".aws/config": b""}


def test_directories_stay(places: Places, tmp_path: Path) -> None:
    write(places)
    remove(places)
    assert stat.S_IMODE((tmp_path / ".pem").stat().st_mode) == 0o700


def test_a_preview_tells_all_that_is_done_and_touches_nothing(
    places: Places, tmp_path: Path
) -> None:
    write(places, rotating())
    before = content(tmp_path), receipts(tmp_path)
    request = Request("production", old_keys=True, backups=True)
    seen = clearing.preview(places, request)
    assert (content(tmp_path), receipts(tmp_path)) == before
    assert remove(places, old_keys=True, backups=True) == seen


def test_what_a_file_held_before_is_kept_as_for_a_write(places: Places, tmp_path: Path) -> None:
    write(places)
    credentials = tmp_path / ".aws/credentials"
    held = credentials.read_bytes()
    credentials.chmod(0o644)
    outcome = remove(places)
    assert credentials.read_bytes() == THEIRS
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    kept = tmp_path / ".aws/credentials.aws-keys.bak"
    assert kept.read_bytes() == held
    assert (tmp_path / ".aws/credentials.before-aws-keys").read_bytes() == THEIRS
    told = {Path(c.path).name: c.action for c in outcome.changes}
    assert told[kept.name] == told["credentials.before-aws-keys"] == "left"


def test_the_first_change_by_a_removal_keeps_a_first_copy(places: Places, tmp_path: Path) -> None:
    write(places)
    held = (tmp_path / ".aws/credentials").read_bytes()
    for name in ("credentials.before-aws-keys", "credentials.aws-keys.bak"):
        (tmp_path / ".aws" / name).unlink(missing_ok=True)
    unchanged = receipts(tmp_path)._replace(changed=frozenset())
    (tmp_path / ".local/state/aws-keys/receipts.json").write_bytes(unchanged.dump())
    remove(places)
    assert (tmp_path / ".aws/credentials.before-aws-keys").read_bytes() == held


def test_once_the_backups_are_gone_the_next_write_keeps_a_first_copy_again(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    remove(places, backups=True)
    assert not receipts(tmp_path).changed
    newer = THEIRS + b"\ny = 2\n"
    (tmp_path / ".aws/credentials").write_bytes(newer)
    write(places)
    assert (tmp_path / ".aws/credentials.before-aws-keys").read_bytes() == newer


def test_other_stacks_keep_their_way_back(places: Places, tmp_path: Path) -> None:
    write(places, stack_keys(), stack_keys("staging"))
    remove(places, backups=True)
    names = {path.name for path in (tmp_path / ".aws").iterdir()}
    assert names == {"credentials", "config", "credentials.before-aws-keys"}
    assert access_key("production")[1] not in str(content(tmp_path))
    assert access_key("staging")[1] in str(content(tmp_path))


def test_replaced_keys_go_when_asked_and_those_of_others_never(
    places: Places, tmp_path: Path
) -> None:
    pem = tmp_path / ".pem"
    pem.mkdir(mode=0o700)
    theirs = key_pair("theirs")[0].encode()
    (pem / "production.pem").write_bytes(theirs)
    write(places, take_over=True)
    write(places, rotated())
    kept = aside_name(theirs, "production")
    old = aside_name(key_file(stack_keys().private_key), "production")
    assert removed(remove(places))[-1] == "production.pem"
    assert {path.name for path in pem.iterdir()} == {kept, old}
    assert removed(remove(places, old_keys=True)) == [old]
    assert (pem / kept).read_bytes() == theirs
    assert [path.name for path in pem.iterdir()] == [kept]


def test_a_link_by_the_name_of_a_replaced_key_is_not_followed(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    write(places, rotated())
    (old,) = (tmp_path / ".pem").glob("production.*.pem")
    old.rename(tmp_path / "mine")
    old.symlink_to(tmp_path / "mine")
    remove(places, old_keys=True)
    assert (tmp_path / "mine").read_bytes() == key_file(stack_keys().private_key)


def test_a_key_file_that_is_a_link_stays_with_what_it_leads_to(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    key = tmp_path / ".pem/production.pem"
    target = tmp_path / "usb/mine.pem"
    target.parent.mkdir()
    key.rename(target)
    key.symlink_to("../usb/mine.pem")
    outcome = remove(places, backups=True)
    assert outcome.error is None
    assert key.read_bytes() == target.read_bytes() == key_file(stack_keys().private_key)
    (told,) = (change for change in outcome.changes if change.path == str(key))
    assert told.action == "left"
    assert told.facts["what"] == "it is a symbolic link to ../usb/mine.pem; both stay"
    assert (tmp_path / ".aws/credentials").read_bytes() == THEIRS


def test_a_file_of_aws_that_is_a_link_by_now_is_not_left_dangling(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    config = tmp_path / ".aws/config"
    config.rename(tmp_path / "dotfile")
    config.symlink_to("../dotfile")
    assert remove(places).error is None
    assert config.is_symlink()
    assert config.read_bytes() == b""


def test_a_directory_instead_of_the_key_file_is_left_and_the_rest_goes(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    key = tmp_path / ".pem/production.pem"
    key.unlink()
    key.mkdir()
    outcome = remove(places, backups=True)
    assert outcome.error is None
    assert content(tmp_path) == {".aws/credentials": THEIRS}
    assert key.is_dir()
    (told,) = (change for change in outcome.changes if change.path == str(key))
    assert (told.action, told.facts["what"]) == ("left", "it is a directory")


def test_a_replaced_key_that_was_kept_by_a_numbered_name_goes_when_asked(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    taken = tmp_path / ".pem" / aside_name(key_file(stack_keys().private_key), "production")
    taken.write_bytes(b"mine")
    write(places, rotated())
    numbered = taken.with_stem(f"{taken.stem}-2")
    assert numbered.exists()
    outcome = remove(places)
    assert str(numbered) in [change.path for change in outcome.changes]
    assert removed(remove(places, old_keys=True)) == [numbered.name]
    assert [path.read_bytes() for path in (tmp_path / ".pem").iterdir()] == [b"mine"]


@pytest.mark.parametrize("then", ["remove", "write"])
@pytest.mark.parametrize("name", [".pem/production.pem", ".aws/config"])
def test_what_is_written_into_a_file_that_a_killed_removal_moved_aside_is_not_lost(
    places: Places, tmp_path: Path, name: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places)
    path = tmp_path / name
    rename = Path.rename

    def die_behind(self: Path, target: Path) -> Path:
        if self == path:
            with self.open("ab") as other:
                rename(self, target)
                other.write(b"# theirs\n")
            os._exit(9)
        return rename(self, target)

    child = os.fork()
    if not child:
        monkeypatch.setattr(Path, "rename", die_behind)
        try:
            remove(places)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not path.exists()
    if then == "remove":
        remove(places)
    else:
        wish = Wish(stack_keys(), "production", places.private_key("production"))
        home.write(places, [wish], take_over=False, patience=5, on_wait=lambda: None)
    assert b"# theirs\n" in path.read_bytes()
    assert not list(path.parent.glob("*.removing"))


def test_a_copy_from_a_take_over_stays_and_is_named(places: Places, tmp_path: Path) -> None:
    theirs = b"[production]\naws_access_key_id = AKIATHEIRS\n"
    (tmp_path / ".aws/credentials").write_bytes(theirs)
    write(places, take_over=True)
    outcome = remove(places, old_keys=True, backups=True)
    (kept,) = (tmp_path / ".aws").glob("credentials.taken-over-*")
    assert kept.read_bytes() == theirs
    assert (str(kept), "left") in [(change.path, change.action) for change in outcome.changes]
    assert (tmp_path / ".aws/credentials").read_bytes() == b"[production]\n"


def test_removing_again_what_is_gone_is_told(places: Places) -> None:
    write(places)
    remove(places)
    with pytest.raises(NothingWritten, match="nothing was ever written for stack production"):
        remove(places)


def test_what_was_removed_by_hand_is_forgotten(places: Places, tmp_path: Path) -> None:
    write(places)
    (tmp_path / ".aws/credentials").write_bytes(THEIRS)
    (tmp_path / ".aws/config").unlink()
    (tmp_path / ".pem/production.pem").unlink()
    outcome = remove(places)
    assert [change.action for change in outcome.changes][:3] == ["gone"] * 3
    assert not removed(outcome)
    assert not receipts(tmp_path).by_place


def test_what_another_program_wrote_meanwhile_stays(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places)
    commit = PrivateFile.commit
    more = b"\n[theirs]\nx = 1\n"

    def change_just_before(self: PrivateFile) -> None:
        if self.path.name in ("credentials", "config"):
            self.path.write_bytes(self.path.read_bytes() + more)
        commit(self)

    monkeypatch.setattr(PrivateFile, "commit", change_just_before)
    assert remove(places).error is None
    assert (tmp_path / ".aws/credentials").read_bytes() == THEIRS + more
    assert (tmp_path / ".aws/config").read_bytes() == more


def test_another_key_put_into_the_profile_meanwhile_is_left_and_told(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places)
    commit = PrivateFile.commit
    theirs = b"[production]\naws_access_key_id = AKIATHEIRS\n"

    def change_just_before(self: PrivateFile) -> None:
        if self.path.name == "credentials":
            self.path.write_bytes(theirs)
        commit(self)

    monkeypatch.setattr(PrivateFile, "commit", change_just_before)
    outcome = remove(places)
    assert outcome.changes[0].action == "left"
    assert (tmp_path / ".aws/credentials").read_bytes() == theirs


@pytest.mark.parametrize("moment", ["before", "during", "being written"])
def test_a_key_file_that_is_changed_meanwhile_stays(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write(places)
    key = tmp_path / ".pem/production.pem"
    rename, take = Path.rename, PrivateFile.remove
    with contextlib.ExitStack() as still_open, monkeypatch.context() as patch:

        def change() -> None:
            writer = still_open.enter_context(key.open("ab"))
            writer.write(b"theirs\n")
            writer.flush()
            if moment != "being written":
                writer.close()

        def change_before(self: PrivateFile) -> None:
            if self.path == key:
                change()
            take(self)

        def change_during(self: Path, target: Path) -> Path:
            if self == key:
                assert moment != "before", "it was moved away though it was known to be changed"
                change()
            return rename(self, target)

        patch.setattr("sync.private_file._PATIENCE", 0.3)
        if moment == "before":
            patch.setattr(PrivateFile, "remove", change_before)
        patch.setattr(Path, "rename", change_during)
        outcome = remove(places)
    assert outcome.error == f"{key}: another program changed it meanwhile"
    assert key.read_bytes() == key_file(stack_keys().private_key) + b"theirs\n"
    assert removed(outcome) == ["credentials", "config", "config"]
    assert [path.name for path in key.parent.iterdir()] == ["production.pem"]
    assert remove(places).error is None
    assert key.exists()


def test_an_emptied_file_that_somebody_fills_meanwhile_stays(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places)
    config = tmp_path / ".aws/config"
    commit = PrivateFile.commit

    def change_just_after(self: PrivateFile) -> None:
        commit(self)
        if self.path == config:
            config.write_bytes(b"[theirs]\n")

    monkeypatch.setattr(PrivateFile, "commit", change_just_after)
    assert "config" in removed(remove(places))
    assert config.read_bytes() == b"[theirs]\n"


def test_a_file_that_boto3_cannot_read_stops_all_and_nothing_is_touched(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    (tmp_path / ".aws/config").write_bytes(b"[a]\n[a]\n")
    before = content(tmp_path), receipts(tmp_path)
    with pytest.raises(Unreadable, match="line 2: section 'a' stands twice"):
        remove(places)
    assert (content(tmp_path), receipts(tmp_path)) == before


def test_what_fails_half_way_is_told_and_can_be_run_again(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places)

    def fail(self: PrivateFile) -> None:
        raise FileError(self.path, "no")

    with monkeypatch.context() as patch:
        patch.setattr(PrivateFile, "remove", fail)
        outcome = remove(places)
    assert outcome.error == f"{tmp_path}/.pem/production.pem: no"
    assert removed(outcome) == ["credentials", "config"]  # and not the file, which is still there
    assert (tmp_path / ".aws/config").read_bytes() == b""
    assert receipts(tmp_path).by_place
    assert remove(places, backups=True).error is None
    assert content(tmp_path) == {".aws/credentials": THEIRS}


def dies_at(change: int, places: Places) -> bool:
    """Remove in a process that dies before it makes its ``change``-th change to a file."""
    child = os.fork()
    if not child:
        count = iter(range(1000))
        for name in ("replace", "rename", "link", "unlink", "mkdir", "fsync"):
            real = getattr(os, name)

            def dying(*args: object, real: object = real, **options: object) -> object:
                if next(count) == change:
                    os._exit(9)
                assert callable(real)
                return real(*args, **options)

            setattr(os, name, dying)
        remove(places, old_keys=True, backups=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_change_of_a_file_the_next_run_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in range(100):
        root = tmp_path / str(change)
        (root / ".aws").mkdir(parents=True)
        (root / ".aws/credentials").write_bytes(THEIRS)
        monkeypatch.setenv("HOME", str(root))
        places = Places.find(None)
        write(places)
        write(places, rotated())
        if not dies_at(change, places):
            break
        credentials = (root / ".aws/credentials").read_bytes()
        assert (b"aws_access_key_id" in credentials) == (b"aws_secret_access_key" in credentials)
        try:
            assert remove(places, old_keys=True, backups=True).error is None
        except NothingWritten:  # it died in its very last steps
            assert not receipts(root).by_place
        assert content(root) == {".aws/credentials": THEIRS}
    assert change > 12


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sync", "remove", *arguments]


def environment(places: Places) -> dict[str, str]:
    coverage = {name: v for name, v in os.environ.items() if name.startswith("COVERAGE_")}
    path = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT)}  # no engine is needed
    return {"HOME": str(places.pem_directory.parent), **path, **coverage}


def run(places: Places, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments),
        cwd=places.pem_directory.parent,
        env=environment(places),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert access_key("production")[0] not in said
    assert access_key("production")[1] not in said
    return done


def test_one_line_a_thing_says_what_was_done(places: Places) -> None:
    write(places)
    key_id = access_key("production")[0]
    looked = run(places, "production", "--dry-run").stderr
    done = run(places, "production", "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert looked == done.stderr.replace(" removed ", " would remove ").replace(
        " left ", " would leave "
    )
    lines = done.stderr.splitlines()
    assert lines[0] == (
        f"production: removed ~/.aws/credentials: [production] access key ...{key_id[-4:]}"
    )
    assert lines[1:3] == [
        "production: removed ~/.aws/config: [profile production] region us-west-2",
        "production: removed ~/.aws/config: the file, which is empty then",
    ]
    assert lines[3].startswith("production: removed ~/.pem/production.pem: ED25519 SHA256:")
    assert [line.partition(": left ~/.aws/")[2] for line in lines[4:]] == [
        "config.aws-keys.bak: what the file held before; --backups removes it",
        "credentials.aws-keys.bak: what the file held before, with keys; --backups removes it",
        "credentials.before-aws-keys: what it held before sync; --backups removes it",
    ]


def test_without_a_terminal_it_wants_a_yes_beforehand(places: Places, tmp_path: Path) -> None:
    write(places)
    before = content(tmp_path)
    done = run(places, "production")
    assert done.returncode == 1
    assert done.stderr == "sync: there is no terminal to ask at: --yes removes without asking\n"
    assert content(tmp_path) == before


def test_what_is_gone_already_is_not_forgotten_without_a_yes(
    places: Places, tmp_path: Path
) -> None:
    write(places)
    for name in (".aws", ".pem"):
        (tmp_path / name).rename(tmp_path / f"{name} elsewhere")
    known = receipts(tmp_path)
    assert run(places, "production").returncode == 1
    assert receipts(tmp_path) == known
    done = run(places, "production", "--yes")
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == (
        "production: already gone from ~/.aws/credentials: [production] access key"
    )
    assert run(places, "production", "--yes").returncode == 1


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_shows_and_asks(
    places: Places, tmp_path: Path, answer: str, status: int
) -> None:
    write(places)
    before = content(tmp_path)
    pid, terminal = pty.fork()
    if not pid:
        os.execve(sys.executable, command("production"), environment(places))  # noqa: S606  a terminal needs no shell
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(terminal, 4096)
    assert b"would remove ~/.pem/production.pem" in shown
    assert content(tmp_path) == before
    os.write(terminal, f"{answer}\n".encode())
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # the other side is closed
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert (content(tmp_path) == before) == (answer != "y")
    assert (b"nothing was removed" in shown) == (answer != "y")


def test_a_stack_that_nothing_was_written_for_is_told_which_there_are(places: Places) -> None:
    write(places, stack_keys(), stack_keys("staging"))
    done = run(places, "prodcution", "--yes")
    assert done.returncode == 1
    assert done.stderr == (
        "sync: nothing was ever written for stack prodcution here; there is something for: "
        "production, staging\n"
    )


def test_where_sync_was_never_run_nothing_is_made(places: Places, tmp_path: Path) -> None:
    assert "there is something for: none" in run(places, "production", "--yes").stderr
    assert {path.name for path in tmp_path.iterdir()} == {".aws"}


def test_a_machine_gets_json(places: Places) -> None:
    write(places)
    document = json.loads(run(places, "a/b/production", "--yes", "--json").stdout)
    (stack,) = document["stacks"]
    assert (document["dry_run"], document["error"], stack["error"]) == (False, None, None)
    assert stack["changes"][0]["action"] == "removed"
    assert stack["changes"][0]["facts"]["section"] == "production"
    again = run(places, "production", "--yes", "--json")
    assert again.returncode == 1
    assert "nothing was ever written" in json.loads(again.stdout)["error"]


def test_another_sync_is_waited_for(places: Places, tmp_path: Path) -> None:
    write(places)
    before = content(tmp_path)
    with (tmp_path / ".local/state/aws-keys/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(places, "production", "--yes", "--timeout", "0.3")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "waiting for another sync to end"
    assert content(tmp_path) == before


def test_key_files_of_another_directory(places: Places, tmp_path: Path) -> None:
    elsewhere = places._replace(pem_directory=tmp_path / "keys", pem_directory_is_ours=False)
    write(elsewhere)
    told = run(places, "production", "--dry-run").stderr
    assert "warning: " in told
    assert f"{tmp_path}/keys/production.pem is of this stack too, and stays" in told
    done = run(places, "production", "--yes", "--pem-dir", "keys", "--backups")
    assert done.returncode == 0
    assert content(tmp_path) == {".aws/credentials": THEIRS}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: STACK"),
        (["a", "b"], "unrecognized arguments: b"),
        (["../production"], "stack name '../production': allowed are"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_status_2(
    places: Places, arguments: list[str], reason: str
) -> None:
    done = run(places, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert reason in line
    assert line.endswith("(see python -m sync remove --help)")


def test_help_has_examples_and_tells_what_is_not_undone(places: Places) -> None:
    text = run(places, "--help").stdout
    assert "python -m sync remove test --dry-run" in text
    assert "What is not undone" in text
