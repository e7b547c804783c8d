"""``python -m sync rotate STACK``: replace a key of a stack, step by step."""

from __future__ import annotations

import argparse
import contextlib
import re
from functools import partial

from sync import reading, terminal
from sync.command_line import DONE, FAILED, Parser, profile_problem
from sync.engine import StackError, short_name
from sync.rotation import (
    ACCESS_KEY,
    BEGIN,
    FINISH,
    KEY_PAIR,
    NOW,
    RETIRE,
    UNDO,
    Refused,
    next_request,
)

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from sync.engine import Engine
    from sync.outcome import Outcome
    from sync.places import Places
    from sync.replacement import Replacement
    from sync.rotation import State
    from sync.stack import StackKeys

_DESCRIPTION = """\
Replace the access key of a stack's user, or its SSH key, with no moment at which a profile
does not work. Each step moves the stack's config on, runs pulumi up, and syncs:

  rotate STACK             a second access key is made beside the first; once AWS takes it,
                           it is written to the profile. The old one stays active:
                           colleagues, CI and running processes still work with it
  rotate STACK --retire    the old one is made inactive, unless it is still in use
  rotate STACK --finish    the old one is deleted, once it is inactive
  rotate STACK --undo      back to the old one, from every step before --finish
  rotate STACK --now       all of it in one go, where nobody else uses the key

Cut off at any point, the same command goes on where it stood."""

_EPILOG = """\
With --key-pair it is the SSH key, registered at EC2 under the same name. Instances that run
know only the old one, which stays in the stack, for everybody to sync, until --finish. EC2
knows no inactive keys, so there is no --retire. A change of keyAlgorithm or rsaBits goes
this way too: set it, then rotate.

The config of the stack (Pulumi.STACK.yaml) is changed: commit it, and let others pull it
before they run pulumi up. AWS is asked with the credentials of pulumi up.

examples:
  python -m sync rotate production                       begin
  python -m sync rotate production --retire --after 7d   a week later
  python -m sync rotate production --finish
  python -m sync rotate test --now
  python -m sync rotate production --key-pair

exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted"""

_STANDS = {
    "Active": "the old access key stays active",
    "Inactive": "the old access key is inactive",
    "Kept": "the old SSH key is kept in the stack, for everybody to sync",
}
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def run(arguments: Sequence[str]) -> int:
    """Do the step that ``arguments`` ask for, tell it, and give the exit status."""
    options = _parse(arguments)
    teller = _Teller(options)
    try:
        teller.told |= _rotate(options, teller)
    except StackError as error:
        if not options.json:
            raise StackError(f"{short_name(options.stack)}: {error}") from None
        teller.told["error"] = str(error)
    if options.json:
        terminal.print_json(teller.told)
    return FAILED if teller.told["error"] else DONE


def _rotate(options: argparse.Namespace, teller: _Teller) -> dict[str, object]:
    with reading.started(options) as engine:
        from sync.account import AccountError
        from sync.places import Places
        from sync.plan import Unreadable
        from sync.private_file import FileError
        from sync.receipts import ReceiptsError
        from sync.replacement import Person, Replacement, Terms

        terms = Terms(
            options.stack,
            options.kind,
            options.after,
            force=options.force,
            profile=options.profile,
            patience=options.timeout,
        )
        person = Person(
            teller.say,
            teller.report,
            terminal.progress if not options.json else lambda _text: contextlib.nullcontext(),
            lambda question: options.yes or (not options.json and terminal.confirm(question)),
        )
        try:
            places = Places.find(options.pem_dir)
            with _alone(places, options):
                read = partial(_read, engine, options)
                replacement = Replacement(engine, read, places, terms, person)
                return _carry_out(replacement, options, teller)
        except (AccountError, FileError, ReceiptsError, Refused, Unreadable) as error:
            raise StackError(str(error)) from None


@contextlib.contextmanager
def _alone(places: Places, options: argparse.Namespace) -> Iterator[None]:
    """No other rotation of the stack runs here: both would move the same config on."""
    from sync.private_file import lock

    def refuse() -> None:
        raise StackError("another rotation of this stack is under way on this machine")

    with lock(places.state_directory / f"rotate-{short_name(options.stack)}.lock", 1, refuse):
        yield


