"""A door for tests, beside moto's own under `/moto-api`: it makes a key look older than it is.

    POST /moto-api/sandbox/age
    Content-Type: application/json

    {"access_key_id": "AKIA...", "created_seconds_ago": 7776000, "last_used_seconds_ago": 3600}

Either number may be left out. A key that was made over 4 seconds ago is known to every replica. One
that was never used has then been used for STS in us-east-1. It answers 204, or 404 when there is no
such key. As all of the emulator it listens on the loopback interface only.
"""

from __future__ import annotations

import json
import math
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from moto.core.utils import utcnow
from moto.iam.models import AccessKeyLastUsed
from moto.moto_api._internal import urls

from sandbox.aws_server import AGE, keys

if TYPE_CHECKING:
    from moto.core.common_types import TYPE_RESPONSE
    from moto.core.request import Request


def install() -> None:
    """Put in the door."""
    urls.url_paths["{0}" + AGE] = _age  # type: ignore[assignment]  # moto infers too narrow a type


def _age(request: Request, _url: str, _headers: dict[str, str]) -> TYPE_RESPONSE:
    asked = json.loads(request.data)
    key = keys.find(asked["access_key_id"])
    if key is None:
        return 404, {}, "no such key"
    created, used = (asked.get(f"{what}_seconds_ago") for what in ("created", "last_used"))
    if created is not None:
        key.made, key.reactivated = monotonic() - created, -math.inf
        key.create_date = (utcnow() - timedelta(seconds=created)).replace(microsecond=0)
    if used is not None:
        of = key.last_used or AccessKeyLastUsed(utcnow(), "sts", "us-east-1")
        when = (utcnow() - timedelta(seconds=used)).replace(microsecond=0)
        key.last_used = AccessKeyLastUsed(when, of.service, of.region)
    return 204, {}, ""
