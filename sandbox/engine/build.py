"""Build the Pulumi CLI and its host for Python from the modules beside this file."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.engine import pinned
from sandbox.engine.find import find
from sandbox.engine.progress import Progress
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_LANGUAGE_HOST_PACKAGE = f"{_SDK}/python/cmd/pulumi-language-python"


def ensure() -> Path:
    """Return the directory of a recent enough Pulumi CLI, built now if there is none.

    Progress goes to stderr. Raises `SandboxError` when there is none and it cannot be built.
    """
    return find() or _build_once(pinned.cache())


def _build_once(target: Path) -> Path:
    """Build the engine into `target`, unless another sandbox does so meanwhile."""
    _require_go()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f"{target.name}.lock")):
            if not target.is_dir():
                _remove_leftovers(target)
                _build(target)
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"cannot build the Pulumi engine in {target}: {error}") from None
    return target


def _require_go() -> None:
    """Raise `SandboxError` unless there is a Go that can build the modules.

    Go itself knows: since 1.21 it fetches the version that go.mod asks for, where it may.
    """
    try:
        version = _go(pinned.CLI, "env", "GOVERSION").strip()
    except (OSError, subprocess.SubprocessError):
        version = ""
    wanted = pinned.go_version()
    if pinned.numbers(version) < pinned.numbers(wanted):
        raise SandboxError(
            f"no pulumi {pinned.engine_version()} or later on PATH, nor Go {wanted} or later to "
            "build it: install Pulumi (https://www.pulumi.com/docs/install/) or Go "
            "(https://go.dev/doc/install)"
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel lifts when this process ends, however that happens."""
    waiting = Progress("waiting for another build of the Pulumi engine")
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting.pause()
        waiting.end()
        yield


def _remove_leftovers(target: Path) -> None:
    """Remove what builds that were killed have left; only the holder of the lock may."""
    for leftover in target.parent.glob(f"{target.name}.*.tmp"):
        shutil.rmtree(leftover)


def _build(target: Path) -> None:
    """Build beside `target` and rename, so that `target` is there whole or not at all."""
    place = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{target.name}.", suffix=".tmp"))
    try:
        name = f"the Pulumi engine {pinned.engine_version()}"
        _build_package(f"building {name} (once, some minutes)", pinned.CLI, _CLI_PACKAGE, place)
        _build_package(
            f"building {name}: its host for Python",
            pinned.LANGUAGE_HOST,
            _LANGUAGE_HOST_PACKAGE,
            place,
        )
        _copy_exec_script(place)
        place.chmod(0o755)
        place.rename(target)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _build_package(what: str, module: Path, package: str, place: Path) -> None:
    """Build a package of a module into `place`. Raises `SandboxError` with Go's last word."""
    version = f"{_SDK}/go/common/version.Version={pinned.engine_version()}"
    output = place / package.rpartition("/")[2]
    command = ["go", "build", "-trimpath", "-ldflags", f"-s -w -X {version}"]
    progress = Progress(what)
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [*command, "-o", str(output), package],
            cwd=module,
            env=_go_environment(),
            stdout=said,
            stderr=subprocess.STDOUT,
        ) as go,
    ):
        try:
            while go.poll() is None:
                progress.pause()
        except BaseException:
            go.terminate()
            raise
        finally:
            progress.end()
        if go.returncode:
            said.seek(0)
            lines = said.read().strip().splitlines() or ["no reason given"]
            raise SandboxError(f"Go cannot build the Pulumi engine: {lines[-1]}")


def _copy_exec_script(place: Path) -> None:
    """Put the script that starts Python beside the host, which looks for it there."""
    sources = _go(pinned.LANGUAGE_HOST, "list", "-m", "-f", "{{.Dir}}", _SDK).strip()
    name = "pulumi-language-python-exec"
    shutil.copyfile(Path(sources, "python", "cmd", name), place / name)
    (place / name).chmod(0o755)


def _go(module: Path, *arguments: str) -> str:
    """Return what a short Go command prints in a module."""
    return subprocess.run(
        ["go", *arguments],
        cwd=module,
        env=_go_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _go_environment() -> dict[str, str]:
    """Return the environment, with what may make Go build something else set back.

    -mod=readonly: every module is checked against go.sum, and go.sum is not added to. No cgo: no C
    compiler is needed.
    """
    return {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"}
