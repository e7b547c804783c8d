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
import re
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from sync.interruption import deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OWNER_ONLY = 0o600
_OWNER_ONLY_DIRECTORY = 0o700
_OTHERS = 0o077
_ATTEMPTS = 50
_POLL = 0.01  # seconds
_PATIENCE = 3.0  # seconds that another program may take over its write
_LEFT_ALONE = 0.2  # seconds without a change, where the kernel cannot say who is writing
_LEFTOVER = re.compile(r"\.aws-keys-[^.]+\.(old\.)?tmp$")
_ASIDE = re.compile(r"\.(.+)\.aws-keys-[^.]+\.removing$")
_F_SETSIG = 10  # Linux, fcntl.h; the fcntl module does not name it
_NO_LEASES = {errno.ENOSYS, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP}
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
        reason = error.strerror or type(error).__name__
        if error.errno == errno.EBUSY:
            reason += "; if it is mounted by itself, mount its directory instead"
        raise FileError(path, reason) from None


@contextlib.contextmanager
def lock(path: Path, patience: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at ``path``, made if missing, against other processes of ours.

    ``on_wait`` is called once if it is taken. Raises `FileError` if it still is after ``patience``
    seconds. A process that dies frees its lock (flock(2)).
    """
    make_directory(path.parent)
    with _naming(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, OWNER_ONLY)
        _give_to_owner_of(path.parent, descriptor)
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
            path.mkdir(mode=_OWNER_ONLY_DIRECTORY)
        except FileExistsError:
            if not path.is_dir():
                raise FileError(path, "is not a directory; one belongs there") from None
        else:
            _give_to_owner_of(path.parent, path)
            _flush_directory(path.parent)


def clear_leftovers(directory: Path, start: str) -> None:
    """Remove temporary files that a killed process left for files whose names have that start."""
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            if entry.name.startswith(f".{start}") and _LEFTOVER.search(entry.name):
                entry.unlink()


def put_back(directory: Path, start: str) -> None:
    """Give files back their names that start so and that a killed process was about to remove.

    It died before it had looked whether another program wrote into them. Where there is another
    file by that name now, it stays beside that unless it is the same. Do so before they are read.
    """
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            found = _ASIDE.fullmatch(entry.name)
            if found and entry.name.startswith(f".{start}"):
                _return(entry, entry.with_name(found.group(1)))


def _return(aside: Path, path: Path) -> None:
    with contextlib.suppress(OSError):
        try:
            _place_new(aside, path)
        except FileExistsError:
            if path.read_bytes() == aside.read_bytes():
                aside.unlink()


def wide_mode(directory: Path) -> int | None:
    """The permission bits of ``directory``, where they let others in. Raises `FileError`."""
    with _naming(directory), contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(directory.stat().st_mode)
        return mode if mode & _OTHERS else None
    return None


def narrow_directory(directory: Path) -> None:
    """Take everybody else's rights to ``directory`` away. Raises `FileError`."""
    mode = wide_mode(directory)
    if mode is not None:
        with _naming(directory):
            directory.chmod(mode & ~_OTHERS)


class _Staged(NamedTuple):
    """A temporary file, and the name that it is to get."""

    temporary: Path
    target: Path
    content: bytes


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
        self._edit: Callable[[bytes | None], bytes] = lambda data: data or b""
        self._first: Path | None = None
        self._last: Path | None = None
        self._staged: _Staged | None = None
        self._copies: list[_Staged] = []
        self._stray: bytes | None = None  # what another program wrote and is in no file now
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
        return self.mode if self.mode is not None and self.mode & _OTHERS else None

    def narrow(self) -> None:
        """Take everybody else's rights away. Raises `FileError`."""
        if self._descriptor is not None and self.mode is not None:
            with _naming(self.path):
                os.fchmod(self._descriptor, self.mode & OWNER_ONLY)

    def clear_leftovers(self) -> None:
        """Remove temporary files that a killed process left beside the file."""
        for directory in {self.path.parent, self._real.parent}:
            clear_leftovers(directory, self._temporary_prefix.removeprefix("."))

    def keep_aside(self, name: str) -> Path | None:
        """Copy the content to ``name`` beside the file, or to a numbered name if that is taken.

        Returns the path of the copy, or of an equal one that is there; None without content.
        """
        if self.data is None:
            return None
        wanted = self.path.with_name(name)
        for number in range(1, 1000):
            target = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
            if self._copy_to(target):
                return target
            with contextlib.suppress(FileError), PrivateFile(target) as kept:
                if kept.data == self.data:
                    return target
        raise FileError(wanted, "this name and 999 like it are taken")

    def stage(
        self,
        edit: Callable[[bytes | None], bytes],
        *,
        keep_first: str | None = None,
        keep_last: str | None = None,
    ) -> None:
        """Put what ``edit`` makes of the content on the disk beside the file, for `commit`.

        With it go copies of the content for the names ``keep_first``, unless there is such a file
        already, and ``keep_last``, over an older one. Raises `FileError`.
        """
        self._edit = edit
        self._first = self.path.with_name(keep_first) if keep_first else None
        self._last = self.path.with_name(keep_last) if keep_last else None
        if self._first and os.path.lexists(self._first):
            self._first = None
        self._stage(self.data)

    def _stage(self, base: bytes | None) -> None:
        self._unstage()
        content = self._edit(base)
        with _naming(self.path):
            if base is not None:
                for target in filter(None, (self._first, self._last)):
                    self._copies.append(self._write_temporary(target, base))
            self._staged = self._write_temporary(self._real, content)

    def commit(self) -> None:
        """Let the staged content take the file's place.

        Where another program changed the file since it was read, what is there now is edited
        instead. Raises `FileError`, also if that goes on and on; the file then is as another
        program left it, or as this one wrote it. What the edit raises passes through.
        """
        with deferred():
            try:
                self._replace()
            except BaseException:
                self._put_back_stray()
                raise

    def remove(self) -> None:
        """Remove the file, if there is one.

        Raises `FileError` if another program changed it since it was read; it is there then. A
        process that is killed may leave it under a name from which `put_back` brings it back.
        """
        expected = self.data
        with deferred():
            self._look()
            if self.data != expected:
                raise FileError(self.path, "another program changed it meanwhile")
            if self._descriptor is None:
                return
            with _naming(self.path):
                aside = self._real.with_name(self._temporary_name("removing"))
                self._real.rename(aside)
                try:
                    unchanged = _read_settled(self._descriptor) == expected
                except OSError:
                    unchanged = False  # somebody is still writing into it
                if not unchanged:
                    kept = ""
                    try:
                        _place_new(aside, self._real)
                    except FileExistsError:  # a newer one takes precedence
                        kept = f"; what it held is kept as {aside}"
                    raise FileError(self.path, f"another program changed it meanwhile{kept}")
                aside.unlink()
                for directory in {self.path.parent, self._real.parent}:
                    _flush_directory(directory)

    def _replace(self) -> None:
        expected = base = self.data
        for _ in range(_ATTEMPTS):
            self._look()
            if self.data != expected:
                expected = base = self.data
                self._stray = None  # whoever wrote that overwrote it
                self._unstage()
            if self._staged is None:
                self._stage(base)
                continue  # that took time: look again
            staged = self._staged
            old, self._descriptor = self._descriptor, None
            try:
                if not self._rename(staged):
                    continue
                self._stray = self._written_in_between(old, expected)
            finally:
                if old is not None:
                    os.close(old)
            if self._stray is None:
                return
            expected, base = staged.content, self._stray
        raise FileError(self.path, "another program keeps changing it")

    def _rename(self, staged: _Staged) -> bool:
        """Put the staged file in place; False if another program's appeared there meanwhile."""
        with _naming(self.path), self._copies_in_place() as keep_copies:
            if self.data is None:
                try:
                    _place_new(staged.temporary, self._real)
                except FileExistsError:
                    return False
            else:
                staged.temporary.replace(self._real)
            keep_copies()
            self._first = self._staged = None
            for directory in {self.path.parent, self._real.parent}:
                _flush_directory(directory)
        return True

    @contextlib.contextmanager
    def _copies_in_place(self) -> Iterator[Callable[[], None]]:
        """Give the staged copies their names, and take them back unless they are to be kept.

        They come before the file's own rename, so that at no moment the old content is nowhere.
        """
        older: dict[Path, Path | None] = {}
        copies, self._copies = self._copies, []
        try:
            for copy in copies:
                saved = copy.temporary.with_suffix(".old.tmp")
                try:
                    os.link(copy.target, saved, follow_symlinks=False)
                    older[copy.target] = saved
                except FileNotFoundError:
                    older[copy.target] = None
                except OSError:  # no hard links here: the newer copy will have to stay
                    pass
                copy.temporary.replace(copy.target)
            yield older.clear
        finally:
            for target, saved_as in older.items():
                with contextlib.suppress(OSError):
                    if saved_as is None:
                        target.unlink()
                    else:
                        saved_as.replace(target)
            _remove(copy.temporary.with_suffix(".old.tmp") for copy in copies)

    def _put_back_stray(self) -> None:
        """Let what another program wrote win where it cannot be edited: it must not be lost."""
        if self._stray is not None:
            self._unstage()
            with _naming(self.path):
                self._write_temporary(self._real, self._stray).temporary.replace(self._real)
                _flush_directory(self._real.parent)

    def _written_in_between(self, descriptor: int | None, expected: bytes | None) -> bytes | None:
        """What was written into the old file after the last look at it, if anything was."""
        if descriptor is None:
            return None
        try:
            found = _read_settled(descriptor)
            deadline = time.monotonic() + _PATIENCE
            while not found and expected and time.monotonic() < deadline:
                time.sleep(_POLL)
                found = _read_settled(descriptor)
        except OSError:
            raise FileError(
                self.path,
                "it was replaced while another program was writing it, which still goes on: what "
                "that writes is lost, let it write again",
            ) from None
        # Truncated and never written again: no content to keep.
        return found if found and found != expected else None

    def _look(self) -> None:
        """Read the file as it is now, waiting for one that is suddenly empty or gone.

        If it stays so, the copies of what it held are all that is left of it: they are kept.
        """
        was_empty = not self.data
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._open()
            if self.data or was_empty:
                return
            if time.monotonic() > deadline:
                kept = f"; what it held is in {self._last}" if self._copies else ""
                with _naming(self.path), self._copies_in_place() as keep_copies:
                    keep_copies()
                raise FileError(self.path, f"another program emptied or removed it{kept}")
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

    def _temporary_name(self, ending: str = "tmp") -> str:
        return f"{self._temporary_prefix}{os.urandom(4).hex()}.{ending}"

    def _unstage(self) -> None:
        _remove(staged.temporary for staged in (*self._copies, self._staged) if staged)
        self._copies = []
        self._staged = None

    def _copy_to(self, target: Path) -> bool:
        """Write the content to ``target``, a new file; False if there is one already."""
        with _naming(target):
            if self.data is None or os.path.lexists(target):
                return False
            temporary = self._write_temporary(target, self.data).temporary
            try:
                _place_new(temporary, target)
            except BaseException:
                _remove([temporary])
                raise
            _flush_directory(target.parent)
        return True

    def _write_temporary(self, target: Path, content: bytes) -> _Staged:
        """A new file beside ``target`` with ``content``, on the disk when this returns."""
        temporary = target.with_name(self._temporary_name())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with _naming(target.parent):
            descriptor = os.open(temporary, flags, OWNER_ONLY)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  pathlib opens no descriptor
                file.write(content)
                file.flush()
                if self.mode is not None:
                    os.fchmod(descriptor, self.mode & OWNER_ONLY)
                _give_to_owner_of(target.parent if self.mode is None else self._real, descriptor)
                os.fsync(descriptor)
        except BaseException:
            _remove([temporary])
            raise
        return _Staged(temporary, target, content)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


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
    """The file's content at a moment when no other program is in the middle of writing it.

    Raises OSError, as for a file that cannot be read, if there is no such moment for a while.
    """
    deadline = time.monotonic() + _PATIENCE
    has_leases = True
    while time.monotonic() < deadline:
        try:
            if not has_leases:
                return _read_left_alone(descriptor)
            with _lease(descriptor):
                return _read(descriptor)
        except BlockingIOError:  # somebody has it open for writing
            time.sleep(_POLL)
        except OSError as error:
            if error.errno not in _NO_LEASES:
                raise
            has_leases = False
    raise TimeoutError(errno.ETIMEDOUT, "another program keeps writing it")


def _read_left_alone(descriptor: int) -> bytes:
    """The content, once nobody changed it for a moment. Raises BlockingIOError if somebody did."""
    before = os.fstat(descriptor)
    quiet = time.time() - before.st_mtime
    if 0 <= quiet < _LEFT_ALONE:
        time.sleep(_LEFT_ALONE - quiet)
    content = _read(descriptor)
    after = os.fstat(descriptor)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise BlockingIOError
    return content


@contextlib.contextmanager
def _lease(descriptor: int) -> Iterator[None]:
    """Keep others from opening the file for writing. Raises BlockingIOError if one has it open."""
    if not hasattr(fcntl, "F_SETLEASE"):
        raise OSError(errno.ENOSYS, "no leases")  # not Linux
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
