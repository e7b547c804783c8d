"""When the sandbox's AWS takes a key, and what it remembers of a use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.aws_server.rules import NEW, REACTIVATED, is_known, is_recorded, region_of_use

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "answers"),
    [
        (0, [False, False, False, False]),
        (1.99, [False, False, False, False]),
        (2, [True, False, True, False]),
        (3.99, [True, False, True, False]),
        (4, [True, True, True, True]),
        (float("inf"), [True, True, True, True]),
    ],
)
def test_a_new_key_is_known_to_one_replica_and_then_to_both(
    seconds: float, answers: list[bool]
) -> None:
    assert [is_known(NEW, seconds, call) for call in range(4)] == answers


@pytest.mark.parametrize(
    ("seconds", "answers"), [(0.99, [False, False]), (1, [True, False]), (2, [True, True])]
)
def test_a_reactivated_key_is_known_sooner(seconds: float, answers: list[bool]) -> None:
    assert [is_known(REACTIVATED, seconds, call) for call in range(2)] == answers


@pytest.mark.parametrize("minutes", [15, 16, 10_000])
def test_a_use_is_recorded_a_quarter_of_an_hour_after_the_last(minutes: float) -> None:
    assert is_recorded(NOON, NOON - timedelta(minutes=minutes))


@pytest.mark.parametrize("minutes", [0, 14.99])
def test_a_use_is_not_recorded_sooner(minutes: float) -> None:
    assert not is_recorded(NOON, NOON - timedelta(minutes=minutes))


def test_a_first_use_is_recorded() -> None:
    assert is_recorded(NOON, None)


@pytest.mark.parametrize(
    ("service", "region"), [("iam", "us-east-1"), ("sts", "eu-west-1"), ("ec2", "eu-west-1")]
)
def test_iam_is_in_one_region_and_the_others_where_they_are_called(
    service: str, region: str
) -> None:
    assert region_of_use(service, "eu-west-1") == region
