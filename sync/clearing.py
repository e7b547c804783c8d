"""Takes away what sync wrote, from the files of a home directory.

As with writing, everything is read, decided and on the disk before the first file is replaced. The
order is the other way round: credentials file, config file, key files, and the receipts last, so
that whoever dies half-way is run again.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sync.outcome import Change, Outcome
from sync.places import Places, SharedFiles, opener
from sync.plan import Unreadable, first_copy, is_kept_as, last_copy
from sync.private_file import FileError, PrivateFile, clear_leftovers, lock
from sync.removal import REMOVED, Beside, Part, Removal, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class _Trim:
    """One AWS file that a stack's options are taken out of, and which goes if that leaves nothing.

    That is, if ``is_made``, when it was not there before sync came.
    """

    def __init__(
        self,
        file: PrivateFile,
        edit: Callable[[bytes | None], tuple[bytes, list[Part]]],
        *,
        is_made: bool,
    ) -> None:
        self.file = file
        self.path = file.path
        self._decide = edit
        self._is_made = is_made
        self._parts: list[Part] = []
        self._goes = False
        self.has_changes = self._edit(file.data) != (file.data or b"")

    def _edit(self, data: bytes | None) -> bytes:
        content, self._parts = self._decide(data)
        self._goes = self._is_made and data is not None and not content
        return content

    def told(self) -> list[Part]:
        facts = {"what": "the file, which is empty then"}
        return [*self._parts, *([Part(str(self.path), REMOVED, facts)] if self._goes else [])]

    def stage(self, *, is_first: bool, has_backups: bool) -> None:
        if self.has_changes:
            self.file.stage(
                self._edit,
                keep_first=first_copy(self.path).name if has_backups and is_first else None,
                keep_last=last_copy(self.path).name if has_backups else None,
            )

    def commit(self) -> None:
        if self.has_changes:
            self.file.commit()
        if self._goes:
            with contextlib.suppress(FileError), PrivateFile(self.path) as emptied:
                if not emptied.data:
                    emptied.remove()
            self._goes = not os.path.lexists(self.path)


class _Removing:
    """The files of one removal, opened, and what becomes of them."""

    def __init__(
        self, places: Places, request: Request, open_file: Callable[[Path], PrivateFile]
    ) -> None:
        self._request = request
        self._files = shared = SharedFiles(places, open_file)
        key_path = places.private_key(request.stack)
        name = f"{request.stack}.{'[0-9a-f]' * 16}"
        stem = len(request.stack) + len(".") + 16
        replaced = [
            path
            for path in key_path.parent.glob(f"{name}*.pem")
            if is_kept_as(path.name, f"{path.name[:stem]}.pem")
        ]
        not_files = {} if _is_file(key_path) else _what_it_is(key_path)
        paths = [key_path, *sorted(filter(_is_file, replaced))]
        self._keys = {path: open_file(path) for path in paths if path not in not_files}
        files = places.files
        taken_over = [p for f in files for p in f.parent.glob(f"{escape(f.name)}.taken-over-*")]
        beside = Beside(
            {path: self._keys[path].data if path in self._keys else None for path in paths},
            [file for file in files if _is_file(first_copy(file))],
            [file for file in files if _is_file(last_copy(file))],
            sorted(taken_over),
            not_files,
        )
        self._removal = removal = Removal(request, files, key_path, shared.receipts, beside)
        self._backups = {path: open_file(path) for path in removal.backups}
        made = {path for path in shared.receipts.created if not Path(path).is_symlink()}
        self._trims = [
            _Trim(file, edit, is_made=str(file.path) in made)
            for file, edit in (
                (shared.credentials, removal.edit_credentials),
                (shared.config, removal.edit_config),
            )
        ]
        self._parts: list[Part] = []

    def _acts(self) -> Iterator[tuple[Callable[[], object], Callable[[], Iterable[Part]]]]:
        """Each act in turn, and what to tell of it afterwards."""
        for trim in self._trims:
            yield trim.commit, trim.told
        files = self._keys | self._backups
        for path, part in (self._removal.key_files | self._removal.backups).items():
            yield (
                files[path].remove if part.action == REMOVED else _do_nothing,
                partial(iter, [part]),
            )
        changed = [trim.path for trim in self._trims if trim.has_changes]
        yield self._forget, partial(self._removal.left, changed)

    def pretend(self) -> None:
        """Let `outcome` tell what `carry_out` would do."""
        for _, told in self._acts():
            self._parts += told()

    def carry_out(self) -> str | None:
        """Do it all. Where that fails on the way, gives why."""
        self._files.clear_leftovers()
        for file in self._keys.values():
            file.clear_leftovers()
        for path in (*self._keys, *(trim.path for trim in self._trims)):
            clear_leftovers(path.parent, f"{path.stem}.")  # those of what is beside it, too
        try:
            for trim in self._trims:
                trim.stage(
                    is_first=str(trim.path) not in self._files.receipts.changed,
                    has_backups=not self._request.backups,
                )
            for act, told in self._acts():
                act()
                self._parts += told()
        except (FileError, Unreadable) as error:
            return str(error)
        return None

    def _forget(self) -> None:
        """Write the receipts without those of what is gone."""
        receipts = self._removal.receipts
        changed = receipts.changed | {str(trim.path) for trim in self._trims if trim.has_changes}
        paths = (*(trim.path for trim in self._trims), *self._keys)
        gone = {str(path) for path in paths if not os.path.lexists(path)}
        fresh = gone | {
            str(trim.path)
            for trim in self._trims
            if self._request.backups and not self._removal.is_in_use(trim.path)
        }
        self._files.write_receipts(
            receipts._replace(changed=changed - fresh, created=receipts.created - gone)
        )

    def outcome(self, error: str | None = None) -> Outcome:
        request = self._request
        changes = tuple(Change(*part) for part in self._parts)
        warnings = tuple(self._removal.warnings)
        return Outcome(request.stack, request.profile or request.stack, changes, warnings, error)


def _do_nothing() -> None:
    """For what is only told."""


def _is_file(path: Path) -> bool:
    """Whether it is one itself, as what sync makes is."""
    return path.is_file() and not path.is_symlink()


def _what_it_is(path: Path) -> dict[Path, str]:
    """What there is at ``path``, which is no file of its own; nothing where there is nothing."""
    if path.is_symlink():
        return {path: f"a symbolic link to {path.readlink()}; both stay"}
    if os.path.lexists(path):
        return {path: "a directory" if path.is_dir() else "no regular file"}
    return {}


def preview(places: Places, request: Request) -> Outcome:
    """What `remove` would do. Nothing is touched. Raises as that does."""
    with opener() as open_file:
        run = _Removing(places, request, open_file)
        run.pretend()
        return run.outcome()


def remove(
    places: Places, request: Request, *, patience: float, on_wait: Callable[[], None]
) -> Outcome:
    """Take away what sync wrote for a stack.

    The outcome has an error, and tells what was done, where it failed on the way: run again, it
    goes on from there. Raises `NothingWritten`, `FileError` or `Unreadable` before anything is
    changed. ``patience`` and ``on_wait`` are as for `write`.
    """
    with lock(places.state_directory / "lock", patience, on_wait), opener() as open_file:
        places.put_back([places.private_key(request.stack)])
        run = _Removing(places, request, open_file)
        return run.outcome(run.carry_out())
