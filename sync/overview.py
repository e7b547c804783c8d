"""Tells how stacks stand: blocks of lines for a person, values for JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sync.identity import Identity
from sync.standing import (
    CURRENT,
    OTHER,
    PREVIOUS,
    AwsKey,
    Facts,
    Finding,
    KeyFile,
    Profile,
    Refused,
    Unknown,
    duration,
    next_commands,
    whose_key,
)
from sync.terminal import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sync.ssh_key import PublicKey

_KEY = {CURRENT: "the stack's key", PREVIOUS: "the previous key", OTHER: "another key"}


def rows(facts: Facts, now: datetime) -> list[tuple[str, str]]:
    """Labels and what is known, in the order to be read."""
    found = [("stack", f"cannot be read: {facts.error}")] if facts.error else []
    found += [("key file", _key_file(file, facts)) for file in facts.key_files]
    if facts.previous_key_file:
        file = facts.previous_key_file
        there = f"kept, mode {file.mode:04o}" if file.mode is not None else "not on this machine"
        found.append(("previous", f"{shorten(file.path)}: {there}"))
    for profile in facts.profiles:
        found.append(("profile", _profile(profile)))
        if isinstance(profile.identity, Identity):
            found.append(("identity", profile.identity.arn))
        elif profile.access_key and facts.stack:
            found.append(("identity", f"not known: {profile.identity.why}"))
    if facts.stack:
        found += _at_aws(facts, now)
    for what, command in next_commands(facts):
        found += [("rotation", what), ("  next", command)]
    return found


def _key_file(file: KeyFile, facts: Facts) -> str:
    path = shorten(file.path)
    if file.mode is None:
        return f"{path}: not there" if not file.problem else f"{path}: {file.problem}"
    mode = f"{path}, mode {file.mode:04o}"
    if file.key is None:
        return f"{mode}: no key that can be read"
    whose = whose_key(file.key, facts.stack)
    if whose is None:
        whose_words = "written by sync" if file.is_ours else "not written by sync"
    else:
        whose_words = _KEY[whose]
    return f"{mode}: {whose_words}, {file.key.algorithm}"


def _profile(profile: Profile) -> str:
    where = f"[{profile.name}] in {shorten(profile.path)}"
    if not profile.is_there:
        return f"{where}: not there"
    if profile.access_key is None:
        return f"{where}: no keys"
    whose = f"{_KEY[profile.holds]} " if profile.holds else ""
    by_whom = "" if profile.is_ours else "not "
    return f"{where}: {whose}{profile.access_key}, {by_whom}written by sync"


def _at_aws(facts: Facts, now: datetime) -> list[tuple[str, str]]:
    answers = {facts.key_pair, facts.quarantine, facts.access_keys}
    if len(answers) == 1 and isinstance(facts.key_pair, Unknown):
        return [("at AWS", f"not known: {facts.key_pair.why}")]
    found = [("key pair", _key_pair(facts))]
    if isinstance(facts.access_keys, Unknown):
        found.append(("access key", f"not known: {facts.access_keys.why}"))
    else:
        found += [("access key", _access_key(key, now)) for key in facts.access_keys]
    if isinstance(facts.quarantine, Unknown):
        found.append(("quarantine", f"not known: {facts.quarantine.why}"))
    elif facts.quarantine:
        found.append(("quarantine", facts.quarantine))
    return found


def _key_pair(facts: Facts) -> str:
    stack, pair = facts.stack, facts.key_pair
    where = f"{stack.key_name} in {stack.region}" if stack else ""
    if isinstance(pair, Unknown):
        return f"{where}: not known: {pair.why}"
    return f"{where}: {_KEY[whose_key(pair, stack) or OTHER] if pair else 'EC2 has none'}"


def _access_key(key: AwsKey, now: datetime) -> str:
    active = "active" if key.is_active else "inactive"
    words = [key.shown, f"{active}, {duration(now - key.created)} old"]
    used = key.last_used
    words.append(
        f"last use AWS knows of {duration(now - used.date)} ago ({used.service}, {used.region})"
        if used
        else "AWS knows of no use"
    )
    if key.whose != CURRENT:
        words.append({PREVIOUS: "the previous key", OTHER: "not of this stack"}[key.whose])
    return ", ".join(words)


def as_document(facts: Facts, findings: Sequence[Finding], now: datetime) -> dict[str, Any]:
    """All of it as a value for JSON. Access keys are masked there too."""
    stack = facts.stack
    pair = facts.key_pair
    return {
        "stack": facts.asked_for,
        "error": facts.error,
        "account_id": stack and stack.account_id,
        "region": stack and stack.region,
        "user_arn": stack and stack.user_arn,
        "key_files": [_file_document(file, facts) for file in facts.key_files],
        "previous_key_file": facts.previous_key_file
        and _file_document(facts.previous_key_file, facts),
        "profiles": [
            {
                "profile": profile.name,
                "path": profile.path,
                "is_there": profile.is_there,
                "access_key": profile.access_key,
                "written_by_sync": profile.is_ours,
                "holds": profile.holds,
                "identity": _known(profile.identity),
            }
            for profile in facts.profiles
        ],
        "key_pair": {
            "name": stack and stack.key_name,
            "key": _known(pair) if isinstance(pair, Unknown) else _key_document(pair),
            "holds": None if isinstance(pair, Unknown) else whose_key(pair, stack),
        },
        "access_keys": _known(facts.access_keys)
        if isinstance(facts.access_keys, Unknown)
        else [
            {
                "access_key": key.shown,
                "whose": key.whose,
                "active": key.is_active,
                "created": key.created.isoformat(),
                "age_days": (now - key.created).days,
                "last_use": key.last_used
                and {**key.last_used._asdict(), "date": key.last_used.date.isoformat()},
            }
            for key in facts.access_keys
        ],
        "quarantine": _known(facts.quarantine),
        "rotations": [{"what": what, "next": command} for what, command in next_commands(facts)],
        "failures": facts.failures,
        "findings": [finding._asdict() for finding in findings],
    }


def _file_document(file: KeyFile, facts: Facts) -> dict[str, Any]:
    pair = facts.key_pair
    return {
        "path": file.path,
        "is_there": file.mode is not None,
        "mode": None if file.mode is None else f"{file.mode:04o}",
        "key": _key_document(file.key),
        "written_by_sync": file.is_ours,
        "holds": whose_key(file.key, facts.stack),
        "is_the_key_pairs": None
        if file.key is None or facts.stack is None or isinstance(pair, Unknown)
        else file.key == pair,
        "problem": file.problem,
    }


def _key_document(key: PublicKey | None) -> dict[str, str] | None:
    return key and {"algorithm": key.algorithm, "fingerprint": key.fingerprint}


def _known(answer: Identity | Refused | Unknown | str | tuple[AwsKey, ...] | None) -> Any:  # noqa: ANN401  JSON
    if isinstance(answer, Unknown):
        return {"not_known": answer.why}
    if isinstance(answer, Refused):
        return {"refused": answer.why}
    return answer._asdict() if isinstance(answer, Identity) else answer
