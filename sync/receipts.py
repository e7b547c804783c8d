"""What sync wrote, so that it can tell its own profiles and keys from somebody else's.

Receipts stand in one file in the user's state directory, not as comments in files that are not
ours. They hold no secret: access keys are known by a hash of their id, SSH keys by fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

_VERSION = 1


class ReceiptsError(ValueError):
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
    """What we wrote there over time, newest last: hashes, fingerprints or regions."""
    before: str
    """What was there at first: "nothing", "section" (without keys or region), "the same", "other
    keys" or "other file" (the last two were taken over)."""
    dropped: tuple[str, ...] = ()
    """Options that were removed since they would have broken the profile."""

    def is_for(self, stack: str, account_id: str) -> bool:
        """Whether this very stack's: a stack of that name may exist in another account."""
        return (self.stack, self.account_id) == (stack, account_id)


class Receipts:
    """All receipts, by place. Immutable: `with_receipts` gives new ones."""

    def __init__(self, receipts: dict[Place, Receipt] | None = None) -> None:
        self._receipts = receipts or {}

    @classmethod
    def load(cls, data: bytes | None) -> Receipts:
        """Parse what `dump` made; None stands for no receipts yet. Raises `ReceiptsError`."""
        if not data:
            return cls()
        try:
            document = json.loads(data)
            version = document["version"]
            receipts = {
                Place(entry["kind"], entry["path"], entry["profile"]): Receipt(
                    entry["stack"],
                    entry["account_id"],
                    tuple(entry["wrote"]),
                    entry["before"],
                    tuple(entry["dropped"]),
                )
                for entry in document["receipts"]
            }
        except (ValueError, KeyError, TypeError):
            raise ReceiptsError("does not hold receipts of sync") from None
        if version != _VERSION:
            raise ReceiptsError(f"holds receipts of version {version}; known is {_VERSION}")
        return cls(receipts)

    def dump(self) -> bytes:
        """As JSON, in a stable order."""
        entries = [
            {**place._asdict(), **receipt._asdict()}
            for place, receipt in sorted(self._receipts.items())
        ]
        return json.dumps({"version": _VERSION, "receipts": entries}, indent=1).encode() + b"\n"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipts) and self._receipts == other._receipts

    __hash__ = None  # type: ignore[assignment]  # a mapping's equality, a mapping's hash

    def __getitem__(self, place: Place) -> Receipt | None:
        return self._receipts.get(place)

    def mention(self, path: str) -> bool:
        """Whether anything was ever written to ``path``."""
        return any(place.path == path for place in self._receipts)

    def with_receipts(self, receipts: dict[Place, Receipt]) -> Receipts:
        """These, with ``receipts`` in place of what was known of their places."""
        return Receipts(self._receipts | receipts)


def hash_access_key_id(access_key_id: str) -> str:
    """How a receipt names an access key."""
    return hashlib.sha256(access_key_id.encode()).hexdigest()
