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
    from collections.abc import Iterator, Sequence


_shown: list[str] = []
"""What shows on a terminal that something takes its time."""


class OutputError(Exception):
    """Standard output is closed or full; nobody has got what was printed there."""


def say(line: str) -> None:
    """Print ``line`` to standard error; whatever it quotes, it stays one line of plain text."""
    with contextlib.suppress(OSError):  # nobody to tell
        if _shown:  # a line goes above what shows that something takes its time
            print("\r\x1b[K", end="", file=sys.stderr)
        print(_plain(line), file=sys.stderr, flush=True)
        if _shown:
            print(_shown[-1], end="", file=sys.stderr, flush=True)


def _plain(line: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def print_json(document: object) -> None:
    """Print ``document`` to standard output. Raises `OutputError` where that is not possible."""
    import json

    _print(json.dumps(document, indent=2))
    flush()


BOLD, YELLOW, RED, GREEN = "1", "33", "31", "32"
_PLAIN = "0"
_WIDTH = 100  # columns; lines that are longer are hard to read


def print_block(heading: str, rows: Sequence[tuple[str, str]], findings: Sequence[str]) -> None:
    """Print a block of labels and what they stand for, and of findings, to standard output.

    On a terminal lines are as long as it is wide, and findings catch the eye. Elsewhere a row is
    a line, and a finding one that begins with ``!``.
    """
    _print(paint(_plain(heading), BOLD))
    indent = 2 + max((len(label) for label, _ in rows), default=0) + 2
    for label, text in rows:
        _print(_wrap(f"  {label}".ljust(indent), text))
    for text in findings:
        _print(paint(_wrap("  ! ", text), YELLOW))


def print_line(text: str, colour: str | None = None) -> None:
    """Print a line to standard output."""
    _print(paint(_plain(text), colour))


def _print(text: str) -> None:
    try:
        print(text)
    except OSError as failure:
        raise _lost(failure) from None


def paint(text: str, colour: str | None) -> str:
    """``text`` in ``colour``, if standard output is a terminal and NO_COLOR is not set."""
    if colour is None or not sys.stdout.isatty():
        return text
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{colour}m{text}\x1b[{_PLAIN}m"


def _wrap(label: str, text: str) -> str:
    if not sys.stdout.isatty():
        return label + _plain(text)
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, _WIDTH)
    return textwrap.fill(
        _plain(text),
        max(width, len(label) + 20),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def flush() -> None:
    """Make sure that what was printed is out. Raises `OutputError` where it is not."""
    try:
        sys.stdout.flush()
    except OSError as failure:
        raise _lost(failure) from None


def _lost(failure: OSError) -> OutputError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # lest Python try again at the end
    return OutputError(f"standard output: {failure.strerror}")


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
    if not sys.stderr.isatty():
        yield
        return
    print(text, end="", file=sys.stderr, flush=True)
    _shown.append(text)
    try:
        yield
    finally:
        _shown.pop()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Waiting:
    """Tells that something takes its time: on a terminal in one line that changes.

    Elsewhere it says so once in a while only: nothing in the first ten seconds.
    """

    _SPARSE = 10.0  # seconds

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._next = self._SPARSE

    def tell(self, text: str, seconds: float) -> None:
        """Tell ``text``, and for how long it has been so."""
        text = _plain(text)
        if self._is_terminal:
            print(f"\r{text}: {seconds:.0f} s\x1b[K", end="", file=sys.stderr, flush=True)
        elif seconds >= self._next:
            self._next += 2 * self._SPARSE
            say(f"{text}: {seconds:.0f} s")

    def end(self) -> None:
        """Take the line away."""
        if self._is_terminal:
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
