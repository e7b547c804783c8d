# ruff: noqa: SLF001 - moto has no other way to see who calls
"""Access keys that are not known at once, do not sign while inactive, and note their first use."""

from __future__ import annotations

import math
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from moto.core.utils import utcnow
from moto.iam import access_control, models
from moto.iam.access_control import (
    AssumedRoleAccessKey,
    CreateAccessKeyFailure,
    IAMRequestBase,
    IAMUserAccessKey,
)
from moto.iam.models import AccessKey, AccessKeyLastUsed

from sandbox.aws_server.rules import NEW, REACTIVATED, is_known, is_recorded, region_of_use

if TYPE_CHECKING:
    from collections.abc import Callable


class Key(AccessKey):
    """An access key. `made` and `reactivated` are when it was, by the monotonic clock."""

    def __init__(
        self, user_name: str | None, prefix: str, account_id: str, status: str = "Active"
    ) -> None:
        self.made = monotonic()
        self.reactivated = -math.inf
        self._status = status
        self._calls = count()
        super().__init__(user_name, prefix, account_id, status)
        self.create_date = self.create_date.replace(microsecond=0)  # as AWS tells times

    @property
    def status(self) -> str:
        """`Active` or `Inactive`."""
        return self._status

    @status.setter
    def status(self, status: str) -> None:
        if (self._status, status) == ("Inactive", "Active"):
            self.reactivated = monotonic()
        self._status = status

    def is_taken(self) -> bool:
        """Whether one more call with the key is taken; every question is a call."""
        now, call = monotonic(), next(self._calls)
        return (
            self._status == "Active"
            and is_known(NEW, now - self.made, call)
            and is_known(REACTIVATED, now - self.reactivated, call)
        )

    def note(self, service: str, region: str) -> None:
        """Note a use, if it is one that AWS records."""
        now = utcnow().replace(microsecond=0)
        if is_recorded(now, self.last_used.timestamp if self.last_used else None):
            self.last_used = AccessKeyLastUsed(now, service, region_of_use(service, region))


def find(access_key_id: str) -> Key | None:
    """The key with this id, of whatever account and partition."""
    for account in list(models.iam_backends.values()):
        for backend in list(account.values()):
            key = backend.access_keys.get(access_key_id)
            if isinstance(key, Key):
                return key
    return None


def install() -> None:
    """Have moto make such keys, and ask and tell them of every call."""
    models.AccessKey = Key  # type: ignore[misc]  # moto's own, as mypy rightly says
    models.mark_account_as_visited = _note_nothing
    access_control.create_access_key = _asked_first(access_control.create_access_key)
    check = IAMRequestBase.check_signature
    IAMRequestBase.check_signature = _noted(check)  # type: ignore[method-assign,assignment]


def _note_nothing(account_id: str, access_key: str, service: str, region: str) -> None:
    """Stand in for what moto does, which notes every call, even one that is refused."""


_Signer = IAMUserAccessKey | AssumedRoleAccessKey


def _asked_first(original: Callable[..., _Signer]) -> Callable[..., _Signer]:
    """Refuse a key that is not taken as one that is not there, which moto does in AWS's words."""

    def create(
        account_id: str, partition: str, access_key_id: str, headers: dict[str, str]
    ) -> _Signer:
        signer = original(account_id, partition, access_key_id, headers)
        if isinstance(signer, IAMUserAccessKey):
            key = find(access_key_id)
            if key and not key.is_taken():
                raise CreateAccessKeyFailure(reason="InvalidId")
        return signer

    return create


def _noted(original: Callable[[IAMRequestBase], None]) -> Callable[[IAMRequestBase], None]:
    """Note a use once its signature is found right."""

    def check(request: IAMRequestBase) -> None:
        original(request)
        key = find(request._access_key._access_key_id)
        if key:
            key.note(request._service, request._region)

    return check
