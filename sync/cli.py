"""The command line: the only module that prints or exits.

Exit status: 0 done; 1 something failed, named on standard error, and no file was half-written;
2 the command line is wrong; 3 ``--check`` found a difference; 130 interrupted. What a person reads
goes to standard error, ``--json`` to standard output, a secret to neither.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys

from sync import __version__
from sync.engine import Engine, PassphraseMissingError, StackError, short_name

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import NoReturn

    from sync.home import Change, Outcome
    from sync.stack import StackKeys

DONE, FAILED, USAGE, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 130

_VERBS = {
    "created": ("wrote", "would write"),
    "updated": ("updated", "would update"),
    "unchanged": ("unchanged", "unchanged"),
    "narrowed": ("narrowed", "would narrow"),
}
_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=,-]{0,127}")
_LONGEST_WAIT = 86_400  # seconds
_NOT_A_PROFILE = "DEFAULT"  # its options would hold for every profile, configparser says

_DESCRIPTION = """\
Write the keys of Pulumi stacks to the files that use them: the private key to
~/.pem/STACK.pem, the access key to the profile [STACK] in ~/.aws/credentials, and the
region to ~/.aws/config. Other lines of these files stay as they are. Running it again
changes nothing."""

_EPILOG = """\
examples:
  python -m sync production              the key file and the profile of one stack
  python -m sync --all                   those of every stack of the project
  python -m sync production --dry-run    what would change, without changing it
  python -m sync --all --check           exit 3 if anything would change, for scripts
  python -m sync test --profile ci       another profile name than the stack's
  python -m sync acme/aws-keys/staging   a fully qualified stack; its files are staging's

exit status: 0 done, 1 failed, 2 wrong usage, 3 --check found a difference, 130 interrupted

