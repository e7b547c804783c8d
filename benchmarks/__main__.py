"""``python -m benchmarks``: sync beside the engine alone, as ratios within one run.

Every figure is a median over pairs of runs taken in turn, so that the machine's drift concerns
both sides alike. What is compared with what:

- one stack: ``python -m sync STACK`` beside ``pulumi stack output --json --show-secrets``, the
  cheapest way to read a stack; with files that are up to date, and into an empty home;
- four stacks: ``python -m sync`` of all four beside four such reads spread over the cores;
- memory: the peak of sync's own process (VmHWM, proc(5)), the engine's not included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import SandboxError
from sandbox.project import STACKS
from sandbox.world import World, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = """
import sys
from sync.cli import main
status = main(sys.argv[1:])
with open("/proc/self/status") as lines:
    print(*(line.split()[1] for line in lines if line.startswith("VmHWM")))
sys.exit(status)
"""


class Row(NamedTuple):
    """One comparison: medians in seconds, and the median of the ratios of the pairs."""

    what: str
    engine: float
    sync: float
    ratio: float
    aim: float


def main(arguments: list[str]) -> int:
    """Measure and print a table, or JSON; 1 where there can be no sandbox."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=15, help="pairs of runs (default: 15)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        with sandbox() as world:
            _deploy(world)
            rows = _compare(world, max(options.runs, 1))
            memory = _peak_memory(world)
    except SandboxError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"rows": [row._asdict() for row in rows], "memory_mib": memory}, indent=2))
        return 0
    print(f"{'':34}{'engine':>9}{'sync':>9}{'ratio':>8}{'aim':>7}")
    for row in rows:
        print(f"{row.what:34}{row.engine:8.3f}s{row.sync:8.3f}s{row.ratio:8.2f}{row.aim:7.2f}")
    for what, mebibytes in memory.items():
        print(f"{what:34}{'':9}{mebibytes:7.1f}MiB{'':7}{'40 MiB':>9}")
    return 0


def _deploy(world: World) -> None:
    for stack in STACKS:
        _tell(f"deploying {stack}")
        world.deploy(stack)


def _compare(world: World, runs: int) -> list[Row]:
    cores = os.cpu_count() or 1

    def read(stack: str) -> None:
        world.run("pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack)

    def read_four() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(read, STACKS))

    def sync(*stacks: str) -> None:
        world.run("python", "-m", "sync", *stacks)

    def sync_into_an_empty_home() -> None:
        shutil.rmtree(world.home)
        world.home.mkdir()
        sync(STACKS[0])

    sync(*STACKS)
    one = _pairs("one stack, up to date", lambda: read(STACKS[0]), lambda: sync(STACKS[0]), runs)
    first = _pairs(
        "one stack, into an empty home", lambda: read(STACKS[0]), sync_into_an_empty_home, runs
    )
    sync(*STACKS)
    four = _pairs(f"four stacks, {cores} cores", read_four, lambda: sync(*STACKS), runs)
    return [one, first, four]


def _pairs(what: str, engine: Callable[[], None], sync: Callable[[], None], runs: int) -> Row:
    engine()
    sync()  # once unmeasured: caches and bytecode
    times: dict[Callable[[], None], list[float]] = {engine: [], sync: []}
    for number in range(runs):
        _tell(f"{what}: {number + 1} of {runs}")
        for work in (engine, sync) if number % 2 else (sync, engine):
            start = time.perf_counter()
            work()
            times[work].append(time.perf_counter() - start)
    ratios = [s / e for e, s in zip(times[engine], times[sync], strict=True)]
    return Row(
        what,
        statistics.median(times[engine]),
        statistics.median(times[sync]),
        statistics.median(ratios),
        aim=1.15,
    )


def _peak_memory(world: World) -> dict[str, float]:
    """Mebibytes that sync's own process took at most, for one stack and for four."""
    peaks = {}
    for stacks in (STACKS[:1], STACKS):
        done = world.run("python", "-c", MEMORY, *stacks)
        peaks[f"memory of sync, stacks: {len(stacks)}"] = int(done.stdout) / 1024
    return peaks


def _tell(text: str) -> None:
    end = "\r\x1b[K" if sys.stderr.isatty() else "\n"
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
