"""What stands as it should, and what does not. Pure: facts in, findings out.

The facts are of one stack: what is on this machine and what AWS knows, each compared with what the
stack has. None of them is a secret; an access key is told by its last characters.

A finding is what somebody should do something about. That nobody was allowed to look is none, and
neither is a rotation that is under way: it is shown, with its next command.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sync.terminal import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sync.account import LastUse
    from sync.identity import Identity
    from sync.ssh_key import PublicKey

CURRENT, PREVIOUS, OTHER = "current", "previous", "other"
"""Whose key it is: the stack's, its one before while it is rotated, or neither's."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Unknown(NamedTuple):
    """Why something is not known."""

    why: str
    is_failure: bool = False
    """Whether AWS could not be asked, and not just was not, or gave no leave to look."""


class Refused(NamedTuple):
    """AWS does not take the keys."""

    why: str


class KeyFile(NamedTuple):
    """A key file, there or not."""

    path: str
    mode: int | None = None
    """None where there is no file."""
    key: PublicKey | None = None
    is_ours: bool = False
    """Whether it holds what sync wrote, by its receipt."""
    problem: str | None = None
    """Why no key can be read from it."""


class Profile(NamedTuple):
    """A profile, there or not, and what it holds."""

    name: str
    path: str
    is_there: bool = False
    access_key: str | None = None
    """Masked; None where it has none."""
    is_ours: bool = False
    """Whether it holds what sync wrote, by its receipt."""
    holds: str | None = None
    """`CURRENT`, `PREVIOUS` or `OTHER`; None where the stack is not known."""
    identity: Identity | Refused | Unknown = Unknown("not asked")


class AwsKey(NamedTuple):
    """An access key that IAM has of the stack's user."""

    shown: str
    whose: str
    is_active: bool
    created: datetime
    last_used: LastUse | None


class Stack(NamedTuple):
    """What the stack says."""

    account_id: str
    region: str
    key_name: str
    public_key: PublicKey
    user_name: str
    user_arn: str
    access_key: str
    """Masked."""
    previous_access_key: str | None = None
    """Its status, while the access key is rotated."""
    previous_public_key: PublicKey | None = None
    """While the key pair is rotated."""


class Facts(NamedTuple):
    """All that is known about one stack."""

    name: str
    """The last part of the stack's name."""
    asked_for: str
    """The stack's name for commands."""
    key_files: tuple[KeyFile, ...]
    profiles: tuple[Profile, ...]
    stack: Stack | None = None
    """None where it was not read."""
    error: str | None = None
    """Why it was not, if it should have been."""
    previous_key_file: KeyFile | None = None
    key_pair: PublicKey | Unknown | None = Unknown("not asked")
    """What EC2 has under the key pair's name; None: nothing."""
    access_keys: tuple[AwsKey, ...] | Unknown = Unknown("not asked")
    quarantine: str | Unknown | None = Unknown("not asked")
    """The policy by which AWS has confined the user, if it has."""

    @property
    def failures(self) -> list[str]:
        """What could not be looked at, though it should have been."""
        answers = [
            self.key_pair,
            self.access_keys,
            self.quarantine,
            *(profile.identity for profile in self.profiles),
        ]
        unknown = [a.why for a in answers if isinstance(a, Unknown) and a.is_failure]
        return list(dict.fromkeys(([self.error] if self.error else []) + unknown))


class Finding(NamedTuple):
    """Something that is not as it should be: about what, and what to do, in one line."""

    about: str
    text: str


def judge(facts: Facts, max_age: timedelta, now: datetime) -> list[Finding]:
    """What is not as it should be. Access keys are too old from ``max_age`` on."""
    return [
        *(Finding("key file", text) for file in facts.key_files for text in _key_file(file, facts)),
        *(Finding("key pair", text) for text in _key_pair(facts)),
        *(Finding("profile", text) for p in facts.profiles for text in _profile(p, facts)),
        *(Finding("identity", text) for p in facts.profiles for text in _identity(p, facts)),
        *(Finding("access key", text) for text in _access_keys(facts, max_age, now)),
        *(Finding("quarantine", text) for text in _quarantine(facts)),
    ]


def next_commands(facts: Facts) -> list[tuple[str, str]]:
    """The rotations that are under way, in words, and the next command of each."""
    stack, commands = facts.stack, []
    rotate = f"python -m sync rotate {facts.asked_for}"
    if stack and stack.previous_access_key == "Active":
        commands.append(("access key: the previous one still works", f"{rotate} --retire"))
    elif stack and stack.previous_access_key:
        commands.append(("access key: the previous one is inactive", f"{rotate} --finish"))
    if stack and stack.previous_public_key:
        commands.append(("key pair: the previous key is kept", f"{rotate} --key-pair --finish"))
    return commands


