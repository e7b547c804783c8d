"""Show that something slow is alive."""

from __future__ import annotations

import sys
import time

_LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """The progress of one slow thing, on stderr: elapsed seconds on a terminal, else lines."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._start = time.monotonic()
        self._next = 0.0
        self._open_line = False

    def pause(self) -> None:
        """Say how long it has taken so far, if it is time to, and wait a moment."""
        elapsed = time.monotonic() - self._start
        if elapsed >= self._next:
            text = f"{self.what} ... {elapsed:.0f} s"
            if sys.stderr.isatty():
                self._next, self._open_line = elapsed + 1, True
                sys.stderr.write(f"\r{text}")
            else:
                self._next = elapsed + _LINE_EVERY
                sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        time.sleep(0.1)

    def end(self) -> None:
        """Leave the line on a terminal."""
        if self._open_line:
            sys.stderr.write("\n")
