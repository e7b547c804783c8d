"""What must hold before a key is made, retired or deleted. Pure: from facts to objections."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sync.plan import mask
from sync.standing import duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from sync.account import AccessKey, Instance
    from sync.deployment import KnownAccessKey

MOST_ACCESS_KEYS = 2
"""Of one user: "IAM and AWS STS quotas", IAM User Guide."""

LAST_USE_SPAN = timedelta(minutes=15)
"""AWS records the first use of a key in such a span and no further one: "IAM and AWS STS access key
last used information", IAM User Guide."""


LONGEST_CREATION = timedelta(minutes=2)
"""From the engine's note that it creates a key to AWS's time of it: calls that are tried again, and
clocks that differ."""


def no_slot(keys: Sequence[AccessKey], known: Collection[str], now: datetime) -> str | None:
    """Why a user with ``keys`` cannot be given another one, if that is so.

    ``known`` are the ids of those that the stack's state holds.
    """
    if len(keys) < MOST_ACCESS_KEYS:
        return None
    told = "; ".join(
        describe(key, now) + ("" if key.access_key_id in known else ", not made by this stack")
        for key in keys
    )
    return (
        f"the user has {len(keys)} access keys, and AWS allows no third: {told}. Delete one that "
        "nobody needs, in the console under IAM > Users"
    )


def lost_key(
    keys: Iterable[AccessKey], known: Sequence[KnownAccessKey], written: datetime
) -> AccessKey | None:
    """That one of ``keys`` which an update made, and died before it could keep the secret, if any.

    The state does not know it, it is newer than all that the state knows, it was made about when
    the state was ``written`` last, which is just before a creation, and it was never used: nobody
    has its secret. The caller has found that a creation was begun and not heard of again.
    """
    ids = {key.access_key_id for key in known}
    newest = max((key.created for key in known if key.created), default=None)
    for key in keys:
        is_newest = newest is None or key.created >= newest
        is_in_time = key.created <= written + LONGEST_CREATION
        if key.access_key_id not in ids and is_newest and is_in_time and key.last_used is None:
            return key
    return None


def too_early(new: AccessKey, after: timedelta, now: datetime) -> str | None:
    """Why the key before ``new`` is not to be retired yet, if ``after`` is not over."""
    due = new.created + after
    if now >= due:
        return None
    return (
        f"too early: the new access key is {duration(now - new.created)} old, and the old one "
        f"stays active for {duration(after)} (--after), until {moment(due)}"
    )


def in_use(old: AccessKey, new: AccessKey, now: datetime) -> str | None:
    """Why ``old`` may still be in use, if AWS knows of a use since ``new`` was made.

    A use in the quarter of an hour before counts too: AWS would not have recorded a later one.
    """
    used = old.last_used
    if used is None or used.date + LAST_USE_SPAN <= new.created:
        return None
    return (
        f"the old access key {mask(old.access_key_id)} may still be in use: the last use AWS knows "
        f"of was {duration(now - used.date)} ago, of {used.service} in {used.region}, at "
        f"{moment(used.date)}, and of uses within 15 minutes it records only the first"
    )


def old_machines(instances: Iterable[Instance], since: datetime) -> str | None:
    """Why the old SSH key may still be needed, if instances were launched before ``since``."""
    ids = [instance.id for instance in instances if instance.launched < since]
    if not ids:
        return None
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""  # noqa: PLR2004  a line is short
    return f"launched with the old key, and not terminated: {', '.join(ids[:3])}{more}"


def describe(key: AccessKey, now: datetime) -> str:
    """A key in a few words, its id masked."""
    status = "active" if key.is_active else "inactive"
    used = key.last_used
    last = (
        f"last use AWS knows of {duration(now - used.date)} ago, {used.service} in {used.region}"
        if used
        else "no use AWS knows of"
    )
    return f"{mask(key.access_key_id)} ({status}, {duration(now - key.created)} old, {last})"


def moment(time: datetime) -> str:
    """``time`` in UTC, to the minute."""
    from datetime import UTC

    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
