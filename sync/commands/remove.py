"""``python -m sync remove STACK``: take away what sync wrote for a stack."""

from __future__ import annotations

from sync.command_line import DONE, FAILED, Parser
from sync.engine import StackError, short_name
from sync.report import as_document, tell
from sync.terminal import confirm, is_interactive, print_json, say

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sync.outcome import Outcome

_DESCRIPTION = """\
Take away what sync wrote for a stack: its access key in ~/.aws/credentials, its region
in ~/.aws/config, the section of the profile if sync made it and nothing else is in it,
and the key file in ~/.pem. It goes by what sync noted when it wrote: what was there
before sync, and what somebody changed since, is theirs and stays, as does every other
line. Nothing at AWS is changed, and neither Pulumi nor the network is needed. It asks
before it does anything."""

_EPILOG = """\
examples:
  python -m sync remove test --dry-run        what would be removed, without removing it
  python -m sync remove test                  show it, ask, and remove it
  python -m sync remove test --yes            without asking, for scripts
  python -m sync remove test --profile ci     one of several profiles of the stack
  python -m sync remove test --old-keys --backups
                                              and what sync kept of its own

exit status: 0 done, 1 failed or not confirmed, 2 wrong usage, 130 interrupted

A stack's name may stand for stacks in several accounts; all that sync wrote under that
name goes. The key file goes with the last profile of its stack.

--backups removes credentials.aws-keys.bak and config.aws-keys.bak, which may hold the
keys that are removed, and leaves no new ones. credentials.before-aws-keys and
config.before-aws-keys, what the files held before sync came, are removed only if no other
stack's profile is in the file any more, and only if sync removed no session token.

A key file that is a symbolic link stays, with what it leads to.

What is not undone: session tokens that sync removed from the profile are not put back, nor
is what --take-over replaced. Copies of that are named, and never removed."""


def run(arguments: Sequence[str]) -> int:
    """Remove what ``arguments`` ask for, tell it, and give the exit status."""
    options = _parse(arguments)
    try:
        outcome = _remove(options)
    except StackError as error:
        if options.json:
            _print_json(options, [], str(error))
        raise
    if options.json:
        _print_json(options, [outcome])
    else:
        tell(outcome, only_look=options.dry_run)
    if outcome.error:
        say(f"{outcome.stack}: failed: {outcome.error}; run it again to go on")
        return FAILED
    return DONE


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("remove", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("stack", metavar="STACK", help="a stack, perhaps qualified; it need not exist any more")
    add("--dry-run", action="store_true", help="show what would be removed")
    add("--yes", action="store_true", help="do not ask")
    add("--profile", metavar="NAME", help="only this profile (default: every one of the stack)")
    add("--old-keys", action="store_true", help="also key files of the stack that were replaced")
    add("--backups", action="store_true", help="also what the AWS files held before, see below")
    parser.add_pem_directory()
    parser.add_timeout("another sync")
    parser.add_json()
    parser.add_version()
    options = parser.parse(arguments)
    try:
        options.stack = short_name(options.stack)
    except StackError as error:
        parser.error(str(error))
    return options


def _remove(options: argparse.Namespace) -> Outcome:
    """What was done, or would be."""
    from sync import clearing
    from sync.places import Places
    from sync.plan import Unreadable
    from sync.private_file import FileError
    from sync.removal import REMOVED, NothingWritten, Request

    request = Request(options.stack, options.profile, options.old_keys, options.backups)
    try:
        places = Places.find(options.pem_dir)
        planned = clearing.preview(places, request)
        if options.dry_run:
            return planned
        if not options.yes:  # what is gone, too, would be forgotten, and may come back
            if not is_interactive():
                raise StackError("there is no terminal to ask at: --yes removes without asking")
            tell(planned, only_look=True)
            is_there = any(change.action == REMOVED for change in planned.changes)
            what = "Remove this of" if is_there else "Forget what was written for"
            if not confirm(f"{what} {options.stack}?"):
                raise StackError("nothing was removed")
        return clearing.remove(
            places,
            request,
            patience=options.timeout,
            on_wait=lambda: say("waiting for another sync to end"),
        )
    except (FileError, Unreadable, NothingWritten) as error:
        raise StackError(str(error)) from None


def _print_json(
    options: argparse.Namespace, outcomes: Sequence[Outcome], error: str | None = None
) -> None:
    stacks = [as_document(outcome) for outcome in outcomes]
    print_json({"dry_run": options.dry_run, "stacks": stacks, "error": error})
