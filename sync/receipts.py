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
    """What was there at first: "nothing", "section" (without keys or region), "the same", "other
    keys" or "other file" (the last two were taken over)."""
    dropped: tuple[str, ...] = ()
    """Options that were removed since they would have broken the profile."""

    def is_for(self, stack: str, account_id: str) -> bool:
        """Whether this very stack's: a stack of that name may exist in another account."""
        return (self.stack, self.account_id) == (stack, account_id)


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
                Place(entry["kind"], entry["path"], entry["profile"]): Receipt(
                    entry["stack"],
                    entry["account_id"],
                    tuple(entry["wrote"]),
                    entry["before"],
                    tuple(entry["dropped"]),
                )
                for entry in document["receipts"]
            }
            changed = frozenset(document["changed"])
            created = frozenset(document.get("created", ()))  # earlier versions took no note
        except (ValueError, KeyError, TypeError):
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


def hash_access_key_id(access_key_id: str) -> str:
    """How a receipt names an access key."""
    return hashlib.sha256(access_key_id.encode()).hexdigest()
