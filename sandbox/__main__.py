"""`python -m sandbox`: the command line of the sandbox."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import demo, foreground, shell
from sandbox.engine import build
from sandbox.errors import SandboxError
from sandbox.world import sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_EXAMPLES = """\
examples:
  python -m sandbox demo                           the tour: deploy, sync, use, destroy
  python -m sandbox shell                          look around; all is gone at exit
  python -m sandbox run -- pulumi preview -s test  one command, with its exit status
  python -m sandbox run --keep /tmp/kept -- make   and leave the files for a look
  SANDBOX_PLUGINS=~/.pulumi/plugins python -m sandbox shell
                                                   with the official Pulumi plugins
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    0 done, 1 the sandbox could not be made, 2 wrong usage, 130 interrupted; `run` and `shell`
    return the status of the command.
    """
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _exit)
    try:
        if options.action == "engine":
            print(build.ensure())
            return 0
        with sandbox(options.keep) as world:
            status = 0
            if options.action == "demo":
                demo.play(world)
            elif options.action == "shell":
                status = shell.open_in(world)
            else:
                status = foreground.run(world, options.command)
    except (SandboxError, OSError) as error:  # OSError: a full disk, a file that cannot be read
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if options.keep:
        sys.stderr.write(
            f"sandbox: kept in {options.keep}; what its AWS held is gone. "
            f"To look at its stacks: . {options.keep}/environment\n"
        )
    return status


def _exit(number: int, _: FrameType | None) -> None:
    """End by way of an exception, so that everything is cleaned up."""
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A whole cloud on one machine, in which nothing of yours is read or written.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    keep = argparse.ArgumentParser(add_help=False)
    keep.add_argument(
        "--keep", type=Path, metavar="DIR", help="make it in DIR (new or empty) and leave it there"
    )
    run = actions.add_parser(
        "run", parents=[keep], help="run a command in a sandbox and exit with its status"
    )
    run.add_argument("command", nargs="+", metavar="-- COMMAND", help="the command")
    actions.add_parser("shell", parents=[keep], help="open a shell in a sandbox")
    actions.add_parser("demo", parents=[keep], help="play the tour in a sandbox")
    actions.add_parser("engine", help="find or build the Pulumi CLI and print its directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())
