"""Moves a stack's config on and deploys it, by Pulumi's Automation API.

It drives the user's own `pulumi`, in the user's own project. Whatever that prints stays in here:
the text of its failures repeats its output. What is told is what the engine's events say.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pulumi import automation

from sync.aws import mask_ids
from sync.engine import StackError, short_name
from sync.interruption import deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

UNDO = "AWS_KEYS_UNDO"
"""The variable that lets the program go back a step: the config key and its deployed value."""

_OWNER = re.compile(
    r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>[0-9]+)\) at (?P<at>\S+)"
)
_COLOUR = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*m")
_DONE = {
    "create": "made",
    "create-replacement": "made",
    "update": "updated",
    "delete": "deleted",
    "delete-replaced": "deleted",
}
_SHOWN = {  # what of a stack a person has to do with
    "aws:iam/accessKey:AccessKey": "access key",
    "aws:ec2/keyPair:KeyPair": "EC2 key pair",
    "tls:index/privateKey:PrivateKey": "SSH key",
    "aws:iam/user:User": "user",
    "aws:iam/userPolicy:UserPolicy": "inline policy",
}


class LockedError(StackError):
    """Somebody else is updating the stack; nothing was done."""

    def __init__(self, text: str, locks: Sequence[Lock]) -> None:
        super().__init__(text)
        self.locks = locks


class UpdateError(StackError):
    """An update failed on the way."""


class Lock(NamedTuple):
    """Who holds a lock of a backend that keeps locks in files."""

    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"by {self.user}@{self.host} (pid {self.pid}) since {self.since}"

    @property
    def is_abandoned(self) -> bool:
        """Whether the process was on this host and is no more."""
        return self.host == socket.gethostname() and not _is_pulumi(self.pid)


class _Workspace(automation.LocalWorkspace):
    """The user's project, in which the stack that the user selected stays selected."""

    def select_stack(self, stack_name: str) -> None:
        """Do nothing: every command that follows names its stack."""