def _carry_out(
    replacement: Replacement, options: argparse.Namespace, teller: _Teller
) -> dict[str, object]:
    before = replacement.state
    try:
        replacement.carry_out(options.request)
        return _conclude(options, replacement, before, teller)
    finally:
        if changed := replacement.changed_config:
            teller.told["config"] = changed
            values = ", ".join(f"{key}: {value or 'empty'}" for key, value in changed.items())
            teller.say(f"Pulumi.{replacement.keys.stack}.yaml was changed ({values}): commit it")


def _read(engine: Engine, options: argparse.Namespace) -> StackKeys:
    found = reading.read_with(engine, options, [options.stack], while_waiting="sync.replacement")[
        options.stack
    ]
    if isinstance(found, StackError):
        raise found
    return found


def _conclude(
    options: argparse.Namespace, replacement: Replacement, before: State, teller: _Teller
) -> dict[str, object]:
    """Say where the rotation stands now and what comes next."""
    kind, now = options.kind, replacement.state
    noun = "SSH key" if kind is KEY_PAIR else kind.name
    step = next_request(now)
    command = f"python -m sync rotate {options.stack}{kind.flag}"
    if step:
        teller.say(
            f"{_STANDS[now.previous]}; next: {command} --{step}, or back: {command} --{UNDO}"
        )
    elif now == before and replacement.changed_config:
        teller.say(f"what was cut off is done; no rotation of the {kind.name} is under way")
    elif now == before:
        teller.say(f"no rotation of the {kind.name} is under way: nothing to do")
    elif now.generation < before.generation:
        teller.say(f"back at the old {noun}; the new one is deleted")
    else:
        teller.say(f"the old {noun} is deleted; the rotation is finished")
    return {
        "generation": now.generation,
        "previous": now.previous or None,
        "next": f"{command} --{step}" if step else None,
        "config": replacement.changed_config,
    }


class _Teller:
    """Tells what is done as it is done, or keeps it for JSON."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._stack = short_name(options.stack)
        self._is_kept = options.json
        self._lines: list[str] = []
        self._outcomes: list[object] = []
        self.told: dict[str, object] = {
            "stack": self._stack,
            "key": options.kind.name,
            "request": options.request,
            "generation": None,
            "previous": None,
            "next": None,
            "config": {},
            "done": self._lines,
            "files": self._outcomes,
            "error": None,
        }

    def say(self, line: str) -> None:
        self._lines.append(line)
        if not self._is_kept:
            terminal.say(f"{self._stack}: {line}")

    def report(self, outcome: Outcome) -> None:
        from sync.report import as_document, tell

        if outcome.changes or outcome.warnings:
            self._outcomes.append(as_document(outcome))
        if not self._is_kept:
            tell(outcome)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("rotate", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("stack", metavar="STACK", help="a stack of the project, perhaps qualified")
    requests = parser.add_mutually_exclusive_group()
    for request, text in (
        (RETIRE, "make the old access key inactive"),
        (FINISH, "delete the old key"),
        (UNDO, "go back to the old key"),
        (NOW, "do all of it at once, without a look at who uses the old key"),
    ):
        requests.add_argument(
            f"--{request}", dest="request", action="store_const", const=request, help=text
        )
    add("--key-pair", action="store_true", help="the SSH key, not the access key")
    add(
        "--after",
        metavar="TIME",
        type=_span,
        default="24h",
        help="with --retire: how old the new key must be, as 90m, 24h or 7d (default: 24h)",
    )
    add("--force", action="store_true", help="retire or finish though the old key is in use")
    add("--yes", action="store_true", help="delete a lost access key without asking")
    add("--profile", metavar="NAME", help="write this profile too (those sync wrote always are)")
    parser.add_pem_directory()
    parser.add_timeout("reading the stack, or another sync,")
    parser.add_directory()
    parser.add_json()
    options = parser.parse(arguments)
    options.request = options.request or BEGIN
    options.kind = KEY_PAIR if options.key_pair else ACCESS_KEY
    if problem := _problem(options):
        parser.error(problem)
    return options


def _problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the command line, if anything."""
    try:
        name = short_name(options.stack)
    except StackError as error:
        return str(error)
    if options.request == RETIRE and options.key_pair:
        return "--retire does not go with --key-pair: EC2 knows no inactive keys, use --finish"
    if options.force and options.request not in (RETIRE, FINISH):
        return "--force goes with --retire or --finish"
    return profile_problem(name if options.profile is None else options.profile)


def _span(text: str) -> timedelta:
    from datetime import timedelta

    found = re.fullmatch(r"([0-9]{1,6})([smhd]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: a whole number and s, m, h or d, as in 24h"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
