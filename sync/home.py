"""Carries a plan out on the files of a home directory.

Everything is read and decided, and every new content is on the disk, before the first file is
replaced: what can fail fails while nothing is changed. Receipts are written first, so that a
process that dies half-way never finds its own work to be a stranger's; the credentials file comes
last, when all that goes with the keys is there.
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
    aside_name,
    private_key_file,
)
from sync.private_file import (
    OWNER_ONLY,
    OWNER_ONLY_DIRECTORY,
    FileError,
    PrivateFile,
    lock,
    make_directory,
    narrow_directory,
    wide_mode,
)
from sync.receipts import Receipts, ReceiptsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NARROWED = "narrowed"


class Places(NamedTuple):
    """Where everything is."""

    files: Files
    pem_directory: Path
    state_directory: Path
    pem_directory_is_ours: bool
    """Whether it is ``~/.pem``, whose mode is sync's business, and not one that was named."""

    @classmethod
    def find(cls, environ: Mapping[str, str], pem_directory: str | None) -> Places:
        """The places that ``environ`` names, and the usual ones otherwise.

        The rules are those of AWS ("Location of the shared config and credentials files", AWS
        SDKs and Tools Reference Guide) and of the XDG Base Directory Specification. A variable in
        the path of a file and a leading ``~`` are expanded, as botocore does.
        """
        state = environ.get("XDG_STATE_HOME", "")
        return cls(
            Files(
                _absolute(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"),
                _absolute(environ.get("AWS_CONFIG_FILE") or "~/.aws/config"),
            ),
            _absolute("~/.pem") if pem_directory is None else Path.cwd() / pem_directory,
            _absolute(state if state.startswith("/") else "~/.local/state") / "aws-keys",
            pem_directory_is_ours=pem_directory is None,
        )

    def private_key(self, stack: str) -> Path:
        """The key file of ``stack``."""
        return self.pem_directory / f"{stack}.pem"


def _absolute(path: str) -> Path:
    return Path.cwd() / Path(os.path.expandvars(path)).expanduser()


class Change(NamedTuple):
    """What was done, or would be, to one file or directory for one stack."""

    path: str
    action: str
    facts: Mapping[str, str]
    kept: str | None = None
    """Where the key file that was replaced is kept."""


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
    """One file: what is to become of it, and what came in the way."""

    def __init__(
        self,
        file: PrivateFile,
        steps: Mapping[str, Step],
        edit: Callable[[bytes | None], bytes],
        *,
        is_secret: bool = True,
    ) -> None:
        self.file = file
        self.steps = steps
        self.edit = edit
        self.changes = any(step.action != UNCHANGED for step in steps.values())
        self.wide_mode = file.wide_mode if is_secret or self.changes else None
        self.kept: Path | None = None
        self.error: str | None = None

    def stage(self, receipts: Receipts) -> None:
        make_directory(self.file.path.parent)
        name = self.file.path.name
        if not receipts.mention(str(self.file.path)):
            self.file.keep_first(f"{name}.before-aws-keys")
        self.file.stage(self.edit, backup=f"{name}.aws-keys.bak")

    def commit(self) -> None:
        try:
            if self.changes:
                self.file.commit()
            elif self.wide_mode is not None:
                self.file.narrow()
        except (FileError, Refused, Unreadable) as error:
            self.error = str(error)


class _PrivateKey(_Target):
    """A key file: what it held is kept under a name of its own."""

    def __init__(self, file: PrivateFile, step: Step, wish: Wish) -> None:
        found = file.data

        def edit(data: bytes | None) -> bytes:
            if data != found:
                raise Refused(f"{file.path} was changed by another program meanwhile")
            return private_key_file(wish.keys)

        super().__init__(file, {wish.keys.stack: step}, edit)
        self._stack = wish.keys.stack

    def stage(self, receipts: Receipts) -> None:  # noqa: ARG002  all key files are kept alike
        make_directory(self.file.path.parent)
        if self.file.data:
            self.kept = self.file.keep_aside(aside_name(self.file.data, self._stack))
        self.file.stage(self.edit)


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
        self._pem_directory_mode: int | None = None
        self._receipts_file = open_file(places.state_directory / "receipts.json")
        try:
            self._receipts = Receipts.load(self._receipts_file.data)
        except ReceiptsError as error:
            raise FileError(self._receipts_file.path, f"{error}; move it away") from None
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
        profile_steps = {stack: step.profile for stack, step in plan.steps.items()}
        region_steps = {stack: step.region for stack, step in plan.steps.items()}
        self._targets: list[_Target] = [
            *(
                _PrivateKey(keys[stack], plan.steps[stack].private_key, wish)
                for wish in plan.granted
                for stack in [wish.keys.stack]
            ),
            _Target(config, region_steps, plan.edit_config, is_secret=False),
            _Target(credentials, profile_steps, plan.edit_credentials),
        ]

    def narrow_pem_directory(self, *, dry_run: bool) -> None:
        if self._places.pem_directory_is_ours and self._plan.granted:
            path = self._places.pem_directory
            self._pem_directory_mode = wide_mode(path) if dry_run else narrow_directory(path)

    def carry_out(self) -> None:
        for file in (self._receipts_file, *(target.file for target in self._targets)):
            file.clear_leftovers()
        for target in self._targets:
            if target.changes:
                target.stage(self._receipts)
        receipts = self._plan.receipts
        if receipts != self._receipts:
            self._receipts_file.stage(lambda _: receipts.dump())
            self._receipts_file.commit()
        self.narrow_pem_directory(dry_run=False)
        for target in self._targets:
            target.commit()

    def outcomes(self) -> list[Outcome]:
        told: set[Path] = set()  # a mode that concerns several stacks is told once
        return [self._outcome(wish, told) for wish in self._wishes]

    def _outcome(self, wish: Wish, told: set[Path]) -> Outcome:
        stack = wish.keys.stack
        error = self._errors.get(stack)
        changes = []
        warnings: list[str] = []
        modes = [(self._places.pem_directory, self._pem_directory_mode, OWNER_ONLY_DIRECTORY)]
        for target in self._targets:
            step = target.steps.get(stack)
            if step and target.error:
                error = error or target.error
            elif step:
                path = str(target.file.path)
                kept = str(target.kept) if target.kept else None
                changes.append(Change(path, step.action, step.facts, kept))
                warnings += step.warnings
                modes.append((target.file.path, target.wide_mode, OWNER_ONLY))
        for directory_or_file, mode, allowed in modes if changes else []:
            if mode is not None and directory_or_file not in told:
                told.add(directory_or_file)
                facts = {"was": f"{mode:04o}", "mode": f"{mode & allowed:04o}"}
                changes.append(Change(str(directory_or_file), NARROWED, facts))
        return Outcome(stack, wish.profile, tuple(changes), tuple(dict.fromkeys(warnings)), error)


def preview(places: Places, wishes: Sequence[Wish], *, take_over: bool) -> list[Outcome]:
    """What `write` would do: an outcome for each of ``wishes``. Nothing is touched.

    Raises `FileError` or `Unreadable` for what concerns every stack.
    """
    with contextlib.ExitStack() as stack:
        run = _Run(
            places,
            wishes,
            lambda path: stack.enter_context(PrivateFile(path)),
            take_over=take_over,
        )
        run.narrow_pem_directory(dry_run=True)
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
        contextlib.ExitStack() as stack,
    ):
        run = _Run(
            places,
            wishes,
            lambda path: stack.enter_context(PrivateFile(path)),
            take_over=take_over,
        )
        run.carry_out()
        return run.outcomes()
