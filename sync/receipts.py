"""What sync wrote, so that it can tell its own profiles and keys from somebody else's.

Receipts stand in one file in the user's state directory, not as comments in files that are not
ours. They hold no secret: access keys are known by a hash of their id, SSH keys by fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

_VERSION = 1


class ReceiptsError(Exception):
    """The receipts file does not hold receipts."""


class Place(NamedTuple):
    """Where something was written: ``kind`` is "profile", "region" or "private key"."""

    kind: str
    path: str
    profile: str = ""


class Receipt(NamedTuple):
    """What was written to one place for one stack."""

    stack: str
    account_id: str
    wrote: tuple[str, ...]
    """What we wrote there over time, newest last: hashes, fingerprints or regions. All of it, since
    a process may die between the receipt and the file."""
    before: str
    """What was there at first: "nothing", "section" (without keys or region), "the same" (which
    then is the first in ``wrote``, and not ours), "other keys" or "other file" (the last two were
    taken over)."""
    dropped: tuple[str, ...] = ()
    """Options that were removed since they would have broken the profile."""

    def is_for(self, stack: str, account_id: str) -> bool:
        """Whether this very stack's: a stack of that name may exist in another account."""
        return (self.stack, self.account_id) == (stack, account_id)

    @property
    def found(self) -> str | None:
        """What of ``wrote`` was there before sync came, which wrote only what came later."""
        return self.wrote[0] if self.before == "the same" and self.wrote else None

    @property
    def own(self) -> tuple[str, ...]:
        """What of ``wrote`` sync brought there itself."""
        return tuple(item for item in self.wrote if item != self.found)


class Receipts(NamedTuple):
    """All receipts, by place, and the files that sync ever changed or made."""

    by_place: dict[Place, Receipt]
    changed: frozenset[str]
    created: frozenset[str] = frozenset()
    """Files that were not there: once nothing is left in them, they go."""

    @classmethod
    def load(cls, data: bytes | None) -> Receipts:
        """Parse what `dump` made; None stands for no receipts yet. Raises `ReceiptsError`."""
        if not data:
            return cls({}, frozenset())
        try:
            document = json.loads(data)
            version = document["version"]
            if version != _VERSION:
                raise ReceiptsError(f"is of version {version!r}, written by another sync: use that")
            by_place = {
                Place(*(_text(entry[name]) for name in Place._fields)): Receipt(
                    _text(entry["stack"]),
                    _text(entry["account_id"]),
                    _texts(entry["wrote"]),
                    _text(entry["before"]),
                    _texts(entry["dropped"]),
                )
                for entry in document["receipts"]
            }
            changed = frozenset(_texts(document["changed"]))
            created = frozenset(_texts(document.get("created", [])))  # earlier: no note of it
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ReceiptsError("does not hold receipts of sync; move it away") from None
        return cls(by_place, changed, created)

    def dump(self) -> bytes:
        """As JSON, in a stable order."""
        receipts = [
            {**place._asdict(), **receipt._asdict()}
            for place, receipt in sorted(self.by_place.items())
        ]
        document = {
            "version": _VERSION,
            "changed": sorted(self.changed),
            "created": sorted(self.created),
            "receipts": receipts,
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    def profiles(self, stack: str, path: str, account_id: str | None = None) -> list[str]:
        """The profiles written for ``stack`` into the file ``path``; in any account without one."""
        return sorted(
            place.profile
            for place, receipt in self.by_place.items()
            if (place.kind, place.path, receipt.stack) == ("profile", path, stack)
            and account_id in (None, receipt.account_id)
        )

    def get(self, place: Place) -> Receipt | None:
        """What was written to ``place``, if anything was."""
        return self.by_place.get(place)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_text, value))


def hash_access_key_id(access_key_id: str) -> str:
    """How a receipt names an access key."""
    return hashlib.sha256(access_key_id.encode()).hexdigest()
