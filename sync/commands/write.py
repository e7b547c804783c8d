"""``python -m sync STACK...``: write the keys of stacks to the files of a home directory."""

from __future__ import annotations

from sync import reading
from sync.command_line import DIFFERENT, DONE, EXIT_STATUSES, FAILED, Parser, profile_problem
from sync.engine import StackError, short_name
from sync.report import as_document, tell
from sync.terminal import print_json, say

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sync.identity import Identity
    from sync.outcome import Outcome
    from sync.stack import StackKeys

_DESCRIPTION = """\
Write the keys of Pulumi stacks to the files that use them: the private key to
~/.pem/STACK.pem, the access key to the profile [STACK] in ~/.aws/credentials, and the
region to ~/.aws/config. Other lines of these files stay as they are. Running it again
changes nothing.

Other commands, each with its own --help:
  python -m sync status     what is on this machine and at AWS, and how old the keys are
  python -m sync rotate     new keys for a stack, step by step
  python -m sync remove     take away what sync wrote for a stack"""

_EPILOG = f"""\
examples:
  python -m sync production              the key file and the profile of one stack
  python -m sync --all                   those of every stack of the project
  python -m sync production --dry-run    what would change, without changing it
  python -m sync --all --check           exit 3 if anything would change, for scripts
  python -m sync production --verify     and ask AWS whose keys they are
  python -m sync test --profile ci       another profile name than the stack's
  python -m sync acme/aws-keys/staging   a fully qualified stack; its files are staging's

{EXIT_STATUSES}

The paths of the AWS files are AWS's own: AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE
are honoured. What the files held before the first change stays in
credentials.before-aws-keys and config.before-aws-keys, what they held before the last one
in credentials.aws-keys.bak and config.aws-keys.bak."""


def run(arguments: Sequence[str]) -> int:
    """Write what ``arguments`` ask for, tell it, and give the exit status."""
    options = _parse(arguments)
    if options.verify:
        _import_behind("boto3")
    try:
        found = reading.read(options, options.stacks, while_waiting="sync.home")
        outcomes = _write(found, options)
        if not options.json:
            for outcome in outcomes:
                tell(outcome, only_look=options.dry_run or options.check)
        verified: dict[str, Identity] = {}
        if options.verify:
            outcomes, verified = _verify(found, outcomes, options)
        return _report(outcomes, verified, options)
    except StackError as error:
        if options.json:
            _print_json(options, [], {}, str(error))
        raise


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("stacks", nargs="*", metavar="STACK", help="a stack of the project, perhaps qualified")
    add("--all", action="store_true", help="every stack of the project")
    only_look = parser.add_mutually_exclusive_group()
    only_look.add_argument("--dry-run", action="store_true", help="show what would change")
    only_look.add_argument(
        "--check", action="store_true", help="likewise; exit 3 if anything would"
    )
    add("--profile", metavar="NAME", help="the profile to write (default: the stack's name)")
    parser.add_pem_directory()
    add(
        "--take-over",
        action="store_true",
        help="replace a profile's keys, or a key file, that sync did not write; both are kept",
    )
    add("--verify", action="store_true", help="then ask AWS whose keys the profiles hold")
    parser.add_timeout("pulumi, another sync, or AWS to know new keys")
    parser.add_directory()
    parser.add_json()
    parser.add_version()
    options = parser.parse(arguments)
    options.stacks = list(dict.fromkeys(options.stacks))
    problem = _problem(options)
    if problem:
        parser.error(problem)
    return options


