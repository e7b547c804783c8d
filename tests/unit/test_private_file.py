"""Files that only their owner may read, beside programs that write them without care."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sync import private_file
from sync.private_file import (
    FileError,
    PrivateFile,
    lock,
    make_directory,
    narrow_directory,
    put_back,
    wide_mode,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def add_line(data: bytes | None) -> bytes:
    return (data or b"") + b"ours\n"


def write(path: Path) -> None:
    with PrivateFile(path) as file:
        file.stage(add_line, keep_last=f"{path.name}.bak")
        file.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one line, in a directory with nothing else."""
    path = tmp_path / "credentials"
    path.write_bytes(b"theirs\n")
    path.chmod(0o600)
    return path


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


def test_the_new_content_takes_the_place_of_the_old_which_is_kept(path: Path) -> None:
    write(path)
    assert path.read_bytes() == b"theirs\nours\n"
    assert path.with_name("credentials.bak").read_bytes() == b"theirs\n"
    assert names(path) == {"credentials", "credentials.bak"}


def test_a_new_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_directory(tmp_path / "a" / "b")
        write(tmp_path / "a" / "b" / "file")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    assert mode(tmp_path / "a" / "b" / "file") == 0o600


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o400, 0o400), (0o777, 0o600)])
def test_modes_are_narrowed_never_widened(path: Path, before: int, after: int) -> None:
    path.chmod(before)
    write(path)
    assert mode(path) == mode(path.with_name("credentials.bak")) == after


def test_a_mode_is_narrowed_without_touching_the_content(path: Path) -> None:
    path.chmod(0o664)
    changed = path.stat().st_mtime_ns
    with PrivateFile(path) as file:
        assert file.wide_mode == 0o664
        file.narrow()
    assert mode(path) == 0o600
    assert path.stat().st_mtime_ns == changed


def test_a_directory_is_narrowed_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert wide_mode(tmp_path) == 0o755
    narrow_directory(tmp_path)
    assert wide_mode(tmp_path) is None
    assert mode(tmp_path) == 0o700


def test_a_symbolic_link_stays_one_and_its_backup_stays_beside_the_link(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "credentials"
    target.parent.mkdir()
    target.write_bytes(b"theirs\n")
    link = tmp_path / "credentials"
    link.symlink_to("dotfiles/credentials")
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"theirs\nours\n"
    assert names(target) == {"credentials"}
    assert link.with_name("credentials.bak").read_bytes() == b"theirs\n"


def test_a_dangling_link_gets_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link")
    assert (tmp_path / "target").read_bytes() == b"ours\n"


def change_and_keep_first(path: Path) -> None:
    with PrivateFile(path) as file:
        file.stage(add_line, keep_first="kept")
        file.commit()


def test_the_first_copy_is_never_overwritten(path: Path) -> None:
    for content in (b"first\n", b"second\n"):
        path.write_bytes(content)
        change_and_keep_first(path)
    assert path.with_name("kept").read_bytes() == b"first\n"


def test_the_first_copy_is_of_what_was_there_before_the_first_change(path: Path) -> None:
    with PrivateFile(path) as file:
        file.stage(add_line, keep_first="kept")
        path.write_bytes(b"theirs, newer\n")
        file.commit()
    assert path.with_name("kept").read_bytes() == b"theirs, newer\n"


def let_the_change_of(path: Path, monkeypatch: pytest.MonkeyPatch, fail: OSError) -> None:
    """Let everything else be replaced, but ``path`` fail."""
    replace = Path.replace

    def replace_or_fail(self: Path, target: Path) -> Path:
        if target == path:
            raise fail
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_fail)


def let_there_be_no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)


def test_copies_are_as_they_were_when_the_change_itself_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.with_name("last").write_bytes(b"older\n")
    let_the_change_of(path, monkeypatch, fail=OSError(errno.EBUSY, "Device or resource busy"))
    with PrivateFile(path) as file:
        file.stage(add_line, keep_first="first", keep_last="last")
        with pytest.raises(FileError, match="busy; if it is mounted by itself"):
            file.commit()
    assert path.read_bytes() == b"theirs\n"
    assert path.with_name("last").read_bytes() == b"older\n"
    assert names(path) == {"credentials", "last"}


def test_files_kept_aside_never_overwrite_one_another(path: Path) -> None:
    kept = []
    for content in (b"1\n", b"2\n", b"1\n"):
        path.write_bytes(content)
        with PrivateFile(path) as file:
            kept.append(file.keep_aside("key.abc.pem"))
    assert [k and k.name for k in kept] == ["key.abc.pem", "key.abc-2.pem", "key.abc.pem"]
    assert [k and k.read_bytes() for k in kept] == [b"1\n", b"2\n", b"1\n"]


def test_content_is_on_the_disk_before_its_name_and_the_name_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(monkeypatch)
    write(path)
    steps = ["flush a file", "replace credentials.bak", "replace credentials", "flush a directory"]
    assert events[-4:] == steps