The paths of the AWS files are AWS's own: AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE
are honoured. What the files held before the first change stays in
credentials.before-aws-keys and config.before-aws-keys, what they held before the last one
in credentials.aws-keys.bak and config.aws-keys.bak."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line and give its exit status; no exception leaves it but SystemExit."""
    _forbid_core_dumps()
    stdout_is_closed = sys.stdout is None
    _replace_closed_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)  # clean up as when interrupted
    options = _parse(arguments)
    if options.json and stdout_is_closed:
        _say("sync: standard output is closed, and --json would go there")
        return FAILED
    try:
        return _report(_write(_ask_engine(options), options), options)
    except StackError as error:
        _say(f"sync: {error}")
        if options.json:
            _print_json(options, [], str(error))
        return FAILED
    except KeyboardInterrupt:
        _ignore_interruptions()
        _say("sync: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  a traceback would not help, its text might tell secrets
        _say(f"sync: internal error, please report it: {_where(error)}")
        return FAILED


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Of a fixed width: to ask the terminal for its own takes argparse an import of some weight."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=88)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print the usage before it."""
        _say(f"sync: {message} (see python -m sync --help)")
        sys.exit(USAGE)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m sync",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("stacks", nargs="*", metavar="STACK", help="a stack of the project, perhaps qualified")
    add("--all", action="store_true", help="every stack of the project")
    only_look = parser.add_mutually_exclusive_group()
    only_look.add_argument("--dry-run", action="store_true", help="show what would change")
    only_look.add_argument(
        "--check", action="store_true", help="likewise; exit 3 if anything would"
    )
    add("--profile", metavar="NAME", help="the profile to write (default: the stack's name)")
    add("--pem-dir", metavar="DIR", help="where key files go (default: ~/.pem)")
    add(
        "--take-over",
        action="store_true",
        help="replace a profile's keys, or a key file, that sync did not write; both are kept",
    )
    add(
        "--timeout",
        metavar="S",
        type=_seconds,
        default=60.0,
        help="how long pulumi, or another sync, may take, in seconds (default: 60)",
    )
    add(
        "-C",
        dest="directory",
        metavar="DIR",
        default=".",
        help="the project's directory",
    )
    add("--json", action="store_true", help="tell what was done as JSON on standard output")
    add("--version", action="version", version=f"aws-keys {__version__}")
    try:
        options = parser.parse_args(arguments)
    except SystemExit:  # --help or --version was printed, or what is wrong
        _flush_stdout()
        raise
    options.stacks = list(dict.fromkeys(options.stacks))
    problem = _problem(options)
    if problem:
        parser.error(problem)
    return options


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= _LONGEST_WAIT:
            return float(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no positive number of seconds up to {_LONGEST_WAIT}"
    )


def _problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the command line, if anything."""
    if bool(options.stacks) == options.all:
        return "name the stacks or give --all" + (", not both" if options.all else "")
    try:
        names = [short_name(stack) for stack in options.stacks]
    except StackError as error:
        return str(error)
    if problem := _twins(options.stacks):
        return problem
    if options.profile is not None:
        if options.all or len(names) > 1:
            return "--profile goes with one stack"
        names = [options.profile]
    return next(filter(None, map(_profile_problem, names)), None)


def _twins(stacks: Sequence[str]) -> str | None:
    """The complaint that two different stacks would write the same files, if they would."""
    names = [short_name(stack) for stack in stacks]
    twin = next((name for name in names if names.count(name) > 1), None)
    return twin and f"two of the stacks would write the files of {twin}: name one of them"


def _profile_problem(name: str) -> str | None:
    """What is wrong with ``name`` as a profile's name, if anything."""
    if _PROFILE.fullmatch(name) and ".." not in name and name != _NOT_A_PROFILE:
        return None
    return (
        f"profile name {name!r}: allowed are letters, digits and _.@+=,- , not '..', not "
        f"{_NOT_A_PROFILE} and no leading sign"
    )


def _ask_engine(options: argparse.Namespace) -> dict[str, StackKeys | StackError]:
    engine = Engine(options.directory, options.timeout, os.environ)
    try:
        return _read(engine, options)
    except KeyboardInterrupt:
        _ignore_interruptions()
        raise
    finally:
        engine.stop()


def _read(engine: Engine, options: argparse.Namespace) -> dict[str, StackKeys | StackError]:
    engine.check_directory()
    found = _read_stacks(engine, _all_stacks(engine) if options.all else options.stacks, options)
    missing = [stack for stack, error in found.items() if isinstance(error, PassphraseMissingError)]
    if missing and not options.json and sys.stdin.isatty() and sys.stderr.isatty():
        import getpass

        with contextlib.suppress(EOFError):
            engine.use_passphrase(getpass.getpass("Passphrase of the stacks' secrets: "))
            found |= _read_stacks(engine, missing, options)
    return found


def _read_stacks(
    engine: Engine, stacks: Sequence[str], options: argparse.Namespace
) -> dict[str, StackKeys | StackError]:
    wait = engine.read_outputs(stacks)
    import sync.home  # noqa: F401  while the engine works
    from sync.stack import parse_outputs

    found: dict[str, StackKeys | StackError] = {}
    with _progress(f"reading {', '.join(stacks)} ...", options):
        for stack in stacks:
            try:
                found[stack] = parse_outputs(stack, wait(stack))
            except StackError as error:
                found[stack] = error
    return found


def _write(
    found: Mapping[str, StackKeys | StackError], options: argparse.Namespace
) -> list[Outcome]:
    from sync import home
    from sync.plan import Unreadable, Wish
    from sync.private_file import FileError

    try:
        places = home.Places.find(options.pem_dir)
    except FileError as error:
        raise StackError(str(error)) from None
    wishes = [
        Wish(keys, options.profile or keys.stack, places.private_key(keys.stack))
        for keys in found.values()
        if not isinstance(keys, StackError)
    ]
    outcomes = [
        home.Outcome(short_name(stack), options.profile or short_name(stack), error=str(error))
        for stack, error in found.items()
        if isinstance(error, StackError)
    ]
    try:
        if options.dry_run or options.check:
            outcomes += home.preview(places, wishes, take_over=options.take_over)
        elif wishes:
            outcomes += home.write(
                places,
                wishes,
                take_over=options.take_over,
                patience=options.timeout,
                on_wait=lambda: _say("waiting for another sync to end"),
            )
    except (FileError, Unreadable) as error:
        outcomes += [home.Outcome(w.keys.stack, w.profile, error=str(error)) for w in wishes]
    order = [short_name(stack) for stack in found]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.stack))


