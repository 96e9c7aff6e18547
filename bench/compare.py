"""Compares two checkouts of this project: ``python -m bench.compare OLD NEW``.

Both checkouts have a turn in every round.  Prints a table in Markdown: medians of the seconds, of
the processor seconds of the client, and of its memory.  ``make bench`` installs what is needed.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.__main__ import PLAN
from bench.broker import BrokerSetup
from bench.lines import LINES, opened
from bench.peers import PEERS
from bench.results import MIB
from bench.stage import Stage
from bench.transfer import Turns, checked, sending
from bench.usage import Used, Work, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.results import Series
    from bench.transfer import Files

_SCP: Final = "scp"
_HEADER: Final = "| line | work | how | old s | new s | new/old | CPU s | MiB |"


def main() -> int:
    """Measure what the command line selects, and print the table."""
    parser = argparse.ArgumentParser("bench.compare", description="Two checkouts side by side.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--works", nargs="+", help="default: all of bench")
    options = parser.parse_args()
    # SystemExit makes the context managers clean up: files in /dev/shm are memory.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    roots = {"old": options.old.absolute(), "new": options.new.absolute()}
    rows: list[str] = []
    for line in options.lines:
        with ExitStack() as stack:
            opened_line = stack.enter_context(opened(line))
            directory = stack.enter_context(
                tempfile.TemporaryDirectory("-sarra-bench", dir="/dev/shm")
            )
            stage = stack.enter_context(Stage(opened_line, Path(directory), {}))
            broker = stack.enter_context(BrokerSetup(stage))
            for work, files in PLAN[line].items():
                if work in (options.works or PLAN[line]):
                    turns = Turns(stage, line, work, files)
                    for name, run in _runs(stage, broker, roots, work, files):
                        turns.add(name, run, files.count)
                    rows += _rows(turns.run(options.rounds))
    print("\n".join([_HEADER, "|---" * 8 + "|", *rows]))
    return 0


def _runs(
    stage: Stage, broker: BrokerSetup, roots: dict[str, Path], work: str, files: Files
) -> Iterator[tuple[str, Callable[[], Used]]]:
    """Yield what is measured for a work: its name, ``how: old`` or ``how: new``, and a function."""
    cases = {age: _cases(stage, broker, root, work, files) for age, root in roots.items()}
    for how in cases["old"]:
        for age in roots:
            yield f"{how}: {age}", cases[age][how]
    if files.count > 1 and work not in ("idle", "posts"):
        yield _SCP, sending(stage, PEERS[_SCP], many=True)


def _cases(
    stage: Stage, broker: BrokerSetup, root: Path, work: str, files: Files
) -> dict[str, Callable[[], Used]]:
    """Return what is measured for a work with one checkout."""
    brokered = partial(_brokered, broker, root)
    if work == "idle":
        return {"idle": partial(brokered, lambda: _idle(broker, files.count))}
    if work == "posts":
        return {"sr_post": partial(brokered, broker.post_with_ours)}
    cases: dict[str, Callable[[], Used]] = {
        how: checked(stage, partial(_engine, stage, root, arguments))
        for how, arguments in _ENGINES.items()
        if files.count > 1 or "connection" not in how
    }
    cases["broker"] = checked(stage, partial(brokered, broker.send_with_ours))
    return cases


_ENGINES: Final = {
    "engine": "",
    "engine, 1 connection": "--connections 1",
    "engine, 4 connections": "--connections 4",
    "open pool": "--open",
}


def _engine(stage: Stage, root: Path, arguments: str) -> Used:
    """Measure the engine of a checkout."""
    command = stage.command(f"{PEERS['sarra_lite'].large} {arguments}")
    env = os.environ | {"PYTHONPATH": str(root)}
    used = measured(Work(command, stage.servers, env=env, cwd=root))
    return used._replace(seconds=float(used.output.split()[-1])) if "--open" in arguments else used


def _brokered(broker: BrokerSetup, root: Path, run: Callable[[], Used]) -> Used:
    """Measure commands of a checkout."""
    broker.site.env["PYTHONPATH"] = str(root)
    return run()


def _idle(broker: BrokerSetup, count: int) -> Used:
    """Measure the seconds from an announcement to its report."""
    return Used(statistics.median(broker.idle(count).reported), 0.0, 0.0, 0, 0, "", 0.0)


def _rows(measured_series: list[Series]) -> Iterator[str]:
    """Yield the rows of one work."""
    by_name = {series.peer: series for series in measured_series if series.runs}
    for name, new in by_name.items():
        how, _, age = name.partition(": ")
        if not age:
            yield f"| {new.line} | {new.work} | {how} | | {new.seconds:.2f} | | | |"
        elif age == "new" and (old := by_name.get(f"{how}: old")):
            cpu = [f"{series.median('client_cpu'):.2f}" for series in (old, new)]
            memory = [f"{series.median('peak') / MIB:.0f}" for series in (old, new)]
            ratio = new.seconds / old.seconds
            yield (
                f"| {new.line} | {new.work} | {how} | {old.seconds:.3f} | {new.seconds:.3f} |"
                f" **{ratio:.2f}** | {', '.join(cpu)} | {', '.join(memory)} |"
            )


if __name__ == "__main__":
    sys.exit(main())
