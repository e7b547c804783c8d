"""Reads stacks, and asks a person for the passphrase where there is none."""

from __future__ import annotations

import contextlib
import os
from importlib import import_module

from sync import interruption, terminal
from sync.command_line import profile_problem
from sync.engine import Engine, PassphraseMissingError, StackError, short_name

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sync.stack import StackKeys


def read(
    options: argparse.Namespace, stacks: Sequence[str], *, while_waiting: str
) -> dict[str, StackKeys | StackError]:
    """What each of ``stacks`` gives, or why it gives nothing; all of the project's, without any.

    ``options`` are those of the command line: ``directory``, ``timeout`` and ``json``. The module
    ``while_waiting`` is imported while the engine works. Raises `StackError` for what concerns
    every stack.
    """
    with started(options) as engine:
        return read_with(engine, options, stacks or all_stacks(engine), while_waiting=while_waiting)


@contextlib.contextmanager
def started(options: argparse.Namespace) -> Iterator[Engine]:
    """The engine in the project's directory; whatever it runs ends with the block.

    Raises `StackError` where there is no project.
    """
    engine = Engine(options.directory, options.timeout, os.environ)
    try:
        engine.check_directory()
        yield engine
    except KeyboardInterrupt:
        interruption.ignore()
        raise
    finally:
        engine.stop()


def read_with(
    engine: Engine, options: argparse.Namespace, stacks: Sequence[str], *, while_waiting: str
) -> dict[str, StackKeys | StackError]:
    """Like `read`, with an engine that is used for more; it knows the passphrase afterwards."""
    found = _read(engine, options, stacks, while_waiting)
    missing = [stack for stack, error in found.items() if isinstance(error, PassphraseMissingError)]
    if missing and not options.json and terminal.is_interactive():
        passphrase = terminal.ask_passphrase()
        if passphrase is not None:
            engine.use_passphrase(passphrase)
            found |= _read(engine, options, missing, while_waiting)
    return found


def _read(
    engine: Engine, options: argparse.Namespace, stacks: Sequence[str], while_waiting: str
) -> dict[str, StackKeys | StackError]:
    wait = engine.read_outputs(stacks)
    import_module(while_waiting)
    from sync.stack import parse_outputs

    found: dict[str, StackKeys | StackError] = {}
    showing = (
        contextlib.nullcontext()
        if options.json
        else terminal.progress(f"reading {', '.join(stacks)} ...")
    )
    with showing:
        for stack in stacks:
            try:
                found[stack] = parse_outputs(stack, wait(stack))
            except StackError as error:
                found[stack] = error
    return found


def twins(stacks: Sequence[str]) -> str | None:
    """The complaint that two different stacks would write the same files, if they would."""
    names = [short_name(stack) for stack in stacks]
    twin = next((name for name in names if names.count(name) > 1), None)
    return twin and f"two of the stacks would write the files of {twin}: name one of them"


def all_stacks(engine: Engine) -> list[str]:
    """Every stack of the project but those whose profile nobody means by "all"."""
    stacks = []
    for stack in engine.stacks():
        name = short_name(stack)
        if name == "default":
            terminal.say(
                "default: left out; its profile is written only when it is asked for by name"
            )
        elif problem := profile_problem(name):
            terminal.say(f"{stack}: left out: {problem}")
        else:
            stacks.append(stack)
    if not stacks:
        raise StackError("there is no stack to sync; 'pulumi stack init NAME' makes one")
    if problem := twins(stacks):
        raise StackError(problem)
    return stacks