def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens on the way to the disk from now on."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recording_fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append(f"flush a {'directory' if is_directory else 'file'}")
        fsync(descriptor)

    def recording_replace(self: Path, target: Path) -> Path:
        events.append(f"replace {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    return events


def test_what_another_program_wrote_before_the_rename_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(monkeypatch)
    with PrivateFile(path) as file:
        file.stage(add_line, keep_last="bak")
        path.write_bytes(b"theirs, newer\n")
        file.commit()
    assert events.count("replace credentials") == 1  # at no moment was theirs gone
    assert path.read_bytes() == b"theirs, newer\nours\n"
    assert path.with_name("bak").read_bytes() == b"theirs, newer\n"


def test_what_was_replaced_by_another_program_is_kept(path: Path) -> None:
    with PrivateFile(path) as file:
        file.stage(add_line)
        path.with_name("new").write_bytes(b"theirs, newer\n")
        path.with_name("new").rename(path)
        file.commit()
    assert path.read_bytes() == b"theirs, newer\nours\n"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    with PrivateFile(path) as file:
        file.stage(add_line)
        path.write_bytes(b"theirs\n")
        file.commit()
    assert path.read_bytes() == b"theirs\nours\n"


def test_a_file_that_appears_at_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    link = os.link

    def link_too_late(source: Path, target: Path, **options: bool) -> None:
        if not path.exists():
            path.write_bytes(b"theirs\n")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", link_too_late)
    write(path)
    assert path.read_bytes() == b"theirs\nours\n"


def test_what_is_written_into_the_old_file_during_the_rename_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_during_the_rename(monkeypatch, path, b"written late\n")
    write(path)
    assert path.read_bytes() == b"written late\nours\n"


def write_during_the_rename(monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes) -> None:
    """Let another program have ``path`` open, and write it, while it is being replaced."""
    replace = Path.replace

    def replace_under_a_writer(self: Path, target: Path) -> Path:
        if target != path or not path.read_bytes().startswith(b"theirs\n"):
            return replace(self, target)
        with path.open("wb") as theirs:  # truncates, as `aws configure` does
            done = replace(self, target)
            theirs.write(content)
        return done

    monkeypatch.setattr(Path, "replace", replace_under_a_writer)


def test_the_first_copy_stays_that_of_the_first_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_during_the_rename(monkeypatch, path, b"written late\n")
    change_and_keep_first(path)
    assert path.read_bytes() == b"written late\nours\n"
    assert path.with_name("kept").read_bytes() == b"theirs\n"


def refuse_what_is_new(data: bytes | None) -> bytes:
    if data != b"theirs\n":
        raise LookupError
    return add_line(data)


def test_what_is_written_late_and_cannot_be_edited_wins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_during_the_rename(monkeypatch, path, b"not to be edited\n")
    with PrivateFile(path) as file:
        file.stage(refuse_what_is_new)
        with pytest.raises(LookupError):
            file.commit()
    assert path.read_bytes() == b"not to be edited\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_waits_until_nothing_can_be_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    replace = Path.replace
    before = signal.signal(number, signal.default_int_handler)
    over = threading.Event()  # a thread of somebody else's, which gets the signal as well
    threading.Thread(target=over.wait, daemon=True).start()

    def replace_interrupted(self: Path, target: Path) -> Path:
        os.kill(os.getpid(), number)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(path)
    finally:
        signal.signal(number, before)
        over.set()
    assert path.read_bytes() == b"theirs\nours\n"


SLOW_WRITER = """
import sys, time
with open(sys.argv[1], "w") as file:
    print("truncated", flush=True)
    time.sleep(0.15)
    file.write("half\\n")
    file.flush()
    time.sleep(0.15)
    file.write("whole\\n")
"""


@pytest.mark.parametrize("leases", [True, False])
def test_a_half_written_file_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, leases: bool
) -> None:
    if not leases:  # as on a system or a file system that has none
        monkeypatch.delattr(fcntl, "F_SETLEASE", raising=False)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, path], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        write(path)
    assert path.read_bytes() == b"half\nwhole\nours\n"


def test_a_file_that_is_suddenly_empty_is_waited_for(path: Path) -> None:
    with PrivateFile(path) as file:
        file.stage(add_line)
        path.write_bytes(b"")
        later = threading.Timer(0.1, lambda: path.write_bytes(b"theirs, again\n"))
        later.start()
        file.commit()
        later.join()
    assert path.read_bytes() == b"theirs, again\nours\n"


def test_a_file_that_stays_empty_is_not_taken_for_the_truth(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_file, "_PATIENCE", 0.1)
    with PrivateFile(path) as file:
        file.stage(add_line, keep_last="bak")
        path.write_bytes(b"")
        with pytest.raises(FileError, match=r"emptied or removed it; what it held is in .*/bak"):
            file.commit()
    assert path.read_bytes() == b""
    assert path.with_name("bak").read_bytes() == b"theirs\n"
    assert names(path) == {"credentials", "bak"}


def test_a_writer_that_never_ends_is_told_of(path: Path) -> None:
    count = iter(range(10_000))

    def edit(data: bytes | None) -> bytes:
        path.write_bytes(b"%d\n" % next(count))
        return add_line(data)

    with PrivateFile(path) as file:
        file.stage(edit)
        with pytest.raises(FileError, match="keeps changing it"):
            file.commit()
    assert b"ours" not in path.read_bytes()
    assert names(path) == {"credentials"}


