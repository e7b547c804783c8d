"""What all commands share: exit statuses, wrong usage in one line, options."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys

from sync import __version__, terminal

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

DONE, FAILED, USAGE, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_STATUSES = (
    "exit status: 0 done, 1 failed, 2 wrong usage, 3 --check found a difference, 130 interrupted"
)

_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=,-]{0,127}")
_NOT_A_PROFILE = "DEFAULT"  # its options would hold for every profile, configparser says
_LONGEST_WAIT = 86_400  # seconds


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Of a fixed width: to ask the terminal for its own takes argparse an import of some weight."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=88)


class Parser(argparse.ArgumentParser):
    """The parser of one command, the empty name being the one that writes."""

    def __init__(self, command: str, description: str, epilog: str) -> None:
        self.called = f"python -m sync {command}".rstrip()
        super().__init__(
            prog=self.called,
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse ``arguments``; exits with `USAGE`, or after ``--help`` and ``--version``."""
        try:
            return self.parse_args(arguments)
        except SystemExit:
            terminal.flush()  # what --help or --version printed
            raise

    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print the usage before it."""
        terminal.say(f"sync: {message} (see {self.called} --help)")
        sys.exit(USAGE)

    def add_directory(self) -> None:
        """``-C``, the project's directory."""
        self.add_argument(
            "-C",
            dest="directory",
            metavar="DIR",
            default=".",
            help="the project's directory",
        )

    def add_pem_directory(self) -> None:
        """``--pem-dir``, the directory of key files."""
        self.add_argument("--pem-dir", metavar="DIR", help="where key files are (default: ~/.pem)")

    def add_timeout(self, what: str = "pulumi, or another sync,") -> None:
        """``--timeout``, in seconds."""
        self.add_argument(
            "--timeout",
            metavar="S",
            type=_seconds,
            default=60.0,
            help=f"how long {what} may take, in seconds (default: 60)",
        )

    def add_json(self) -> None:
        """``--json``."""
        self.add_argument("--json", action="store_true", help="tell it as JSON on standard output")

    def add_version(self) -> None:
        """``--version``."""
        self.add_argument("--version", action="version", version=f"aws-keys {__version__}")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= _LONGEST_WAIT:
            return float(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no positive number of seconds up to {_LONGEST_WAIT}"
    )


def profile_problem(name: str) -> str | None:
    """What is wrong with ``name`` as a profile's name, if anything."""
    if _PROFILE.fullmatch(name) and ".." not in name and name != _NOT_A_PROFILE:
        return None
    return (
        f"profile name {name!r}: allowed are letters, digits and _.@+=,- , not '..', not "
        f"{_NOT_A_PROFILE} and no leading sign"
    )
