"""Writes files that only their owner may read, so that nothing in them is ever lost.

A file is replaced in four steps, under a lock that all our writers share (`lock`):

1. the new content goes into a temporary file beside it, mode 0600, and is flushed to the disk;
2. a last look: if another program changed the file meanwhile, its content is edited anew;
3. the temporary file takes the place of the old one in one step, and the directory is flushed;
4. a look at the old file: what another program wrote into it in between is edited anew, too.

Programs such as ``aws configure`` truncate the file and write it again, without a lock. Their
half-written state is not taken for the file: where the kernel can say whether somebody has it open
for writing (a read lease, fcntl(2), on Linux), reading waits until nobody has; elsewhere until it
has been left alone for a moment. A file that was not empty and suddenly is, is waited for.

What no program can promise against such a writer: if it read the file before our change and writes
it after, it overwrites our change, and the next sync makes it again. A file with several hard links
is replaced under the name given only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWNER_ONLY = 0o600
OWNER_ONLY_DIRECTORY = 0o700
_ATTEMPTS = 50
_POLL = 0.01  # seconds
_PATIENCE = 3.0  # seconds that another program may take over its write
_LEFT_ALONE = 0.2  # seconds without a change, where the kernel cannot say who is writing
_F_SETSIG = 10  # Linux, fcntl.h; the fcntl module does not name it
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


class FileError(Exception):
    """A file could not be read or written: its path and why, in one line."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the system's errors into `FileError` with ``path``."""
    try:
        yield
    except OSError as error:
        raise FileError(path, error.strerror or type(error).__name__) from None


