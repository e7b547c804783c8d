"""What an interruption has to wait for.

SIGINT, SIGTERM and SIGHUP end a run of sync. A signal mask would not keep them away: it holds for
one thread, and the system gives a process's signals to any other.
"""

from __future__ import annotations

import contextlib
import signal
import threading

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Have an interruption wait for the end of the block, and come then.

    It is noted by a handler: what is ignored stays ignored in the processes that are started in the
    block. What is ignored already, as nohup has it, stays so. Only the main thread has signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {}
    try:
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def ignore() -> None:
    """Let what is being tidied up be tidied up."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