def _problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the command line, if anything."""
    if options.verify and (options.dry_run or options.check):
        return "--verify goes with writing, not with --dry-run or --check"
    if bool(options.stacks) == options.all:
        return "name the stacks or give --all" + (", not both" if options.all else "")
    try:
        names = [short_name(stack) for stack in options.stacks]
    except StackError as error:
        return str(error)
    if problem := reading.twins(options.stacks):
        return problem
    if options.profile is not None:
        if options.all or len(names) > 1:
            return "--profile goes with one stack"
        names = [options.profile]
    return next(filter(None, map(profile_problem, names)), None)


def _write(
    found: Mapping[str, StackKeys | StackError], options: argparse.Namespace
) -> list[Outcome]:
    from sync import home
    from sync.outcome import Outcome
    from sync.places import Places
    from sync.plan import Unreadable, Wish
    from sync.private_file import FileError

    try:
        places = Places.find(options.pem_dir)
    except FileError as error:
        raise StackError(str(error)) from None
    wishes = [
        Wish(keys, options.profile or keys.stack, places.private_key(keys.stack))
        for keys in found.values()
        if not isinstance(keys, StackError)
    ]
    outcomes = [
        Outcome(short_name(stack), options.profile or short_name(stack), error=str(error))
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
                on_wait=lambda: say("waiting for another sync to end"),
            )
    except (FileError, Unreadable) as error:
        outcomes += [Outcome(w.keys.stack, w.profile, error=str(error)) for w in wishes]
    order = [short_name(stack) for stack in found]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.stack))


def _import_behind(module: str) -> None:
    """Import ``module`` while something else is done."""
    import threading
    from importlib import import_module

    threading.Thread(target=import_module, args=(module,), daemon=True).start()


def _verify(
    found: Mapping[str, StackKeys | StackError],
    outcomes: Sequence[Outcome],
    options: argparse.Namespace,
) -> tuple[list[Outcome], dict[str, Identity]]:
    """The outcomes with what AWS has against a profile's keys, and whose they are otherwise."""
    from sync import identity
    from sync.terminal import Waiting

    profiles = {outcome.stack: outcome.profile for outcome in outcomes if not outcome.error}
    expected, wanted = {}, {}
    for keys in found.values():
        if not isinstance(keys, StackError) and (profile := profiles.get(keys.stack)):
            who = expected[keys.stack] = identity.Identity(keys.account_id, keys.user_arn)
            wanted[keys.stack] = identity.of_profile(profile, keys.region), who
    waiting = Waiting()

    def on_wait(stacks: Sequence[str], seconds: float) -> None:
        if not options.json:
            waiting.tell(f"asking AWS for {', '.join(stacks)}, again and again", seconds)

    try:
        proofs = identity.prove_all(wanted, patience=options.timeout, on_wait=on_wait)
    finally:
        waiting.end()
    checked = [
        outcome._replace(error=f"written, but not verified: profile {outcome.profile}: {problem}")
        if (problem := proofs.get(outcome.stack))
        else outcome
        for outcome in outcomes
    ]
    return checked, {stack: expected[stack] for stack, error in proofs.items() if not error}


def _report(
    outcomes: Sequence[Outcome], verified: Mapping[str, Identity], options: argparse.Namespace
) -> int:
    failed = [outcome.stack for outcome in outcomes if outcome.error]
    if options.json:
        _print_json(options, outcomes, verified)
    else:
        for outcome in outcomes:
            if who := verified.get(outcome.stack):
                say(f"{outcome.stack}: AWS takes the keys of profile {outcome.profile}: {who.arn}")
    for outcome in outcomes:
        if outcome.error:
            say(f"{outcome.stack}: failed: {outcome.error}")
    if failed and len(outcomes) > 1:
        say(f"failed: {', '.join(failed)} ({len(failed)} of {len(outcomes)} stacks)")
    if failed:
        return FAILED
    if options.check and any(outcome.has_changes for outcome in outcomes):
        return DIFFERENT
    return DONE


def _print_json(
    options: argparse.Namespace,
    outcomes: Sequence[Outcome],
    verified: Mapping[str, Identity],
    error: str | None = None,
) -> None:
    stacks = []
    for outcome in outcomes:
        who = verified.get(outcome.stack)
        stacks.append({**as_document(outcome), "verified": who._asdict() if who else None})
    dry_run = options.dry_run or options.check
    print_json({"dry_run": dry_run, "stacks": stacks, "error": error})