@contextlib.contextmanager
def lock(path: Path, patience: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at ``path``, made if missing, against other processes of ours.

    ``on_wait`` is called once if it is taken. Raises `FileError` if it still is after ``patience``
    seconds. A process that dies frees its lock (flock(2)).
    """
    make_directory(path.parent)
    with _naming(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, OWNER_ONLY)
    try:
        deadline = time.monotonic() + patience
        waited = False
        while True:
            with _naming(path), contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise FileError(path, f"another sync has held this lock for {patience:g} s")
            if not waited:
                on_wait()
                waited = True
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make ``path`` and its missing parents, mode 0700. Raises `FileError`."""
    with _naming(path):
        if path.is_dir():
            return
        if path.parent != path:
            make_directory(path.parent)
        try:
            path.mkdir(mode=OWNER_ONLY_DIRECTORY)
        except FileExistsError:
            if not path.is_dir():
                raise FileError(path, "is not a directory; one belongs there") from None
        else:
            _give_to_owner_of(path.parent, path)
            _flush_directory(path.parent)


def wide_mode(directory: Path) -> int | None:
    """The permission bits of ``directory``, where they let others in. Raises `FileError`."""
    with _naming(directory), contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(directory.stat().st_mode)
        return mode if mode & ~OWNER_ONLY_DIRECTORY else None
    return None


def narrow_directory(directory: Path) -> int | None:
    """Take everybody else's rights to ``directory`` away. Raises `FileError`.

    Returns the permission bits it had, if they had to be changed.
    """
    mode = wide_mode(directory)
    if mode is not None:
        with _naming(directory):
            directory.chmod(mode & OWNER_ONLY_DIRECTORY)
    return mode


class PrivateFile:
    """One file, read and perhaps replaced. Use it in a ``with``, under `lock` if it is to change.

    ``data`` is its content, None where there is no file; ``mode`` its permission bits.
    A symbolic link stays one: what it leads to is read and replaced.
    """

    def __init__(self, path: Path) -> None:
        """Read ``path``. Raises `FileError` if it is there and is no readable regular file."""
        self.path = path
        self._real = path
        self._descriptor: int | None = None
        self._staged: tuple[Path, bytes] | None = None
        self._edit: Callable[[bytes | None], bytes]
        self._backup: str | None = None
        self.data: bytes | None = None
        self.mode: int | None = None
        with _naming(path):
            self._real = Path(os.path.realpath(path))
        self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._unstage()
        self._close()

    @property
    def wide_mode(self) -> int | None:
        """The mode, where it lets anybody but the owner at the file."""
        return self.mode if self.mode is not None and self.mode & ~OWNER_ONLY else None

    def narrow(self) -> None:
        """Take everybody else's rights away. Raises `FileError`."""
        if self._descriptor is not None and self.mode is not None:
            with _naming(self.path):
                os.fchmod(self._descriptor, self.mode & OWNER_ONLY)

    def clear_leftovers(self) -> None:
        """Remove temporary files that a killed process left beside the file."""
        for directory in {self.path.parent, self._real.parent}:
            with contextlib.suppress(OSError):
                for entry in directory.iterdir():
                    if entry.name.startswith(self._temporary_prefix) and entry.suffix == ".tmp":
                        entry.unlink()

    def keep_first(self, name: str) -> None:
        """Copy the content to ``name`` beside the file, unless there is such a copy already."""
        if self.data is not None:
            self._copy(self.path.with_name(name), self.data, overwrite=False)

    def keep_aside(self, name: str) -> Path | None:
        """Copy the content to ``name`` beside the file, or to a numbered name if that is taken.

        Returns the path of the copy, or of an equal one that is there; None without content.
        """
        if self.data is None:
            return None
        wanted = self.path.with_name(name)
        for number in range(1, 1000):
            target = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
            if self._copy(target, self.data, overwrite=False):
                return target
            with PrivateFile(target) as kept:
                if kept.data == self.data:
                    return target
        raise FileError(wanted, "this name and 999 like it are taken")

    def stage(self, edit: Callable[[bytes | None], bytes], backup: str | None = None) -> None:
        """Put what ``edit`` makes of the content on the disk beside the file, for `commit`.

        The content goes to ``backup`` beside the file, over an older copy. Raises `FileError`.
        """
        self._edit = edit
        self._backup = backup
        self._stage(self.data)

    def _stage(self, base: bytes | None) -> None:
        self._unstage()
        content = self._edit(base)
        if self._backup and base is not None:
            self._copy(self.path.with_name(self._backup), base, overwrite=True)
        with _naming(self.path):
            self._staged = self._write_temporary(self._real, content, self.mode), content

    def commit(self) -> None:
        """Let the staged content take the file's place.

        Where another program changed the file since it was read, what is there now is edited
        instead. Raises `FileError`, also if that goes on and on; the file then is as another
        program left it, or as this one wrote it. What the edit raises passes through.
        """
        expected = base = self.data
        for _ in range(_ATTEMPTS):
            self._look()
            if self.data != expected:
                expected = base = self.data
                self._unstage()
            if self._staged is None:
                self._stage(base)
                continue  # that took time: look again
            old, self._descriptor = self._descriptor, None
            try:
                written = self._rename(*self._staged)
                if written is None:
                    continue
                stray = self._written_in_between(old, expected)
            finally:
                if old is not None:
                    os.close(old)
            if stray is None:
                return
            expected, base = written, stray
        raise FileError(self.path, "another program keeps changing it")

    def _rename(self, temporary: Path, content: bytes) -> bytes | None:
        """Put the staged file in place; its content, or None if a file appeared there meanwhile."""
        with _naming(self.path):
            if self.data is None:
                try:
                    _place_new(temporary, self._real)
                except FileExistsError:
                    return None
            else:
                temporary.replace(self._real)
            self._staged = None
            _flush_directory(self._real.parent)
        return content

    def _written_in_between(self, descriptor: int | None, expected: bytes | None) -> bytes | None:
        """What was written into the old file after the last look at it, if anything was."""
        if descriptor is None:
            return None
        with _naming(self.path):
            found = _read_settled(descriptor)
            deadline = time.monotonic() + _PATIENCE
            while not found and expected and time.monotonic() < deadline:
                time.sleep(_POLL)
                found = _read_settled(descriptor)
        # Truncated and never written again: no content to keep.
        return found if found and found != expected else None

    def _look(self) -> None:
        """Read the file as it is now, waiting for one that is suddenly empty or gone."""
        was_empty = not self.data
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._open()
            if self.data or was_empty:
                return
            if time.monotonic() > deadline:
                raise FileError(
                    self.path, "another program emptied or removed it; it is left as it is"
                )
            time.sleep(_POLL)

    def _open(self) -> None:
        self._close()
        self.mode = None
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        with _naming(self.path):
            try:
                self._descriptor = os.open(self._real, flags)
            except FileNotFoundError:
                self.data = None
                return
            status = os.fstat(self._descriptor)
            if not stat.S_ISREG(status.st_mode):
                what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
                raise FileError(self.path, f"is {what}; a file belongs there")
            if os.geteuid() not in (0, status.st_uid):
                raise FileError(self.path, f"belongs to another user (uid {status.st_uid})")
            self.mode = stat.S_IMODE(status.st_mode)
            self.data = _read_settled(self._descriptor)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def _temporary_prefix(self) -> str:
        return f".{self._real.name}.aws-keys-"

    def _unstage(self) -> None:
        if self._staged is not None:
            with contextlib.suppress(OSError):
                self._staged[0].unlink()
            self._staged = None

    def _copy(self, target: Path, content: bytes, *, overwrite: bool) -> bool:
        """Write ``content`` to ``target``; False if that is taken and may not be overwritten."""
        with _naming(target):
            if not overwrite and os.path.lexists(target):
                return False
            temporary = self._write_temporary(target, content, self.mode)
            try:
                if overwrite:
                    temporary.replace(target)
                else:
                    _place_new(temporary, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
            _flush_directory(target.parent)
        return True

    def _write_temporary(self, target: Path, content: bytes, mode: int | None) -> Path:
        """A new file beside ``target`` with ``content``, on the disk when this returns."""
        temporary = target.with_name(f"{self._temporary_prefix}{os.urandom(4).hex()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, OWNER_ONLY)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  pathlib opens no descriptor
                file.write(content)
                file.flush()
                os.fchmod(descriptor, OWNER_ONLY if mode is None else mode & OWNER_ONLY)
                _give_to_owner_of(self._real if mode is not None else target.parent, descriptor)
                os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        return temporary


def _give_to_owner_of(model: Path, new: Path | int) -> None:
    """As root in somebody's home, let what is made there be theirs: root's they could not read."""
    if os.geteuid() == 0:
        status = model.stat()
        if status.st_uid != 0:
            os.chown(new, status.st_uid, status.st_gid)


def _place_new(temporary: Path, target: Path) -> None:
    """Give ``temporary`` the name ``target``. Raises FileExistsError if that is taken."""
    try:
        os.link(temporary, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if target.is_symlink() or target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(target)
    else:
        temporary.unlink()


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_settled(descriptor: int) -> bytes:
    """The file's content at a moment when no other program is in the middle of writing it."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            with _lease(descriptor):
                return _read(descriptor)
        except BlockingIOError:  # somebody has it open for writing
            time.sleep(_POLL)
        except OSError:  # no leases here: not Linux, a network file system, another's file
            break
    while True:
        before = os.fstat(descriptor)
        quiet = time.time() - before.st_mtime
        if 0 <= quiet < _LEFT_ALONE:
            time.sleep(_LEFT_ALONE - quiet)
        content = _read(descriptor)
        after = os.fstat(descriptor)
        if (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size):
            return content


@contextlib.contextmanager
def _lease(descriptor: int) -> Iterator[None]:
    """Keep others from opening the file for writing. Raises BlockingIOError if one has it open."""
    if not hasattr(fcntl, "F_SETLEASE"):
        raise OSError(errno.ENOSYS, "no leases")
    # The kernel signals that somebody waits for the lease; SIGIO, the default, would kill us.
    fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)