def test_a_leftover_of_a_killed_process_is_cleared(path: Path) -> None:
    left = path.with_name(".credentials.aws-keys-0123abcd.tmp")
    left.write_bytes(b"half")
    with PrivateFile(path) as file:
        file.clear_leftovers()
    assert names(path) == {"credentials"}


@pytest.mark.parametrize(
    ("now", "after"),
    [
        (None, {"credentials": b"x\n"}),
        (b"x\n", {"credentials": b"x\n"}),
        (b"y\n", {"credentials": b"y\n", ".credentials.aws-keys-0123abcd.removing": b"x\n"}),
    ],
)
def test_what_a_killed_removal_moved_aside_is_put_back_and_never_over_another(
    path: Path, now: bytes | None, after: dict[str, bytes]
) -> None:
    path.unlink()
    path.with_name(".credentials.aws-keys-0123abcd.removing").write_bytes(b"x\n")
    if now:
        path.write_bytes(now)
    with PrivateFile(path) as file:
        file.clear_leftovers()
    put_back(path.parent, "other")
    put_back(path.parent, "credentials")
    assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == after


def test_what_was_written_into_a_file_that_was_replaced_while_it_went_is_kept_and_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def write_into_both(self: Path, target: Path) -> Path:
        with self.open("ab") as other:
            rename(self, target)
            other.write(b"more\n")
        path.write_bytes(b"newer\n")
        return target

    monkeypatch.setattr(Path, "rename", write_into_both)
    with PrivateFile(path) as file, pytest.raises(FileError, match="what it held is kept as") as e:
        file.remove()
    kept = Path(str(e.value).rpartition("kept as ")[2])
    assert kept.read_bytes() == b"theirs\nmore\n"
    with PrivateFile(path) as file:
        file.clear_leftovers()
    assert kept.exists()
    assert path.read_bytes() == b"newer\n"


def test_a_planted_link_is_not_written_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(b"precious\n")
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    planted = path.with_name(".credentials.aws-keys-00000000.tmp")
    planted.symlink_to(victim)
    with pytest.raises(FileError):
        write(path)
    assert victim.read_bytes() == b"precious\n"
    assert path.read_bytes() == b"theirs\n"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "is a directory"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to(path.name), "symbolic link"),
    ],
)
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    make(tmp_path / "thing")
    with pytest.raises(FileError, match=f"{tmp_path}/thing: .*{reason}"):
        PrivateFile(tmp_path / "thing")


def test_one_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        with lock(tmp_path / "state" / "lock", 10, lambda: None):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_that_is_not_freed_is_told_of(tmp_path: Path) -> None:
    waits = []
    with (
        lock(tmp_path / "lock", 1, lambda: None),
        pytest.raises(FileError, match=f"{tmp_path}/lock: another sync"),
        lock(tmp_path / "lock", 0.05, lambda: waits.append(1)),
    ):
        pass
    assert waits == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_root_leaves_files_in_somebodys_home_theirs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1234, 1234)
    make_directory(home / ".aws")
    write(home / ".aws" / "credentials")
    write(home / ".aws" / "credentials")
    for path in home.rglob("*"):
        assert path.stat().st_uid == 1234


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_a_lock_made_by_root_is_the_users(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    with lock(tmp_path / "state" / "lock", 1, lambda: None):
        assert (tmp_path / "state" / "lock").stat().st_uid == 1234


def test_a_writer_that_keeps_the_file_open_is_told_of(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_file, "_PATIENCE", 0.1)
    with path.open("ab"), pytest.raises(FileError, match="another program keeps writing it"):
        PrivateFile(path)


def test_without_hard_links_a_backup_is_at_least_a_newer_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.with_name("last").write_bytes(b"older\n")
    let_the_change_of(path, monkeypatch, fail=OSError(errno.EIO, "Input/output error"))
    let_there_be_no_hard_links(monkeypatch)
    with PrivateFile(path) as file:
        file.stage(add_line, keep_last="last")
        with pytest.raises(FileError):
            file.commit()
    assert path.with_name("last").read_bytes() == b"theirs\n"


def test_without_hard_links_nothing_is_overwritten_either(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_there_be_no_hard_links(monkeypatch)
    for content in (b"first\n", b"second\n"):
        path.write_bytes(content)
        change_and_keep_first(path)
    assert path.with_name("kept").read_bytes() == b"first\n"
    write(path.with_name("new"))
    assert path.with_name("new").read_bytes() == b"ours\n"


def test_without_hard_links_a_file_that_appears_meanwhile_is_edited(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = path.with_name("new")

    def appear_and_fail(*_: object, **__: object) -> None:
        if not new.exists():
            new.write_bytes(b"theirs\n")
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", appear_and_fail)
    write(new)
    assert new.read_bytes() == b"theirs\nours\n"


def test_a_file_of_another_user_is_left_to_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(FileError, match="belongs to another user"):
        PrivateFile(path)
