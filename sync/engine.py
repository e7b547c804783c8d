"""Runs the Pulumi engine's command, several at a time, and explains its failures.

This is all that is imported before the engine is started. What comes after is imported while the
engine works, which takes most of a run's time.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading

TYPE_CHECKING = False  # as in typing, which takes longer to import than all this module does
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_QUALIFIED = 3  # organization/project/stack
_SAID_BY_ENGINE = re.compile(r"^error: *(.+)", re.MULTILINE)


class StackError(Exception):
    """Why a stack cannot be synced, in one line for the user; no part of it is secret."""


class PassphraseMissingError(StackError):
    """The engine needs the passphrase of the stack's secrets, and none is in the environment."""


def short_name(stack: str) -> str:
    """The last part of ``stack``, which names its files and its profile.

    Raises `StackError` where it is no ``stack``, ``organization/stack`` or
    ``organization/project/stack`` of the characters that Pulumi takes in a stack's name.
    """
    parts = stack.split("/")
    if len(parts) > _QUALIFIED or any(not _NAME.fullmatch(part) or ".." in part for part in parts):
        raise StackError(
            f"stack name {stack!r}: allowed are letters, digits, '_', '-' and '.', not '..' and no "
            "leading '-' or '.', as stack or organization/project/stack"
        )
    return parts[-1]


class Engine:
    """The ``pulumi`` command, run in ``directory``.

    ``timeout`` is how long one run of it may take, in seconds. ``environ`` is the environment it
    gets beside what makes it quicker here.
    """

    def __init__(self, directory: str, timeout: float, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._timeout = timeout
        self._environ = {"PULUMI_SKIP_UPDATE_CHECK": "true", **environ}
        self._running: set[subprocess.Popen[str]] = set()
        self._starting = threading.Lock()
        self._stopped = False

    def use_passphrase(self, passphrase: str) -> None:
        """Give ``passphrase`` to the engine, in its environment, from now on."""
        self._environ["PULUMI_CONFIG_PASSPHRASE"] = passphrase

    def check_directory(self) -> None:
        """Raise `StackError` where ``directory`` is in no Pulumi project."""
        if not os.path.isdir(self._directory):
            raise StackError(f"{self._directory} is not a directory")
        self.find_project()

    def find_project(self) -> str:
        """The directory of the project's Pulumi.yaml. Raises `StackError` where there is none."""
        start = folder = os.path.realpath(self._directory)
        while not any(os.path.isfile(f"{folder}/Pulumi.{ending}") for ending in ("yaml", "yml")):
            if folder == os.path.dirname(folder):
                raise StackError(
                    f"no Pulumi.yaml in {start} or above it: go to the project's directory or "
                    "name it with -C DIR"
                )
            folder = os.path.dirname(folder)
        return folder

    def stacks(self) -> list[str]:
        """The names of the project's stacks, as the backend lists them.

        Raises `StackError` where the engine fails.
        """
        import json

        try:
            return [str(stack["name"]) for stack in json.loads(self._run("stack", "ls", "--json"))]
        except (ValueError, LookupError, TypeError):
            raise StackError("pulumi stack ls did not print a list of stacks") from None

    def read_outputs(self, stacks: Sequence[str]) -> Callable[[str], str]:
        """Begin to read the outputs of ``stacks``, checked names, in parallel.

        The result waits for one of them and gives it as the JSON that the engine printed, or
        raises `StackError`.
        """
        results: dict[str, str | Exception] = {}
        free = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))

        def work(stack: str) -> None:
            with free:
                try:
                    results[stack] = self._run(
                        "stack", "output", "--json", "--show-secrets", f"--stack={stack}"
                    )
                except Exception as error:  # noqa: BLE001  it is raised again where it is waited for
                    results[stack] = error

        threads = {
            stack: threading.Thread(target=work, args=(stack,), daemon=True) for stack in stacks
        }
        for thread in threads.values():
            thread.start()

        def wait(stack: str) -> str:
            threads[stack].join()
            result = results[stack]
            if isinstance(result, Exception):
                raise result
            return result

        return wait

    def read_config(self, stack: str) -> dict[str, str]:
        """The config of ``stack``, a checked name, as text by qualified key; secrets left out.

        Raises `StackError` where the engine fails.
        """
        import json

        try:
            config = json.loads(self._run("config", "--json", f"--stack={stack}"))
            return {key: str(each["value"]) for key, each in config.items() if "value" in each}
        except (ValueError, LookupError, TypeError, AttributeError):
            raise StackError("pulumi config did not print a stack's config") from None

    def export(self, stack: str) -> str:
        """The state of ``stack``, a checked name, as JSON with its secrets encrypted.

        Raises `StackError` where the engine fails.
        """
        return self._run("stack", "export", f"--stack={stack}")

    @property
    def environ(self) -> dict[str, str]:
        """What it runs with; holds the passphrase."""
        return dict(self._environ)

    def stop(self) -> None:
        """End every engine process that is still running, and let no other begin."""
        with self._starting:
            self._stopped = True
            for process in list(self._running):
                _kill(process)

    def _run(self, *arguments: str) -> str:
        process = self._start(arguments)
        try:
            printed, said = process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise StackError(
                f"pulumi gave no answer within {self._timeout:g} s (--timeout)"
            ) from None
        finally:
            self._running.discard(process)
        if process.returncode:
            raise self._explain(said, process.returncode, arguments)
        return printed

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        with self._starting:
            if self._stopped:
                raise StackError("interrupted")
            try:
                process = subprocess.Popen(  # noqa: S603  fixed words and a checked stack name
                    ["pulumi", *arguments, "--non-interactive", "--color=never"],  # noqa: S607  the user's own
                    cwd=self._directory,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                    process_group=0,  # so that what it starts can be ended with it
                )
            except FileNotFoundError:
                raise StackError(
                    "pulumi is not on PATH: get the Pulumi CLI, https://www.pulumi.com/docs/install"
                ) from None
            except OSError as error:
                raise StackError(
                    f"pulumi cannot be run in {self._directory}: {error.strerror}"
                ) from None
            self._running.add(process)
            return process

    def _explain(self, said: str, status: int, arguments: Sequence[str]) -> StackError:
        """What a failed run means. Its standard output is not looked at: it may hold secrets."""
        found = _SAID_BY_ENGINE.search(said)
        lines = said.strip().splitlines() or ["no reason given"]
        reason = found.group(1) if found else f"pulumi ended with status {status}: {lines[-1]}"
        if reason.startswith("no stack named") and "output" in arguments:
            try:
                known = ", ".join(sorted(self.stacks())) or "none"
            except StackError:
                return StackError(f"{reason} (and the stacks there are cannot be listed)")
            return StackError(f"no such stack; there are: {known}")
        if "passphrase must be set" in reason:
            return PassphraseMissingError(
                "the stack's secrets need a passphrase: set PULUMI_CONFIG_PASSPHRASE or "
                "PULUMI_CONFIG_PASSPHRASE_FILE"
            )
        if "incorrect passphrase" in reason:
            return StackError(
                "the passphrase is wrong: check PULUMI_CONFIG_PASSPHRASE or "
                "PULUMI_CONFIG_PASSPHRASE_FILE"
            )
        if reason.endswith("failed to load checkpoint: EOF"):
            return StackError(
                f"{reason}: an engine that was killed has left an empty .attrs file beside the "
                "state; remove that, and log in with 'file://...?metadata=skip', which makes none"
            )
        return StackError(reason)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
