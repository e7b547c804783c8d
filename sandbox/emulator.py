"""AWS on a loopback port: moto's server with signatures and policies enforced.

The server is a process of its own, `sandbox.aws_server`. It holds everything in memory and ends
when its standard input does, that is, when whoever started it ends, however that happens.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY_WITHIN = 60.0
"""Seconds. It takes one or two; a busy machine may need more."""


@dataclass(frozen=True)
class Emulator:
    """Where AWS is, and the keys of its administrator, a user who may do everything."""

    endpoint: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@contextmanager
def emulator(root: Path) -> Iterator[Emulator]:
    """Run an AWS until the block ends, its log in `aws.log` in the sandbox's directory `root`.

    Raises `SandboxError` when it does not come up.
    """
    log = root / "aws.log"
    checkout = Path(__file__).resolve().parents[1]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "sandbox.aws_server"],
            env={"HOME": str(root), "TMPDIR": str(root / "tmp"), "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            # A Ctrl-C is for the command in the sandbox: AWS stays until that has cleaned up.
            start_new_session=True,
        ) as server,
    ):
        try:
            yield _ready(server, log)
        finally:
            server.terminate()


def _ready(server: subprocess.Popen[bytes], log: Path) -> Emulator:
    assert server.stdout is not None  # noqa: S101 - it is a pipe, as asked for
    readable, _, _ = select.select([server.stdout], [], [], _READY_WITHIN)
    line = server.stdout.readline() if readable else b""
    if not line:
        said = log.read_text(errors="replace").strip().splitlines() or ["no answer"]
        raise SandboxError(f"the AWS emulator did not start: {said[-1]}")
    return Emulator(**json.loads(line))
