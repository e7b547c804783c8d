"""``python -m sync status``: how the keys of stacks stand, on this machine and at AWS."""

from __future__ import annotations

import argparse
import contextlib

from sync import reading, terminal
from sync.command_line import DIFFERENT, DONE, EXIT_STATUSES, FAILED, Parser, profile_problem
from sync.engine import StackError, short_name

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from sync.identity import Identity
    from sync.looking import AtAws, Looking
    from sync.machine import Machine, Written
    from sync.stack import StackKeys
    from sync.standing import Facts, Finding, Refused, Unknown

    Who = Identity | Refused | Unknown
    Judged = tuple[Facts, list[Finding]]

_DESCRIPTION = """\
Show how the keys of Pulumi stacks stand: whether key file and profile are there and are
the stack's, what EC2 has as the key pair, who AWS says the profile is, how old the access
keys are and when they were used last, and which rotation is under way. Nothing is changed.

The profile is asked with its own keys, all else with the AWS credentials that 'pulumi up'
would use. What they may not look at is not known, which is no fault. The last use of a key
is the last that AWS knows of: it notes only the first in 15 minutes, and tells it late. To
ask whose keys a profile holds is a use of them, too."""

_EPILOG = f"""\
examples:
  python -m sync status                    every stack of the project
  python -m sync status production         one stack
  python -m sync status --check            only what is not as it should be; exit 3 if any
  python -m sync status --max-age 30       complain of access keys of 30 days or more
  python -m sync status --offline          this machine only: no pulumi, no AWS
  python -m sync status --json             for machines

{EXIT_STATUSES}"""

_LONGEST_AGE = 36_500  # days


