"""One sandbox for all end-to-end tests, and how not to disturb one another in it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.engine import build
from sandbox.project import STACKS
from sandbox.world import World, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the engine before the first test, which may take longer than a test is given."""
    if any(Path(__file__).parent in item.path.parents for item in session.items):
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            build.ensure()


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The sandbox that all tests share. A test that changes a stack asks for `stack`."""
    with sandbox() as it:
        yield it


@pytest.fixture(scope="session")
def deployed(world: World) -> World:
    """The shared sandbox with all four stacks deployed as they come, to be read only."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(world.deploy, STACKS))
    return world


@pytest.fixture
def home(deployed: World, request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """The sandbox with all stacks deployed, seen from a home directory of this test's own."""
    return deployed.with_home(f"{_plain(request.node.name)}-{tmp_path.name}")


@pytest.fixture
def stack(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new stack of this test's own, destroyed afterwards."""
    name = _plain(request.node.name)
    world.run("pulumi", "stack", "init", name, "--no-select")
    yield name
    world.run("pulumi", "destroy", "--stack", name, "--yes", "--skip-preview", check=False)
    world.run("pulumi", "stack", "rm", name, "--yes", "--force")


def _plain(name: str) -> str:
    """Return a test's name as AWS and Pulumi take names: short, of letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("test_"))[:50].strip("-")
