"""Tells what became of a home's files: lines for a person, values for JSON."""

from __future__ import annotations

from sync.terminal import say, shorten

TYPE_CHECKING = False  # see sync.engine
if TYPE_CHECKING:
    from typing import Any

    from sync.outcome import Change, Outcome

_VERBS = {
    "created": ("wrote", "would write"),
    "updated": ("updated", "would update"),
    "unchanged": ("unchanged", "unchanged"),
    "narrowed": ("narrowed", "would narrow"),
    "removed": ("removed", "would remove"),
    "left": ("left", "would leave"),
    "gone": ("already gone from", "already gone from"),
}


def tell(outcome: Outcome, *, only_look: bool = False) -> None:
    """Say what was done for one stack, or with ``only_look`` what would be; not its error."""
    for change in outcome.changes:
        say(f"{outcome.stack}: {_describe(change, only_look=only_look)}")
    for warning in outcome.warnings:
        say(f"{outcome.stack}: warning: {warning}")


def as_document(outcome: Outcome) -> dict[str, Any]:
    """``outcome`` as a value for JSON."""
    return {**outcome._asdict(), "changes": [change._asdict() for change in outcome.changes]}


def _describe(change: Change, *, only_look: bool) -> str:
    """One line on a file: what was done, where, and what is there now."""
    done, planned = _VERBS[change.action]
    facts = change.facts
    if "what" in facts:
        detail = f"[{facts['section']}] {facts['what']}" if "section" in facts else facts["what"]
    elif "fingerprint" in facts:
        detail = f"{facts['algorithm']} {facts['fingerprint']}"
        if "which" in facts:
            detail += f" (the {facts['which']} one)"
    elif "access_key" in facts:
        detail = f"[{facts['section']}] access key {facts['access_key']}"
    elif "region" in facts:
        detail = f"[{facts['section']}] region {facts['region']}"
    else:
        detail = f"mode {facts['was']} -> {facts['mode']}"
    kept = f"; what it held is kept as {shorten(change.kept)}" if change.kept else ""
    return f"{planned if only_look else done} {shorten(change.path)}: {detail}{kept}"
