"""The command line: which command it is, how it ends, and what no exception escapes.

Exit status: 0 done; 1 something failed, named on standard error, and no file was half-written;
2 the command line is wrong; 3 ``--check`` found a difference; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys

from sync import interruption, terminal
from sync.command_line import FAILED, INTERRUPTED
from sync.engine import StackError

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = ("status", "rotate", "remove")
"""Each a module in `sync.commands`; without one of these words it is `sync.commands.write`."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line and give its exit status; no exception leaves it but SystemExit."""
    _forbid_core_dumps()
    if sys.stdout is None and "--json" in arguments:
        terminal.say("sync: standard output is closed, and --json would go there")
        return FAILED
    terminal.replace_closed_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)  # clean up as when interrupted
    try:
        return _run(arguments)
    except (StackError, terminal.OutputError) as error:
        terminal.say(f"sync: {error}")
        return FAILED
    except KeyboardInterrupt:
        interruption.ignore()
        terminal.say("sync: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  a traceback would not help, its text might tell secrets
        terminal.say(f"sync: internal error, please report it: {_where(error)}")
        return FAILED


def _run(arguments: Sequence[str]) -> int:
    command = arguments[0] if arguments and arguments[0] in COMMANDS else None
    if command == "status":
        from sync.commands import status

        return status.run(arguments[1:])
    if command == "rotate":
        from sync.commands import rotate

        return rotate.run(arguments[1:])
    if command == "remove":
        from sync.commands import remove

        return remove.run(arguments[1:])
    from sync.commands import write

    return write.run(arguments)


def _where(error: BaseException) -> str:
    """The kind of ``error`` and the places it came through, not its text: it may hold secrets."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    path = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {path}"


def _forbid_core_dumps() -> None:
    """Keep secrets in memory from being written to a core file, ours or the engine's."""
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
