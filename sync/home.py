"""Carries a plan out on the files of a home directory.

Everything is read and decided, and every new content is on the disk, before the first file is
replaced: nearly all that can fail fails while nothing is changed. Receipts are written first, so
that a process that dies half-way never finds its own work to be a stranger's; then key file, config
file and credentials file, and none of a stack's behind one that failed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from sync.outcome import Change, Outcome
from sync.places import Places, SharedFiles, opener
from sync.plan import (
    UNCHANGED,
    Contents,
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
    lock,
    make_directory,
    narrow_directory,
    wide_mode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


NARROWED = "narrowed"


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
        self._files = shared = SharedFiles(places, open_file)
        credentials, config = shared.credentials, shared.config
        keys: dict[Path, PrivateFile] = {}
        foreign: dict[Path, bytes | None] = {}
        for wish in wishes:
            try:
                keys[wish.private_key_path] = open_file(wish.private_key_path)
            except FileError as error:
                self._errors[wish.keys.stack] = str(error)
            if path := wish.previous_key_path:
                _open_previous(path, open_file, keys, foreign)
        self._plan = plan = Plan(
            [wish for wish in wishes if wish.keys.stack not in self._errors],
            Contents(
                {f.path: f.data for f in keys.values()} | foreign, credentials.data, config.data
            ),
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


def _open_previous(
    path: Path,
    open_file: Callable[[Path], PrivateFile],
    keys: dict[Path, PrivateFile],
    foreign: dict[Path, bytes | None],
) -> None:
    """Open the file of the previous key, there or not; note what has its name and is no file."""
    with contextlib.suppress(FileError):
        keys[path] = open_file(path)
    if path not in keys or (keys[path].data is None and path.is_symlink()):
        foreign[path] = b""  # for the plan as any content that is not the key


def preview(places: Places, wishes: Sequence[Wish], *, take_over: bool) -> list[Outcome]:
    """What `write` would do: an outcome for each of ``wishes``. Nothing is touched.

    Raises `FileError` or `Unreadable` for what concerns every stack.
    """
    with opener() as open_file:
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
    with lock(places.state_directory / "lock", patience, on_wait), opener() as open_file:
        places.put_back(wish.private_key_path for wish in wishes)
        run = _Run(places, wishes, open_file, take_over=take_over)
        run.carry_out()
        return run.outcomes()
