"""What is objected to before a key is made, retired or deleted: facts in, a line or nothing out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sync.account import AccessKey, Instance, LastUse
from sync.deployment import KnownAccessKey
from sync.precautions import (
    describe,
    in_use,
    lost_key,
    moment,
    no_slot,
    old_machines,
    too_early,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, NEW, OTHER = "AKIAOLDOLDOLDOLDOLD1", "AKIANEWNEWNEWNEWNEW2", "AKIAXXXXXXXXXXXXXXX3"
SECOND, MINUTE, HOUR, DAY = (
    timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")
)


def key(
    key_id: str = OLD, *, made: timedelta = 90 * DAY, used: timedelta | None = None
) -> AccessKey:
    """An active key, made and last used so long ago."""
    last = LastUse(NOW - used, "s3", "us-west-2") if used is not None else None
    return AccessKey(key_id, is_active=True, created=NOW - made, last_used=last)


def known(key_id: str = OLD, *, made: timedelta | None = 90 * DAY) -> KnownAccessKey:
    return KnownAccessKey(1, key_id, NOW - made if made is not None else None)


@pytest.mark.parametrize("keys", [[], [key()]])
def test_a_user_may_have_a_second_access_key(keys: list[AccessKey]) -> None:
    assert no_slot(keys, [], NOW) is None


def test_a_third_access_key_is_objected_to_and_both_are_described() -> None:
    said = no_slot([key(OLD, used=3 * DAY), key(OTHER, made=HOUR)], [OLD], NOW)
    assert said == (
        "the user has 2 access keys, and AWS allows no third: "
        "...OLD1 (active, 90 d old, last use AWS knows of 3 d ago, s3 in us-west-2); "
        "...XXX3 (active, 1 h old, no use AWS knows of), not made by this stack. "
        "Delete one that nobody needs, in the console under IAM > Users"
    )


LOST = key(NEW, made=MINUTE)
LOST_KEYS: list[tuple[str, list[AccessKey], list[KnownAccessKey], AccessKey | None]] = [
    ("made last, never used, unknown", [key(), LOST], [known()], LOST),
    ("the state knows it", [key(), LOST], [known(), known(NEW)], None),
    ("it was used", [key(), key(NEW, made=MINUTE, used=SECOND)], [known()], None),
    ("older than what is known", [key(OTHER, made=91 * DAY), key()], [known()], None),
    ("older than the newest known", [key(OTHER, made=DAY)], [known(), known(NEW, made=HOUR)], None),
    ("as old as the newest known", [key(OTHER, made=DAY)], [known(made=DAY)], key(OTHER, made=DAY)),
    ("behind one that is not it", [key(OTHER, made=91 * DAY), LOST], [known()], LOST),
    ("none is known", [LOST], [], LOST),
    ("when a known one was made is not told", [LOST], [known(made=None)], LOST),
    ("there is no key", [], [known()], None),
]


@pytest.mark.parametrize(
    ("there", "state", "lost"),
    [each[1:] for each in LOST_KEYS],
    ids=[each[0] for each in LOST_KEYS],
)
def test_a_lost_key_is_one_that_nobody_can_have_the_secret_of(
    there: list[AccessKey], state: list[KnownAccessKey], lost: AccessKey | None
) -> None:
    assert lost_key(there, state, NOW) == lost


@pytest.mark.parametrize(
    ("later", "is_lost"),
    [
        (-DAY, True),
        (timedelta(0), True),
        (2 * MINUTE, True),
        (2 * MINUTE + SECOND, False),
        (DAY, False),
    ],
)
def test_a_key_made_much_later_than_the_state_was_written_is_somebody_elses(
    later: timedelta, *, is_lost: bool
) -> None:
    made = LOST._replace(created=NOW + later)
    assert lost_key([key(), made], [known()], NOW) == (made if is_lost else None)


@pytest.mark.parametrize(
    ("made", "after", "is_objected"),
    [
        (HOUR, 24 * HOUR, True),
        (24 * HOUR - SECOND, 24 * HOUR, True),
        (24 * HOUR, 24 * HOUR, False),
        (8 * DAY, 7 * DAY, False),
        (timedelta(0), timedelta(0), False),
    ],
)
def test_an_old_key_stays_active_for_as_long_as_was_asked(
    made: timedelta, after: timedelta, *, is_objected: bool
) -> None:
    assert bool(too_early(key(NEW, made=made), after, NOW)) is is_objected


def test_what_is_too_early_says_how_old_how_long_and_until_when() -> None:
    assert too_early(key(NEW, made=3 * HOUR), 24 * HOUR, NOW) == (
        "too early: the new access key is 3 h old, and the old one stays active for 1 d "
        "(--after), until 2026-11-25 09:00 UTC"
    )


@pytest.mark.parametrize(
    ("used", "is_objected"),
    [
        (None, False),
        (DAY + 15 * MINUTE + SECOND, False),
        (DAY + 15 * MINUTE, False),  # a use at the creation would have been recorded
        (DAY + 15 * MINUTE - SECOND, True),
        (DAY, True),
        (MINUTE, True),
    ],
)
def test_a_key_is_in_use_if_aws_may_have_seen_it_since_the_new_one_was_made(
    used: timedelta | None, *, is_objected: bool
) -> None:
    assert bool(in_use(key(used=used), key(NEW, made=DAY), NOW)) is is_objected


def test_what_is_in_use_says_when_where_and_how_sure_that_is() -> None:
    assert in_use(key(used=3 * HOUR), key(NEW, made=DAY), NOW) == (
        "the old access key ...OLD1 may still be in use: the last use AWS knows of was 3 h ago, "
        "of s3 in us-west-2, at 2026-11-24 09:00 UTC, and of uses within 15 minutes it records "
        "only the first"
    )


def machines(*launched: timedelta) -> list[Instance]:
    return [Instance(f"i-{number}", NOW - ago) for number, ago in enumerate(launched)]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([], None),
        (machines(timedelta(0)), None),
        (machines(-SECOND), None),
        (machines(SECOND), "i-0"),
        (machines(-DAY, DAY, DAY), "i-1, i-2"),
        (machines(DAY, DAY, DAY), "i-0, i-1, i-2"),
        (machines(DAY, DAY, DAY, DAY), "i-0, i-1, i-2 and 1 more"),
        (machines(DAY, DAY, DAY, DAY, DAY), "i-0, i-1, i-2 and 2 more"),
    ],
)
def test_machines_launched_before_the_new_ssh_key_are_named(
    instances: list[Instance], said: str | None
) -> None:
    told = old_machines(instances, NOW)
    assert told == (said and f"launched with the old key, and not terminated: {said}")


def test_a_moment_is_told_in_utc() -> None:
    assert moment(NOW.astimezone(timezone(timedelta(hours=-8)))) == "2026-11-24 12:00 UTC"


def test_an_inactive_key_is_described_as_such() -> None:
    assert describe(key()._replace(is_active=False), NOW) == (
        "...OLD1 (inactive, 90 d old, no use AWS knows of)"
    )


def test_no_line_has_the_whole_id_of_an_access_key() -> None:
    old, new = key(used=MINUTE), key(NEW, made=HOUR)
    for said in (
        no_slot([old, new], [], NOW),
        too_early(new, DAY, NOW),
        in_use(old, new, NOW),
        describe(old, NOW),
    ):
        assert said
        assert "AKIA" not in said
