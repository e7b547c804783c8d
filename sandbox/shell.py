"""An interactive shell in a sandbox."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox import foreground

if TYPE_CHECKING:
    from sandbox.world import World

_GREETING = """\
This is a sandbox: a home, a Pulumi and an AWS of its own, and a copy of the project. Nothing of
yours is read or written, and all of it is gone when you leave (exit). Try:

  pulumi stack init test --no-select     make a stack
  pulumi up --stack test                 make its key pair, its user and its access key
  python -m sync test                    write them to ~/.pem and ~/.aws
  cat ~/.aws/credentials                 (keys to an AWS that exists only here)

"""

_PROMPT = "(sandbox) "


def open_in(world: World) -> int:
    """Open the user's shell ($SHELL) in `world` and return its exit status."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    # Bash and zsh read their prompt from the home, the simpler shells from the environment.
    (world.home / ".bashrc").write_text(f"PS1='{_PROMPT}\\w\\$ '\n")
    (world.home / ".zshrc").write_text(f"PROMPT='{_PROMPT}%~%# '\n")
    sys.stderr.write(_GREETING)
    environment = {**world.environment, "PS1": f"{_PROMPT}$ "}
    return foreground.run(replace(world, environment=environment), [shell])
