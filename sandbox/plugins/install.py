"""Put the stand-ins where the engine looks for plugins."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def install(plugins: Path) -> None:
    """Write launchers for the stand-ins into `plugins`, which is `$PULUMI_HOME/plugins`.

    Each has the version of the installed SDK, since that is the one a program asks for, and runs
    this checkout's code with this Python, whatever directory the engine starts it in.
    """
    for name in ("aws", "tls"):
        folder = plugins / f"resource-{name}-v{version(f'pulumi-{name}')}"
        folder.mkdir(parents=True)
        launcher = folder / f"pulumi-resource-{name}"
        launcher.write_text(
            "#!/bin/sh\n"
            f"export PYTHONPATH={shlex.quote(str(_CHECKOUT))}\n"
            f'exec {shlex.quote(sys.executable)} -P -m sandbox.plugins.{name} "$@"\n'
        )
        launcher.chmod(0o755)
