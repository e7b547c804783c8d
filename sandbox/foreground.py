"""Run a command of the user's in a sandbox, as if the sandbox were not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from sandbox.world import World

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(world: World, command: Sequence[str]) -> int:
    """Run `command` on the user's terminal, and return its status as a shell would.

    That is 128 and the signal's number when a signal ended it, 127 when there is no such command
    and 126 when it cannot be run. A signal that asks this process to end is the command's, so that
    it can clean up; then the sandbox does.
    """
    with _held_signals() as signals:
        try:
            child = subprocess.Popen(command, cwd=world.project, env=world.environment)
        except OSError as error:
            sys.stderr.write(f"sandbox: {command[0]}: {error.strerror}\n")
            return 127 if isinstance(error, FileNotFoundError) else 126
        signals.send_to(child)
        status = child.wait()
    return 128 - status if status < 0 else status


class _Signals:
    """Signals for a child that may not have started yet."""

    def __init__(self) -> None:
        self._early: list[int] = []
        self._child: subprocess.Popen[bytes] | None = None

    def take(self, number: int, _: FrameType | None) -> None:
        # A Ctrl-C went to all that run on the terminal. Sent on, it would be a second one, at which
        # Pulumi stops without cleaning up.
        if self._child is None:
            self._early.append(number)
        elif not (number == signal.SIGINT and _on_terminal()):
            self._child.send_signal(number)

    def send_to(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        for number in self._early:
            child.send_signal(number)


@contextmanager
def _held_signals() -> Iterator[_Signals]:
    """Hold the signals that would end this process while the block runs, for its child."""
    signals = _Signals()
    before = {number: signal.signal(number, signals.take) for number in _FORWARDED}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_terminal() -> bool:
    """Whether this process is in the foreground of a terminal."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
