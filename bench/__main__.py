"""Compares our programs with their peers: ``python -m bench``, which ``make bench`` runs.

Creates each line, runs all peers alternately for each work, and writes docs/benchmarks/.  Needs
root, for network namespaces and to install peers.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bench import growth, plots, report, results, targets
from bench.broker import BrokerSetup
from bench.install import ROOT, install, version_of, versions
from bench.lines import LINES, check, opened
from bench.peers import BROKER, OURS, PEERS, SR3_BROKER, chosen
from bench.stage import Stage
from bench.transfer import Files, Turns, transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

_GIB: Final = Files(1, 1 << 30, 1)
_MIB200: Final = Files(1, 200 << 20, 1)
_SMALL: Final = 10 << 10
#: The works on each line; "posts" measures sr_post alone, "idle" the delay of single files.
PLAN: Final[dict[str, dict[str, Files]]] = {
    "lan": {
        "1 GiB": _GIB,
        "10,000 files": Files(10_000, _SMALL, 1000),
        "posts": Files(10_000, 1 << 10, 10_000),
        "idle": Files(20, 1 << 10, 20),
    },
    "wan": {"1 GiB": _GIB, "5,000 files": Files(5000, _SMALL, 100)},
    "lossy": {"1 GiB": _GIB},
    "wan-cubic": {"200 MiB": _MIB200},
    "lossy-cubic": {"200 MiB": _MIB200},
}
WORKS: Final = list(dict.fromkeys(work for works in PLAN.values() for work in works))
_QUICK_LINES: Final = ["lan", "wan", "lossy-cubic"]  # veth; relay; loss and congestion control
_MILLION: Final = 1_000_000


class Options(NamedTuple):
    """The options of the command line."""

    lines: list[str]
    works: list[str]
    peers: list[str]
    rounds: int
    quick: bool
    million: bool
    growth: bool
    add: bool
    programs: dict[str, str]


def main() -> int:
    """Measure what the command line selects, and write the report; return the exit status."""
    options, out, report_only = parse()
    if report_only:
        publish(results.read(out / "results.json"), out)
        return 0
    if os.geteuid():
        sys.exit("bench: needs root, for network namespaces")
    # SystemExit makes the context managers clean up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    install()
    found, json_file = describe(options), out / "results.json"
    if options.add and json_file.exists():
        found.include(results.read(json_file))
    out.mkdir(parents=True, exist_ok=True)
    for line in options.lines:
        with tempfile.TemporaryDirectory(prefix="sarra-bench-", dir="/dev/shm") as directory:
            for _ in measure(options, line, Path(directory), found):
                found.write(json_file)  # kept if a later measurement fails
    publish(found, out)
    return 0


def parse() -> tuple[Options, Path, bool]:
    """Return the options, the output directory, and whether only the report is to be written."""
    parser = argparse.ArgumentParser("bench", description="Everything beside its peers.")
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="turns of each peer (default: 5)")
    add("--lines", nargs="+", choices=LINES, help="default: all; with --quick one of each kind")
    add("--works", nargs="*", metavar="WORK", default=WORKS, help=f"of {', '.join(WORKS)}")
    peers = [*PEERS, BROKER, SR3_BROKER]
    add("--peers", nargs="+", choices=peers, default=[], help="default: all; ours always is")
    add("--million", action="store_true", help="sr_post of 1,000,000 files, too")
    add("--growth", action="store_true", help="what grows with files, bytes, connections, too")
    add("--quick", action="store_true", help="little of everything, once, to try the bench itself")
    add("--bbcp", type=Path, help="path of bbcp, to measure it, too")
    add("--mscp", type=Path, help="path of mscp, to measure it, too")
    add("--out", type=Path, help="default: docs/benchmarks; with --quick: .cache/bench/quick")
    add("--add", action="store_true", help="keep the results there are of all that is not measured")
    add("--report-only", action="store_true", help="write the page anew, from results.json")
    given = parser.parse_args()
    if unknown := set(given.works) - set(WORKS):
        parser.error(f"no such work: {', '.join(unknown)}")
    programs = {name: getattr(given, name) for name in ("bbcp", "mscp")}
    options = Options(
        given.lines or (_QUICK_LINES if given.quick else list(LINES)),
        given.works,
        [OURS, *given.peers] if given.peers else [],
        1 if given.quick else given.rounds,
        given.quick,
        given.million,
        given.growth,
        given.add,
        {name: str(path.absolute()) for name, path in programs.items() if path},
    )
    out = ROOT / (".cache/bench/quick" if given.quick else "docs/benchmarks")
    return options, given.out or out, given.report_only


def describe(options: Options) -> results.Results:
    """Return results that describe the machine and the peers, without measurements."""
    processor = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    extra = {name: version_of(path) for name, path in options.programs.items()}
    # The published page must not contain paths of this machine.
    arguments = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return results.Results(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=shlex.join(["python", "-m", "bench", *arguments]),
        machine={
            "processors": f"{os.cpu_count()} x {processor.partition(':')[2].strip()}",
            "memory": f"{memory:.0f} GiB",
            "kernel": platform.release(),
            "system": platform.freedesktop_os_release()["PRETTY_NAME"],
            "rounds": str(options.rounds),
        },
        versions=versions() | extra,
        rounds=options.rounds,
        quick=options.quick,
    )


def measure(options: Options, line: str, directory: Path, found: results.Results) -> Iterator[None]:
    """Measure the selected works on a line; yield after each of them."""
    works = {name: files for name, files in PLAN[line].items() if name in options.works}
    extras = line == "lan" and (options.growth or options.million)
    if not works and not extras:
        return
    with ExitStack() as stack:
        opened_line = stack.enter_context(opened(line))
        found.lines[line] = check(line, opened_line, 1 if options.quick else 5)
        stage = stack.enter_context(Stage(opened_line, directory, options.programs))
        needs_broker = any(files.count > 1 for files in works.values()) or options.million
        broker = stack.enter_context(BrokerSetup(stage)) if needs_broker else None
        for work, files in works.items():
            work_files = reduced(files) if options.quick else files
            measure_work(options, stage, broker, (line, work), work_files, found)
            yield
        if extras and options.million and broker:
            found.million = million(stage, broker, 20_000 if options.quick else _MILLION)
            yield
    if extras and options.growth:
        with opened(line) as opened_line, Stage(opened_line, directory / "growth", {}) as stage:
            found.growth = growth.growth(stage, quick=options.quick)
            yield


def measure_work(
    options: Options,
    stage: Stage,
    broker: BrokerSetup | None,
    case: tuple[str, str],
    files: Files,
    found: results.Results,
) -> None:
    """Measure one case, a line and a work, and store the results in ``found``."""
    line, work = case
    if work == "idle" and broker:
        stage.fill(1, files.size)
        stage.empty()
        found.idle = broker.idle(files.count)
        return
    if work == "posts" and broker:
        turns = Turns(stage, line, work, files)
        turns.add(OURS, broker.post_with_ours, files.count)
        turns.add("sr3", broker.post_with_sr3, files.count)
    else:
        brokered = (
            {BROKER: broker.send_with_ours, SR3_BROKER: broker.send_with_sr3} if broker else {}
        )
        for name in brokered.keys() - set(options.peers or brokered):
            del brokered[name]
        turns = transfer(stage, case, files, chosen(options.peers, options.programs), brokered)
    found.replace(turns.run(options.rounds))


def million(stage: Stage, broker: BrokerSetup, count: int) -> results.Million:
    """Measure sr_post of very many empty files."""
    stage.fill(count, 0)
    return broker.many_posts(count)


def reduced(files: Files) -> Files:
    """Return a smaller work of the same kind."""
    if files.count == 1:
        return Files(1, 16 << 20, 1)
    return Files(min(files.count, 200), files.size, 5)


def publish(found: results.Results, out: Path) -> None:
    """Write the page and its plots, and print the targets."""
    (out / "README.md").write_text(report.page(found, plots.draw(found, out)))
    print()
    for verdict in targets.verdicts(found):
        answer = {True: "met", False: "NOT MET", None: "-"}[verdict.met]
        print(f"{verdict.what:<46} {verdict.target:<52} {verdict.reached:>8}  {answer}")


if __name__ == "__main__":
    sys.exit(main())