def run(arguments: Sequence[str]) -> int:
    """Look at what ``arguments`` name, tell how it stands, and give the exit status."""
    options = _parse(arguments)
    try:
        machine, facts, strangers = _offline(options) if options.offline else _online(options)
    except StackError as error:
        if options.json:
            terminal.print_json(_document(options, [], [], {}, str(error)))
        raise
    return _report(machine, facts, strangers, options)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("status", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("stacks", nargs="*", metavar="STACK", help="a stack of the project (default: all)")
    add(
        "--check",
        action="store_true",
        help="show only what is not as it should be; exit 3 if anything is not",
    )
    add(
        "--max-age",
        metavar="DAYS",
        type=_days,
        default=90.0,
        help="the age at which an access key is too old, in days (default: 90)",
    )
    add("--offline", action="store_true", help="look at this machine only")
    add("--profile", metavar="NAME", help="the profile (default: what sync wrote for the stack)")
    parser.add_pem_directory()
    parser.add_timeout("pulumi")
    parser.add_directory()
    parser.add_json()
    options = parser.parse(arguments)
    options.stacks = list(dict.fromkeys(options.stacks))
    problem = _problem(options)
    if problem:
        parser.error(problem)
    return options


def _days(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= _LONGEST_AGE:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no positive number of days up to {_LONGEST_AGE}")


def _problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the command line, if anything."""
    try:
        problem = reading.twins(options.stacks)
    except StackError as error:
        return str(error)
    if problem or options.profile is None:
        return problem
    if len(options.stacks) != 1:
        return "--profile goes with one stack"
    return profile_problem(options.profile)


def _open_machine(options: argparse.Namespace) -> Machine:
    from sync.machine import Machine
    from sync.places import Places
    from sync.private_file import FileError

    try:
        places = Places.find(options.pem_dir)
    except FileError as error:
        raise StackError(str(error)) from None
    return Machine(places, pem_directory_is_named=options.pem_dir is not None)


def _profiles_of(
    stacks: Sequence[str], machine: Machine, options: argparse.Namespace
) -> dict[str, list[str]]:
    """The names of the profiles of each stack; the files are read for them."""
    names = {}
    for stack in stacks:
        name = short_name(stack)
        usual = [] if profile_problem(name) else [name]
        names[stack] = (
            [options.profile] if options.profile else machine.profile_names(name) or usual
        )
    machine.read_profiles(name for each in names.values() for name in each)
    return names


def _offline(options: argparse.Namespace) -> tuple[Machine, list[Facts], dict[str, Written]]:
    machine = _open_machine(options)
    written = machine.stacks().items()
    stacks = options.stacks or [stack for stack, what in written if not what.is_replaced]
    names = _profiles_of(stacks, machine, options)
    return machine, [_on_machine(s, names[s], machine, None) for s in stacks], {}


def _online(options: argparse.Namespace) -> tuple[Machine, list[Facts], dict[str, Written]]:
    """The machine, the facts on each stack, and the stacks that only the receipts know."""
    with reading.started(options) as engine:
        from sync.looking import Looking

        with Looking() as looking:
            listing = None if options.stacks else looking.begin(engine.stacks)
            machine = _open_machine(options)
            stacks = sorted(listing.result()) if listing else options.stacks
            if problem := reading.twins(stacks):
                raise StackError(problem)
            names = _profiles_of(stacks, machine, options)
            regions = {stack: _region(names[stack], machine) for stack in stacks}
            looking.warm(region for region in regions.values() if region)
            asked = {
                stack: _ask_identities(names[stack], region, machine, looking)
                for stack, region in regions.items()
                if region
            }
            found: dict[str, StackKeys | StackError] = {}
            if stacks:
                found = reading.read_with(engine, options, stacks, while_waiting="sync.overview")
            at_aws = {
                stack: looking.at_aws(keys)
                for stack, keys in found.items()
                if not isinstance(keys, StackError)
            }
            for stack, keys in found.items():
                if stack not in asked and not isinstance(keys, StackError):
                    asked[stack] = _ask_identities(names[stack], keys.region, machine, looking)
            facts = []
            with _progress(options):
                for stack, keys in found.items():
                    on_machine = _on_machine(stack, names[stack], machine, keys)
                    facts.append(_with_aws(on_machine, asked.get(stack, {}), at_aws.get(stack)))
    known = {short_name(stack) for stack in stacks}
    strangers = {} if options.stacks else machine.stacks()
    return machine, facts, {s: w for s, w in strangers.items() if s not in known}


def _progress(options: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if options.json else terminal.progress("asking AWS ...")


def _region(names: Sequence[str], machine: Machine) -> str | None:
    return next(filter(None, map(machine.region, names)), None)


def _ask_identities(
    names: Sequence[str], region: str, machine: Machine, looking: Looking
) -> dict[str, Future[Who]]:
    return {name: looking.identity(name, region) for name in names if machine.has_keys(name)}


def _on_machine(
    stack: str, names: Sequence[str], machine: Machine, found: StackKeys | StackError | None
) -> Facts:
    from sync.plan import mask
    from sync.standing import Facts, Stack

    name = short_name(stack)
    keys = None if isinstance(found, StackError) else found
    files = machine.key_files(name, keys)
    looked_at = (machine.profile(profile, name, keys) for profile in names)
    profiles = tuple(filter(None, looked_at))
    facts = Facts(
        name,
        stack,
        files,
        tuple(profile for profile in profiles if profile.is_there) or profiles[:1],
        error=str(found) if isinstance(found, StackError) else None,
    )
    if keys is None:
        return facts
    access_key, key_pair = keys.previous_access_key, keys.previous_key_pair
    return facts._replace(
        stack=Stack(
            keys.account_id,
            keys.region,
            keys.key_name,
            keys.public_key,
            keys.user_name,
            keys.user_arn,
            mask(keys.access_key_id.reveal()),
            access_key and access_key.status,
            key_pair and key_pair.public_key,
        ),
        previous_key_file=machine.previous_key_file(keys, files),
    )


def _with_aws(facts: Facts, identities: Mapping[str, Future[Who]], at_aws: AtAws | None) -> Facts:
    """``facts`` with what AWS answered; waits for it."""
    profiles = tuple(
        profile._replace(identity=identities[profile.name].result())
        if profile.name in identities
        else profile
        for profile in facts.profiles
    )
    if at_aws is None:
        return facts._replace(profiles=profiles)
    return facts._replace(
        profiles=profiles,
        key_pair=at_aws.key_pair.result(),
        access_keys=at_aws.access_keys.result(),
        quarantine=at_aws.quarantine.result(),
    )


def _report(
    machine: Machine,
    facts: Sequence[Facts],
    strangers: Mapping[str, Written],
    options: argparse.Namespace,
) -> int:
    from datetime import UTC, datetime, timedelta

    from sync.standing import judge

    now = datetime.now(UTC)
    judged = [(each, judge(each, timedelta(days=options.max_age), now)) for each in facts]
    if options.json:
        terminal.print_json(_document(options, judged, machine.findings, strangers, now=now))
    else:
        tell = _tell_findings if options.check else _tell_all
        tell(judged, machine.findings, strangers, now)
        terminal.flush()
    if any(each.failures for each in facts):
        return FAILED
    is_well = not machine.findings and not any(findings for _, findings in judged)
    return DIFFERENT if options.check and not is_well else DONE


def _tell_findings(
    judged: Sequence[Judged], shared: Sequence[Finding], _: Mapping[str, Written], __: datetime
) -> None:
    for finding in shared:
        terminal.print_line(f"{terminal.shorten(finding.about)} {finding.text}")
    for facts, findings in judged:
        for finding in findings:
            terminal.print_line(f"{facts.asked_for}: {finding.about}: {finding.text}")
        for failure in facts.failures:
            terminal.say(f"{facts.asked_for}: failed: {failure}")


def _tell_all(
    judged: Sequence[Judged],
    shared: Sequence[Finding],
    strangers: Mapping[str, Written],
    now: datetime,
) -> None:
    from sync.overview import rows

    for facts, findings in judged:
        texts = [finding.text for finding in findings]
        terminal.print_block(facts.asked_for, rows(facts, now), texts)
        terminal.print_line("")
    if shared:
        texts = [f"{terminal.shorten(finding.about)} {finding.text}" for finding in shared]
        terminal.print_block("files of all stacks", [], texts)
        terminal.print_line("")
    for stack, written in strangers.items():
        what = "kept replaced SSH keys of" if written.is_replaced else "wrote files for"
        old_keys = " --old-keys" if written.is_replaced else ""
        terminal.print_line(
            f"{stack} (account {written.account_id}) is no stack of this project, and sync {what} "
            f"it; 'python -m sync remove {stack}{old_keys}' takes them away"
        )
    count = len(shared) + sum(len(findings) for _, findings in judged)
    stacks = f"{len(judged)} stack{'' if len(judged) == 1 else 's'}"
    if not judged:
        terminal.print_line("no stack to look at")
    elif any(facts.failures for facts, _ in judged):
        terminal.print_line(f"{stacks}: not everything could be looked at", terminal.RED)
    elif not count:
        terminal.print_line(f"{stacks}: nothing to complain of", terminal.GREEN)
    if count:
        what = "thing is" if count == 1 else "things are"
        terminal.print_line(f"{stacks}: {count} {what} not as it should be", terminal.YELLOW)


def _document(  # noqa: PLR0913  the parts of it
    options: argparse.Namespace,
    judged: Sequence[Judged],
    shared: Sequence[Finding],
    strangers: Mapping[str, Written],
    error: str | None = None,
    *,
    now: datetime | None = None,
) -> dict[str, object]:
    from sync.overview import as_document

    return {
        "offline": options.offline,
        "max_age_days": options.max_age,
        "stacks": [as_document(*each, now) for each in judged] if now else [],
        "findings": [finding._asdict() for finding in shared],
        "not_of_this_project": [
            {"stack": stack, "account_id": written.account_id}
            for stack, written in strangers.items()
        ],
        "error": error,
    }
