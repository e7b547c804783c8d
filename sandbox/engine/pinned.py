"""What the Go modules beside this file pin."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

CLI = Path(__file__).with_name("cli")
LANGUAGE_HOST = Path(__file__).with_name("language-python")


def engine_version() -> str:
    """Return the version of the CLI that would be built, which is the oldest one to use."""
    return _from_go_mod(r"github\.com/pulumi/pulumi/pkg/v3 v(\S+)")


def go_version() -> str:
    """Return the version of Go that it takes at least."""
    return _from_go_mod(r"\ngo (\S+)")


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, to compare; () when it has none."""
    return tuple(map(int, re.findall(r"\d+", version.partition("-")[0])))


def cache() -> Path:
    """Return where the engine built from exactly these modules belongs in the user's cache."""
    sums = hashlib.sha256()
    for module in (CLI, LANGUAGE_HOST):
        for name in ("go.mod", "go.sum"):
            sums.update((module / name).read_bytes())
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return user_cache / "aws-keys" / f"engine-{engine_version()}-{sums.hexdigest()[:12]}"


def _from_go_mod(pattern: str) -> str:
    found = re.search(pattern, (CLI / "go.mod").read_text())
    assert found, pattern  # noqa: S101 - go.mod is part of the project
    return found[1]
