"""All that sync prints and asks: the only module that does.

What a person reads goes to standard error, what a machine reads to standard output, a secret to
neither. Importing it costs next to nothing, since that happens before the engine is started.
"""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Iterator


class OutputError(Exception):
    """Standard output is closed or full; nobody has got what was printed there."""


def say(line: str) -> None:
    """Print ``line`` to standard error; whatever it quotes, it stays one line of plain text."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    with contextlib.suppress(OSError):  # nobody to tell
        print(text, file=sys.stderr, flush=True)


def print_json(document: object) -> None:
    """Print ``document`` to standard output. Raises `OutputError` where that is not possible."""
    import json

    print(json.dumps(document, indent=2))
    flush()


def flush() -> None:
    """Make sure that what was printed is out. Raises `OutputError` where it is not."""
    try:
        sys.stdout.flush()
    except OSError as failure:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # lest Python try again at the end
        raise OutputError(f"standard output: {failure.strerror}") from None


def is_interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_passphrase() -> str | None:
    """The passphrase of the stacks' secrets, or None where the person gives none."""
    import getpass

    with contextlib.suppress(EOFError):
        return getpass.getpass("Passphrase of the stacks' secrets: ")
    return None


def confirm(question: str) -> bool:
    """Whether a person answers ``question`` with yes; where there is nobody to ask, no."""
    if not is_interactive():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Show ``text`` on a terminal while something takes its time."""
    shown = sys.stderr.isatty()
    if shown:
        print(text, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def shorten(path: str) -> str:
    """``path`` as people write it, with ``~`` for their home."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + "/") else path


def replace_closed_streams() -> None:
    """Give a standard stream that was closed (``2>&-``) somewhere to go."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  for as long as we live
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  likewise
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115  likewise