def duration(span: timedelta) -> str:
    """``span`` in its largest unit, rounded down: "12 d", "3 h"."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def whose_key(key: PublicKey | None, stack: Stack | None) -> str | None:
    """`CURRENT`, `PREVIOUS` or `OTHER`; None where there is nothing to compare."""
    if key is None or stack is None:
        return None
    if key == stack.public_key:
        return CURRENT
    return PREVIOUS if key == stack.previous_public_key else OTHER


def _write(facts: Facts) -> str:
    return f"'python -m sync {facts.asked_for}'"


def _key_file(file: KeyFile, facts: Facts) -> Iterator[str]:
    path = shorten(file.path)
    if file.problem:
        yield f"{path}: {file.problem}"
    elif file.mode is None:
        yield f"{path} is not there; {_write(facts)} writes it"
    else:
        whose = whose_key(file.key, facts.stack)
        if whose == PREVIOUS:
            yield f"{path} holds the key before the rotation; {_write(facts)} writes the new one"
        elif whose == OTHER:
            yield f"{path} holds another key than the stack's; see {_write(facts)[:-1]} --dry-run'"
        elif whose is None and not file.is_ours:
            yield f"{path} holds a key that sync did not write"
    if file.mode is not None and file.mode & 0o077:
        yield f"{path} has mode {file.mode:04o}, and ssh refuses it; {_write(facts)} narrows it"


def _key_pair(facts: Facts) -> Iterator[str]:
    stack, pair = facts.stack, facts.key_pair
    if stack is None or isinstance(pair, Unknown) or pair == stack.public_key:
        return
    mend = f"'pulumi up --refresh -s {facts.asked_for}' makes it anew"
    where = f"{stack.key_name} in {stack.region}"
    if pair is None:
        yield f"EC2 has no key pair {where}; {mend}"
    else:
        yield f"EC2 has another key as {where}, {pair.fingerprint}"


def _profile(profile: Profile, facts: Facts) -> Iterator[str]:
    where = f"[{profile.name}] in {shorten(profile.path)}"
    if not profile.is_there:
        yield f"{where} is not there; {_write(facts)} writes it"
    elif profile.access_key is None:
        yield f"{where} has no keys; {_write(facts)} writes them"
    elif profile.holds == PREVIOUS:
        yield f"{where} holds the key before the rotation; {_write(facts)} writes the new one"
    elif profile.holds == OTHER:
        yield f"{where} holds other keys than the stack's; see {_write(facts)[:-1]} --dry-run'"
    elif profile.holds is None and not profile.is_ours:
        yield f"{where} holds keys that sync did not write"


def _identity(profile: Profile, facts: Facts) -> Iterator[str]:
    who = profile.identity
    if isinstance(who, Refused):
        yield f"profile {profile.name}: {who.why}"
    elif isinstance(who, Unknown) or facts.stack is None:
        return
    elif (who.account_id, who.arn) != (facts.stack.account_id, facts.stack.user_arn):
        yield f"profile {profile.name} is {who.arn}, and should be {facts.stack.user_arn}"


def _access_keys(facts: Facts, max_age: timedelta, now: datetime) -> Iterator[str]:
    stack, keys = facts.stack, facts.access_keys
    if stack is None or isinstance(keys, Unknown):
        return
    if not any(key.whose == CURRENT for key in keys):
        yield f"{stack.access_key} is the stack's, and AWS has no such key any more"
    for key in keys:
        if key.whose == OTHER:
            yield f"{key.shown} is not of this stack; delete it if nobody should have it"
        if key.whose == CURRENT and not key.is_active:
            yield f"{key.shown} is the stack's, and inactive at AWS"
        if key.is_active and now - key.created >= max_age:
            age = f"{duration(now - key.created)} old (--max-age {max_age / timedelta(days=1):g})"
            yield f"{key.shown} is {age}; {_renew(key, facts)}"


def _renew(key: AwsKey, facts: Facts) -> str:
    rotate = f"python -m sync rotate {facts.asked_for}"
    if key.whose == PREVIOUS:
        return f"'{rotate} --retire' is next"
    return f"'{rotate}' makes a new one" if key.whose == CURRENT else "it is not of this stack"


def _quarantine(facts: Facts) -> Iterator[str]:
    if facts.quarantine and not isinstance(facts.quarantine, Unknown):
        yield (
            f"AWS has found a key of {facts.stack.user_name if facts.stack else 'the user'} in "
            f"public and attached {facts.quarantine}; see AWS's mail, and rotate at once"
        )