def _all_stacks(engine: Engine) -> list[str]:
    """Every stack of the project but those whose profile nobody means by "all"."""
    stacks = []
    for stack in engine.stacks():
        name = short_name(stack)
        if name == "default":
            _say("default: left out; its profile is written only when it is asked for by name")
        elif problem := _profile_problem(name):
            _say(f"{stack}: left out: {problem}")
        else:
            stacks.append(stack)
    if not stacks:
        raise StackError("there is no stack to sync; 'pulumi stack init NAME' makes one")
    if problem := _twins(stacks):
        raise StackError(problem)
    return stacks


def _report(outcomes: Sequence[Outcome], options: argparse.Namespace) -> int:
    failed = [outcome.stack for outcome in outcomes if outcome.error]
    only_look = options.dry_run or options.check
    if options.json:
        _print_json(options, outcomes)
    else:
        for outcome in outcomes:
            for change in outcome.changes:
                _say(f"{outcome.stack}: {_describe(change, only_look=only_look)}")
            for warning in outcome.warnings:
                _say(f"{outcome.stack}: warning: {warning}")
    for outcome in outcomes:
        if outcome.error:
            _say(f"{outcome.stack}: failed: {outcome.error}")
    if failed and len(outcomes) > 1:
        _say(f"failed: {', '.join(failed)} ({len(failed)} of {len(outcomes)} stacks)")
    if failed:
        return FAILED
    if options.check and any(outcome.has_changes for outcome in outcomes):
        return DIFFERENT
    return DONE


def _print_json(
    options: argparse.Namespace, outcomes: Sequence[Outcome], error: str | None = None
) -> None:
    import json

    stacks = [
        {**outcome._asdict(), "changes": [change._asdict() for change in outcome.changes]}
        for outcome in outcomes
    ]
    document = {"dry_run": options.dry_run or options.check, "stacks": stacks, "error": error}
    print(json.dumps(document, indent=2))
    _flush_stdout()


def _flush_stdout() -> None:
    """Exit with FAILED where what was printed cannot be: nobody has got it."""
    try:
        sys.stdout.flush()
    except OSError as failure:
        _say(f"sync: standard output: {failure.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # lest Python try again at the end
        sys.exit(FAILED)


def _describe(change: Change, *, only_look: bool) -> str:
    """One line on a file: what was done, where, and what is there now."""
    done, planned = _VERBS[change.action]
    facts = change.facts
    if "fingerprint" in facts:
        detail = f"{facts['algorithm']} {facts['fingerprint']}"
    elif "access_key" in facts:
        detail = f"[{facts['section']}] access key {facts['access_key']}"
    elif "region" in facts:
        detail = f"[{facts['section']}] region {facts['region']}"
    else:
        detail = f"mode {facts['was']} -> {facts['mode']}"
    kept = f"; what it held is kept as {_shorten(change.kept)}" if change.kept else ""
    return f"{planned if only_look else done} {_shorten(change.path)}: {detail}{kept}"


def _shorten(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + "/") else path


@contextlib.contextmanager
def _progress(text: str, options: argparse.Namespace) -> Iterator[None]:
    """Show ``text`` on a terminal while something takes its time."""
    shown = sys.stderr.isatty() and not options.json
    if shown:
        print(text, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    """Print ``line`` to standard error; whatever it quotes, it stays one line of plain text."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    with contextlib.suppress(OSError):  # nobody to tell
        print(text, file=sys.stderr, flush=True)


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


def _replace_closed_streams() -> None:
    """Give a standard stream that was closed (``2>&-``) somewhere to go."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  for as long as we live
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  likewise
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115  likewise


def _ignore_interruptions() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
