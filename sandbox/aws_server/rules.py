"""When AWS takes a key and what it remembers of a use: decisions about values, without moto."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NEW = (2.0, 4.0)
"""Seconds after which each replica knows of a key that was made."""

REACTIVATED = (1.0, 2.0)
"""Seconds after which each replica knows that an inactive key is active again."""

ONE_USE = timedelta(minutes=15)
"""The span in which only the first use is recorded.

IAM User Guide, "Generate credential reports for your AWS account", `access_key_1_last_used_date`.
"""

_ONE_PLACE = {"iam": "us-east-1"}  # whatever region signs the call


def is_known(change: tuple[float, ...], seconds: float, call: int) -> bool:
    """Whether the replica that answers knows of a change.

    `change` is `NEW` or `REACTIVATED`, `seconds` how long ago it was. `call` counts the calls with
    the key: they go to the replicas in turn, so that one success is no proof of the next.
    """
    return seconds >= change[call % len(change)]


def is_recorded(now: datetime, last: datetime | None) -> bool:
    """Whether a use now is recorded, when the one before that was recorded is `last`."""
    return last is None or now - last >= ONE_USE


def region_of_use(service: str, region: str) -> str:
    """The region that AWS names for a use of `service` that was signed for `region`."""
    return _ONE_PLACE.get(service, region)
