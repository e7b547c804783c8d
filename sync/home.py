"""Carries a plan, or a removal, out on the files of a home directory.

Everything is read and decided, and every new content is on the disk, before the first file is
replaced: nearly all that can fail fails while nothing is changed. Receipts are written first, so
that a process that dies half-way never finds its own work to be a stranger's; then key file, config
file and credentials file, and none of a stack's behind one that failed.

What is removed goes the other way round, receipts last: whoever dies half-way is run again.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sync.plan import (
    UNCHANGED,
    Contents,
    Files,
    Plan,
    Refused,
    Step,
    Unreadable,
    Wish,
    first_copy,
    key_file,
    last_copy,
)
from sync.private_file import (
    FileError,
    PrivateFile,
    clear_leftovers,
    lock,
    make_directory,
    narrow_directory,
    wide_mode,
)
from sync.receipts import Receipts, ReceiptsError
from sync.removal import REMOVED, Beside, Part, Removal, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

NARROWED = "narrowed"


class Places(NamedTuple):
    """Where everything is."""

    files: Files
    pem_directory: Path
    state_directory: Path
    pem_directory_is_ours: bool
    """Whether it is ``~/.pem``, whose mode is sync's business, and not one that was named."""

    @classmethod
    def find(cls, pem_directory: str | None) -> Places:
        """The places that the environment names, and the usual ones otherwise.

        The rules are those of AWS ("Location of the shared config and credentials files", AWS
        SDKs and Tools Reference Guide) and of the XDG Base Directory Specification. A variable in
        the path of a file and a leading ``~`` are expanded, as botocore does. Raises `FileError`
        where that leads nowhere.
        """
        state = os.environ.get("XDG_STATE_HOME", "")
        return cls(
            Files(
                _absolute(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"),
                _absolute(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"),
            ),
            _absolute(pem_directory or "~/.pem"),
            _absolute(state if state.startswith("/") else "~/.local/state") / "aws-keys",
            pem_directory_is_ours=pem_directory is None,
        )

    def private_key(self, stack: str) -> Path:
        """The key file of ``stack``."""
        return self.pem_directory / f"{stack}.pem"


def _absolute(path: str) -> Path:
    expanded = Path(os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111  pathlib's raises
    if expanded.parts[:1] and expanded.parts[0].startswith("~"):
        raise FileError(Path(path), "there is no such home directory")
    try:
        return expanded if expanded.is_absolute() else Path.cwd() / expanded
    except OSError:
        raise FileError(Path(path), "the current directory is gone") from None


class Change(NamedTuple):
    """What was done, or would be, to one file or directory for one stack."""

    path: str
    action: str
    facts: Mapping[str, str]
    kept: str | None = None
    """Where what was replaced is kept for good."""


class Outcome(NamedTuple):
    """What became of one stack."""

    stack: str
    profile: str
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None

    @property
    def has_changes(self) -> bool:
        """Whether anything was done, or would be."""
        return any(change.action != UNCHANGED for change in self.changes)


class _Shared:
    """The files that all stacks share, opened."""

    def __init__(self, places: Places, open_file: Callable[[Path], PrivateFile]) -> None:
        files = places.files
        if os.path.realpath(files.credentials) == os.path.realpath(files.config):
            raise FileError(files.config, "is the credentials file too; it must be another")
        self._receipts_file = open_file(places.state_directory / "receipts.json")
        try:
            self.receipts = Receipts.load(self._receipts_file.data)
        except ReceiptsError as error:
            raise FileError(self._receipts_file.path, str(error)) from None
        self.credentials, self.config = open_file(files.credentials), open_file(files.config)

    def clear_leftovers(self) -> None:
        for file in (self._receipts_file, self.config, self.credentials):
            file.clear_leftovers()

    def write_receipts(self, receipts: Receipts) -> None:
        if receipts != self.receipts:
            self._receipts_file.stage(lambda _: receipts.dump())
            self._receipts_file.commit()
            self.receipts = receipts


class _Target:
    """One file: what is to become of it, for which stacks, and for which it is done."""

    has_backups = True

    def __init__(
        self,
        file: PrivateFile,
        steps: Mapping[str, Step],
        edit: Callable[[bytes | None], bytes],
        *,
        is_secret: bool = True,
    ) -> None:
        self.file = file
        self.steps = dict(steps)
        self.done: set[str] = set()
        self.kept: Path | None = None
        self._edit = edit
        self._is_secret = is_secret

    @property
    def has_changes(self) -> bool:
        return any(step.action != UNCHANGED for step in self.steps.values())

    @property
    def wide_mode(self) -> int | None:
        """The mode, where it is wide and the file is such that this matters."""
        return self.file.wide_mode if self._is_secret or self.has_changes else None

    @property
    def keep_as(self) -> Path | None:
        """Where what is there now is to be kept for good, if it is."""
        names = [step.keep_as for step in self.steps.values() if step.keep_as]
        return self.file.path.with_name(names[0]) if names else None

    def stage(self, *, is_first: bool) -> None:
        if not self.has_changes:
            return
        make_directory(self.file.path.parent)
        if self.keep_as:
            self.kept = self.file.keep_aside(self.keep_as.name)
        path = self.file.path
        self.file.stage(
            self._edit,
            keep_first=first_copy(path).name if self.has_backups and is_first else None,
            keep_last=last_copy(path).name if self.has_backups else None,
        )

    def commit(self) -> None:
        if self.has_changes:
            self.file.commit()
        elif self.wide_mode is not None:
            self.file.narrow()


class _PrivateKey(_Target):
    """A key file: what it held is kept for good, so it needs no backup besides."""

    has_backups = False

    def __init__(self, file: PrivateFile, stack: str, step: Step, content: bytes) -> None:
        found = file.data

        def edit(data: bytes | None) -> bytes:
            if data != found:
                raise Refused(f"{file.path} was changed by another program meanwhile")
            return content

        super().__init__(file, {stack: step}, edit)


class _Run:
    """The files of one run, opened, and the plan for them."""

    def __init__(
        self,
        places: Places,
        wishes: Sequence[Wish],
        open_file: Callable[[Path], PrivateFile],
        *,
        take_over: bool,
    ) -> None:
        self._places = places
        self._wishes = wishes
        self._errors: dict[str, str] = {}
        self._files = shared = _Shared(places, open_file)
        credentials, config = shared.credentials, shared.config
        keys: dict[Path, PrivateFile] = {}
        for wish in wishes:
            try:
                for path in filter(None, (wish.private_key_path, wish.previous_key_path)):
                    keys[path] = open_file(path)
            except FileError as error:
                self._errors[wish.keys.stack] = str(error)
        self._plan = plan = Plan(
            [wish for wish in wishes if wish.keys.stack not in self._errors],
            Contents({f.path: f.data for f in keys.values()}, credentials.data, config.data),
            places.files,
            shared.receipts,
            take_over=take_over,
        )
        self._errors |= plan.refusals
        self._keys = []
        for wish in plan.granted:
            stack, previous = wish.keys.stack, wish.keys.previous_key_pair
            for step, key in (
                (plan.steps[stack].private_key, wish.keys.private_key),
                (plan.steps[stack].previous_key, previous and previous.private_key),
            ):
                if step and key:
                    file = keys[Path(step.place.path)]
                    self._keys.append(_PrivateKey(file, stack, step, key_file(key)))
        regions = {stack: step.region for stack, step in plan.steps.items()}
        accesses = {stack: step.profile for stack, step in plan.steps.items()}
        self._shared = [
            _Target(config, regions, plan.edit_config, is_secret=False),
            _Target(credentials, accesses, plan.edit_credentials),
        ]
        self._pem_directory_mode: int | None = None
        if places.pem_directory_is_ours and plan.granted:
            self._pem_directory_mode = wide_mode(places.pem_directory)

    @property
    def _targets(self) -> list[_Target]:
        return [*self._keys, *self._shared]

    def pretend(self) -> None:
        """Let `outcomes` tell what `carry_out` would do."""
        for target in self._targets:
            target.done = set(target.steps)
            target.kept = target.keep_as

    def carry_out(self) -> None:
        self._files.clear_leftovers()
        for key in self._keys:
            key.file.clear_leftovers()
        for key in self._keys:
            self._attempt(key, self._stage)
        for target in self._shared:
            self._stage(target)
        earlier = self._files.receipts
        new = {str(t.file.path) for t in self._shared if t.has_changes and t.file.data is None}
        self._files.write_receipts(self._plan.receipts._replace(created=earlier.created | new))
        if self._pem_directory_mode is not None:
            narrow_directory(self._places.pem_directory)
        staged_for = len(self._plan.granted)
        for key in self._keys:
            key.done = self._attempt(key, _Target.commit)
        for target in self._shared:
            if len(self._plan.granted) < staged_for:  # anew, without the stacks that failed
                self._attempt(target, self._stage)
            target.done = self._attempt(target, _Target.commit)
        self._heed_late_refusals()
        changed = {str(t.file.path) for t in self._targets if t.done and t.has_changes}
        with contextlib.suppress(FileError):  # all is done; what is lost is only this note of it
            self._files.write_receipts(
                self._files.receipts._replace(
                    changed=earlier.changed | changed, created=earlier.created | new & changed
                )
            )

    def _stage(self, target: _Target) -> None:
        target.stage(is_first=str(target.file.path) not in self._files.receipts.changed)

    def _attempt(self, target: _Target, act: Callable[[_Target], None]) -> set[str]:
        """``act`` on ``target``, and give the stacks that it is done for.

        What it fails with fails the stacks concerned, and only them.
        """
        concerned = set(target.steps)
        if concerned:
            try:
                act(target)
            except (FileError, Refused, Unreadable) as error:
                self._fail(dict.fromkeys(concerned, str(error)))
                return set()
        return concerned

    def _fail(self, errors: Mapping[str, str]) -> None:
        """Leave out what was still to be done for the stacks of ``errors``."""
        self._errors |= errors
        granted = self._plan.granted
        granted[:] = [wish for wish in granted if wish.keys.stack not in errors]
        for target in self._targets:
            for stack in errors.keys() - target.done:
                target.steps.pop(stack, None)

    def _heed_late_refusals(self) -> None:
        """Fail the stacks whose profile turned out to be somebody's when it was to be written."""
        late = {s: why for s, why in self._plan.refusals.items() if s not in self._errors}
        self._shared[-1].done -= late.keys()
        self._fail(late)

    def outcomes(self) -> list[Outcome]:
        told: set[object] = set()  # what concerns several stacks is told once
        return [self._outcome(wish, told) for wish in self._wishes]

    def _outcome(self, wish: Wish, told: set[object]) -> Outcome:
        stack = wish.keys.stack
        changes = []
        warnings: list[str] = []
        modes = [(self._places.pem_directory, self._pem_directory_mode)]
        for target in self._targets:
            if stack not in target.done:
                continue
            step = target.steps[stack]
            kept = str(target.kept) if target.kept and step.keep_as else None
            changes.append(Change(step.place.path, step.action, step.facts, kept))
            warnings += step.warnings
            modes.append((target.file.path, target.wide_mode))
        for path, mode in modes if changes else []:
            if mode is not None and path not in told:
                told.add(path)
                facts = {"was": f"{mode:04o}", "mode": f"{mode & ~0o077:04o}"}
                changes.append(Change(str(path), NARROWED, facts))
        fresh = [warning for warning in dict.fromkeys(warnings) if warning not in told]
        told.update(fresh)
        return Outcome(stack, wish.profile, tuple(changes), tuple(fresh), self._errors.get(stack))


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
                self._goes = not emptied.data
                if self._goes:
                    emptied.remove()


class _Removing:
    """The files of one removal, opened, and what becomes of them."""

    def __init__(
        self, places: Places, request: Request, open_file: Callable[[Path], PrivateFile]
    ) -> None:
        self._request = request
        self._files = shared = _Shared(places, open_file)
        key_path = places.private_key(request.stack)
        replaced = key_path.parent.glob(f"{request.stack}.{'[0-9a-f]' * 16}.pem")
        paths = [key_path, *sorted(filter(_is_file, replaced))]
        self._keys = {path: open_file(path) for path in paths}
        files = places.files
        taken_over = [p for f in files for p in f.parent.glob(f"{escape(f.name)}.taken-over-*")]
        beside = Beside(
            {path: file.data for path, file in self._keys.items()},
            [file for file in files if _is_file(first_copy(file))],
            [file for file in files if _is_file(last_copy(file))],
            sorted(taken_over),
        )
        self._removal = removal = Removal(request, files, key_path, shared.receipts, beside)
        self._backups = {path: open_file(path) for path in removal.backups}
        self._trims = [
            _Trim(file, edit, is_made=str(file.path) in shared.receipts.created)
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


@contextlib.contextmanager
def _opener() -> Iterator[Callable[[Path], PrivateFile]]:
    """What opens a file; at the end all are closed."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(PrivateFile(path))


def preview(places: Places, wishes: Sequence[Wish], *, take_over: bool) -> list[Outcome]:
    """What `write` would do: an outcome for each of ``wishes``. Nothing is touched.

    Raises `FileError` or `Unreadable` for what concerns every stack.
    """
    with _opener() as open_file:
        run = _Run(places, wishes, open_file, take_over=take_over)
        run.pretend()
        return run.outcomes()


def write(
    places: Places,
    wishes: Sequence[Wish],
    *,
    take_over: bool,
    patience: float,
    on_wait: Callable[[], None],
) -> list[Outcome]:
    """Write every file that has to change, and give an outcome for each of ``wishes``.

    Waits at most ``patience`` seconds for another sync, after a call of ``on_wait``. Raises
    `FileError` or `Unreadable` for what concerns every stack; nothing was changed then.
    """
    with lock(places.state_directory / "lock", patience, on_wait), _opener() as open_file:
        run = _Run(places, wishes, open_file, take_over=take_over)
        run.carry_out()
        return run.outcomes()


def preview_removal(places: Places, request: Request) -> Outcome:
    """What `remove` would do. Nothing is touched. Raises as that does."""
    with _opener() as open_file:
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
    with lock(places.state_directory / "lock", patience, on_wait), _opener() as open_file:
        run = _Removing(places, request, open_file)
        return run.outcome(run.carry_out())
