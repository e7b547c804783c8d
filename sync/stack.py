"""Asks the Pulumi engine for a stack's outputs and checks every one that sync uses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from sync.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_QUALIFIED = 3  # organization/project/stack
_SAID_BY_ENGINE = re.compile(r"^error: *(.+)", re.MULTILINE)


class Form(NamedTuple):
    """What an output must look like as a whole: for the machine and in words."""

    pattern: re.Pattern[str]
    words: str
    is_secret: bool = False


_ACCESS_KEY_ID = re.compile(r"\w{16,128}", re.ASCII)  # IAM API reference, AccessKey
_PUBLIC_KEY = re.compile(r"ssh-(ed25519|rsa) [A-Za-z0-9+/]+={0,2}( [ -~]*)?")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[ -~\n]+\n-----END [ -~]+\n*")

USED_OUTPUTS = {
    "key_algorithm": Form(re.compile(r"ED25519|RSA"), "ED25519 or RSA"),
    "public_key": Form(_PUBLIC_KEY, "one line, as in authorized_keys"),
    "private_key": Form(_PRIVATE_KEY, "a private key as ssh takes it", is_secret=True),
    "account_id": Form(re.compile(r"[0-9]{12}"), "12 digits"),
    "region": Form(re.compile(r"[a-z0-9-]+"), "one line of a-z, 0-9 and '-'"),
    "access_key_id": Form(_ACCESS_KEY_ID, "16 to 128 letters and digits", is_secret=True),
    "secret_access_key": Form(re.compile(r"[!-~]+"), "one line without spaces", is_secret=True),
}
"""The outputs that sync reads, by name."""


class StackError(Exception):
    """Why a stack cannot be synced, in one line for the user; no part of it is secret."""


class PassphraseMissingError(StackError):
    """The engine needs the passphrase of the stack's secrets, and none is in the environment."""


class StackKeys(NamedTuple):
    """What a stack gives to the files of a home directory, each value checked."""

    stack: str
    """The last part of the stack's name."""
    key_algorithm: str
    public_key: str
    private_key: Secret
    account_id: str
    region: str
    access_key_id: Secret
    secret_access_key: Secret


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

    def __init__(self, directory: Path, timeout: float, environ: Mapping[str, str]) -> None:
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
        try:
            start = self._directory.resolve(strict=True)
        except OSError as error:
            raise StackError(f"{self._directory}: {error.strerror}") from None
        if not start.is_dir():
            raise StackError(f"{self._directory} is not a directory")
        for folder in (start, *start.parents):
            if any((folder / name).is_file() for name in ("Pulumi.yaml", "Pulumi.yml")):
                return
        raise StackError(
            f"no Pulumi.yaml in {start} or above it: go to the project's directory or name it "
            "with -C DIR"
        )

    def stacks(self) -> list[str]:
        """The names of the project's stacks, as the backend lists them.

        Raises `StackError` where the engine fails.
        """
        listed = _parse_json(self._run("stack", "ls", "--json"), "pulumi stack ls")
        return [str(stack["name"]) for stack in listed]

    def read(self, stack: str) -> StackKeys:
        """The keys of ``stack``. Raises `StackError` where there are none to be had."""
        short_name(stack)
        printed = self._run("stack", "output", "--json", "--show-secrets", f"--stack={stack}")
        return check_outputs(stack, _parse_json(printed, f"pulumi stack output of {stack}"))

    def read_all(self, stacks: Sequence[str]) -> Callable[[str], StackKeys | StackError]:
        """Begin to read ``stacks`` in parallel; the result waits for one of them."""
        results: dict[str, StackKeys | Exception] = {}
        free = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))

        def work(stack: str) -> None:
            with free:
                try:
                    results[stack] = self.read(stack)
                except Exception as error:  # noqa: BLE001  it is raised again where it is waited for
                    results[stack] = error

        threads = {
            stack: threading.Thread(target=work, args=(stack,), daemon=True) for stack in stacks
        }
        for thread in threads.values():
            thread.start()

        def wait(stack: str) -> StackKeys | StackError:
            threads[stack].join()
            result = results[stack]
            if isinstance(result, Exception) and not isinstance(result, StackError):
                raise result
            return result

        return wait

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
                raise StackError(f"pulumi cannot be run: {error.strerror}") from None
            self._running.add(process)
            return process

    def _explain(self, said: str, status: int, arguments: Sequence[str]) -> StackError:
        """What a failed run means. Its standard output is not looked at: it may hold secrets."""
        found = _SAID_BY_ENGINE.search(said)
        reason = found.group(1) if found else f"pulumi ended with status {status} and no reason"
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
        return StackError(reason)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _parse_json(printed: str, what: str) -> Any:  # noqa: ANN401  JSON
    try:
        return json.loads(printed)
    except ValueError:  # not chained: the error holds the text it could not parse
        raise StackError(f"{what} did not print JSON") from None


def check_outputs(stack: str, outputs: Any) -> StackKeys:  # noqa: ANN401  JSON of the engine
    """``StackKeys`` from what ``pulumi stack output --json --show-secrets`` printed.

    Raises `StackError`, naming the output, for one that is missing, null, masked, or not of the
    form it has to have. Values are not quoted: most are secret.
    """
    if not outputs:
        raise StackError(f"has no outputs: deploy it with 'pulumi up -s {stack}'")
    if not isinstance(outputs, dict):
        raise StackError("pulumi printed something else than the stack's outputs")
    for name, form in USED_OUTPUTS.items():
        if name not in outputs:
            raise StackError(f"output {name} is missing: deploy it with 'pulumi up -s {stack}'")
        value = outputs[name]
        if value is None:
            raise StackError(f"output {name} is null: was the passphrase the right one?")
        if value == "[secret]":
            raise StackError(f"output {name} is masked: pulumi did not show its secrets")
        if not isinstance(value, str) or not form.pattern.fullmatch(value):
            raise StackError(f"output {name} is not of the form it must have: {form.words}")
    values: dict[str, Any] = {
        name: Secret(outputs[name]) if form.is_secret else outputs[name]
        for name, form in USED_OUTPUTS.items()
    }
    keys = StackKeys(short_name(stack), **values)
    _check_key_pair(keys)
    return keys


def _check_key_pair(keys: StackKeys) -> None:
    from sync.ssh_key import parse_private_key, parse_public_key

    public = parse_public_key(keys.public_key)
    private = parse_private_key(keys.private_key.reveal().encode())
    if public is None:
        raise StackError("output public_key is no public key")
    if private is None:
        raise StackError("output private_key is no private key that ssh takes")
    if private.public_key != public:
        raise StackError("output private_key is not the private half of public_key")
    if public.algorithm != keys.key_algorithm:
        raise StackError(f"output key_algorithm says {keys.key_algorithm}, the key is another")
