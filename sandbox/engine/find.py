"""Find a Pulumi CLI that is recent enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sandbox.engine import pinned


def find() -> Path | None:
    """Return the directory of a `pulumi` on PATH, or one built before, that is recent enough.

    Both the CLI and its host for Python have to be there.
    """
    on_path = shutil.which("pulumi")
    if on_path:
        directory = Path(on_path).parent.absolute()
        has_host = shutil.which("pulumi-language-python", path=_path_with(directory))
        if has_host and _version_of(on_path) >= pinned.numbers(pinned.engine_version()):
            return directory
    built = pinned.cache()
    return built if built.is_dir() else None


def _path_with(directory: Path) -> str:
    return os.pathsep.join([str(directory), os.environ.get("PATH", os.defpath)])


def _version_of(pulumi: str) -> tuple[int, ...]:
    """Ask a CLI for its version the way a sandbox will use it: without the user's home.

    The shim of a version manager cannot find its program there. It gives no version, so it is not
    used.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "HOME": home,
            "PULUMI_HOME": home,  # without it, the engine asks the system for the user's home
            "PATH": _path_with(Path(pulumi).parent),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        try:
            answer = subprocess.run(
                [pulumi, "version"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return ()
    return pinned.numbers(answer.stdout)
