"""What became of the files of a home directory, for one stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync.plan import UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Mapping


class Change(NamedTuple):
    """What was done, or would be, to one file or directory for one stack."""

    path: str
    action: str
    facts: Mapping[str, str]
    kept: str | None = None
    """Where what was replaced is kept for good."""


class Outcome(NamedTuple):
    """What became of one stack."""

    stack: str
    profile: str
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None

    @property
    def has_changes(self) -> bool:
        """Whether anything was done, or would be."""
        return any(change.action != UNCHANGED for change in self.changes)
