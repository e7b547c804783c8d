"""Carries a plan out on the files of a home directory.

Everything is read and decided, and every new content is on the disk, before the first file is
replaced: nearly all that can fail fails while nothing is changed. Receipts are written first, so
that a process that dies half-way never finds its own work to be a stranger's; then key file, config
file and credentials file, and none of a stack's behind one that failed.
"""

from __future__ import annotations

import contextlib
import os
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
    private_key_file,
)
from sync.private_file import (
    FileError,
    PrivateFile,
    lock,
    make_directory,
    narrow_directory,
    wide_mode,
)
from sync.receipts import Receipts, ReceiptsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
        name = self.file.path.name
        self.file.stage(
            self._edit,
            keep_first=f"{name}.before-aws-keys" if self.has_backups and is_first else None,
            keep_last=f"{name}.aws-keys.bak" if self.has_backups else None,
        )

    def commit(self) -> None:
        if self.has_changes:
            self.file.commit()
        elif self.wide_mode is not None:
            self.file.narrow()


class _PrivateKey(_Target):
    """A key file: what it held is kept for good, so it needs no backup besides."""

    has_backups = False

    def __init__(self, file: PrivateFile, step: Step, wish: Wish) -> None:
        found = file.data

        def edit(data: bytes | None) -> bytes:
            if data != found:
                raise Refused(f"{file.path} was changed by another program meanwhile")
            return private_key_file(wish.keys)

        super().__init__(file, {wish.keys.stack: step}, edit)


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
        files = places.files
        if os.path.realpath(files.credentials) == os.path.realpath(files.config):
            raise FileError(files.config, "is the credentials file too; it must be another")
        self._places = places
        self._wishes = wishes
        self._errors: dict[str, str] = {}
        self._receipts_file = open_file(places.state_directory / "receipts.json")
        try:
            self._receipts = Receipts.load(self._receipts_file.data)
        except ReceiptsError as error:
            raise FileError(self._receipts_file.path, str(error)) from None
        credentials, config = open_file(files.credentials), open_file(files.config)
        keys: dict[str, PrivateFile] = {}
        for wish in wishes:
            try:
                keys[wish.keys.stack] = open_file(wish.private_key_path)
            except FileError as error:
                self._errors[wish.keys.stack] = str(error)
        self._plan = plan = Plan(
            [wish for wish in wishes if wish.keys.stack in keys],
            Contents({f.path: f.data for f in keys.values()}, credentials.data, config.data),
            files,
            self._receipts,
            take_over=take_over,
        )
        self._errors |= plan.refusals
        self._keys = []
        for wish in plan.granted:
            stack = wish.keys.stack
            self._keys.append(_PrivateKey(keys[stack], plan.steps[stack].private_key, wish))
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
        for file in (self._receipts_file, *(target.file for target in self._targets)):
            file.clear_leftovers()
        for key in self._keys:
            self._attempt(key, self._stage)
        for target in self._shared:
            self._stage(target)
        self._write_receipts(self._plan.receipts)
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
            self._write_receipts(self._receipts._replace(changed=self._receipts.changed | changed))

    def _stage(self, target: _Target) -> None:
        target.stage(is_first=str(target.file.path) not in self._receipts.changed)

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

    def _write_receipts(self, receipts: Receipts) -> None:
        if receipts != self._receipts:
            self._receipts_file.stage(lambda _: receipts.dump())
            self._receipts_file.commit()
            self._receipts = receipts

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


@contextlib.contextmanager
def _opened(places: Places, wishes: Sequence[Wish], *, take_over: bool) -> Iterator[_Run]:
    with contextlib.ExitStack() as stack:

        def open_file(path: Path) -> PrivateFile:
            return stack.enter_context(PrivateFile(path))

        yield _Run(places, wishes, open_file, take_over=take_over)


def preview(places: Places, wishes: Sequence[Wish], *, take_over: bool) -> list[Outcome]:
    """What `write` would do: an outcome for each of ``wishes``. Nothing is touched.

    Raises `FileError` or `Unreadable` for what concerns every stack.
    """
    with _opened(places, wishes, take_over=take_over) as run:
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
    with (
        lock(places.state_directory / "lock", patience, on_wait),
        _opened(places, wishes, take_over=take_over) as run,
    ):
        run.carry_out()
        return run.outcomes()