class Update:
    """Updates of one stack.

    ``directory`` is the project's, and ``environ`` what the engine runs with. ``tell`` is called
    with a line for each thing that was done. Raises `StackError` where there is no usable engine.
    """

    def __init__(
        self, directory: str, stack: str, environ: Mapping[str, str], tell: Callable[[str], None]
    ) -> None:
        self._name = stack
        self._directory = directory
        self._environ = environ
        self._tell = tell
        self._config_file = Path(directory, f"Pulumi.{short_name(stack)}.yaml")
        self._config_before: bytes | None = None
        self._failures: list[str] = []
        self._command = _command()

    def set_config(self, values: Mapping[str, str]) -> None:
        """Write ``values`` to the stack's config, all at once. Raises `StackError`."""
        self._config_before = self._config_file.read_bytes() if self._config_file.exists() else None
        config = {key: automation.ConfigValue(value) for key, value in values.items()}
        with self._explained("pulumi config"):
            self._stack().set_all_config(config)

    def put_config_back(self) -> None:
        """Undo the last `set_config`, to the last byte."""
        path, before = self._config_file, self._config_before
        if before is None:
            path.unlink(missing_ok=True)
            return
        temporary = path.with_name(f".{path.name}.aws-keys")
        temporary.write_bytes(before)
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)

    def up(self, *, undo: tuple[str, int] | None = None, refresh: bool = False) -> None:
        """Deploy what the config says.

        ``undo`` is the config key and the deployed generation that are gone back from; ``refresh``
        looks first at what AWS still has. Raises `LockedError`, before anything was done, and
        `UpdateError`.
        """
        environ = {UNDO: f"{undo[0]}:{undo[1]}" if undo else ""}
        self._run(
            "pulumi up",
            lambda: self._stack(environ).up(
                on_event=self._heed, show_secrets=False, suppress_outputs=True, refresh=refresh
            ),
        )

    def refresh(self, *, forget_pending: bool = False) -> None:
        """Look at what AWS still has; perhaps forget creations that were never heard of again.

        Raises as `up` does.
        """
        self._run(
            "pulumi refresh",
            lambda: self._stack().refresh(
                on_event=self._heed,
                show_secrets=False,
                clear_pending_creates=forget_pending or None,
            ),
        )

    def _run(self, command: str, act: Callable[[], object]) -> None:
        """``act``, once more where processes that are gone hold the lock."""
        try:
            self._attempt(command, act)
        except LockedError as error:
            if not error.locks or not all(lock.is_abandoned for lock in error.locks):
                raise
            gone = error.locks[0]
            self._tell(
                f"cancelled the update of {gone.since}, whose process (pid {gone.pid}) is gone"
            )
            with self._explained("pulumi cancel"):
                self._stack().cancel()
            self._attempt(command, act)

    def _attempt(self, command: str, act: Callable[[], object]) -> None:
        self._failures.clear()
        # The engine gets a Ctrl-C too, and ends the update in its own way.
        with self._explained(command), deferred():
            act()

    def _heed(self, event: automation.EngineEvent) -> None:
        """Tell what was done to which resource, and keep what failed."""
        if event.diagnostic_event and event.diagnostic_event.severity == "error":
            self._failures.append(_COLOUR.sub("", event.diagnostic_event.message))
        if event.res_outputs_event:
            done = event.res_outputs_event.metadata
            what, verb = _SHOWN.get(done.type), _DONE.get(str(done.op.value))
            if what and verb:
                self._tell(f"pulumi up: {verb} {what} {done.urn.rpartition('::')[2]}")

    @contextlib.contextmanager
    def _explained(self, command: str) -> Iterator[None]:
        try:
            yield
        except automation.errors.ConcurrentUpdateError as error:
            locks = _locks(str(error))
            who = " and ".join(str(lock) for lock in locks)
            raise LockedError(
                f"another update of the stack is under way {who}".rstrip() + ": wait for its end, "
                f"or 'pulumi cancel -s {self._name}' if there is none any more",
                locks,
            ) from None
        except automation.errors.CommandError as error:
            reason = self._reason(str(error))
            raise UpdateError(
                f"{command} failed: {reason}" if reason else f"{command} failed"
            ) from None

    def _reason(self, said: str) -> str | None:
        """The first thing that failed, in one line."""
        lines = [line.strip() for text in self._failures for line in text.splitlines()]
        # The text repeats standard output, whose every line may be anything, before it.
        errors = said.rpartition("\n stderr: ")[2]
        lines += re.findall(r"^ *error: *(.+)", errors, re.MULTILINE)
        reason = next((line.removeprefix("error: ") for line in lines if line), None)
        return reason and mask_ids(reason)

    def _stack(self, environ: Mapping[str, str] | None = None) -> automation.Stack:
        workspace = _Workspace(
            work_dir=self._directory,
            env_vars={**self._environ, **(environ or {})},
            pulumi_command=self._command,
        )
        return automation.Stack.select(self._name, workspace)


def _command() -> automation.PulumiCommand:
    try:
        return automation.PulumiCommand()
    except FileNotFoundError:
        raise StackError(
            "pulumi is not on PATH: get the Pulumi CLI, https://www.pulumi.com/docs/install"
        ) from None
    except (OSError, subprocess.CalledProcessError):
        raise StackError("pulumi cannot be run") from None
    except automation.errors.InvalidVersionError as error:
        raise StackError(f"pulumi cannot be used: {' '.join(str(error).split())}") from None


def _locks(said: str) -> list[Lock]:
    return [
        Lock(found["user"], found["host"], int(found["pid"]), found["at"])
        for found in _OWNER.finditer(said)
    ]


def _is_pulumi(pid: int) -> bool:
    """Whether process ``pid`` of this host is `pulumi`: another may have got its number since.

    Where there is no proc(5) to tell the two apart, any process counts.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    try:
        return "pulumi" in Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return True
