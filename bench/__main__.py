"""Everything beside its peers: ``python -m bench``, which is ``make bench``.

Lays each line, lets all peers take turns at each work, and writes docs/benchmarks/.  Needs root,
for network namespaces and to install peers.
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
from bench.broker import Through
from bench.install import ROOT, install, version_of, versions
from bench.lines import LINES, check, laid
from bench.peers import BROKER, OURS, PEERS, SR3_BROKER, chosen
from bench.stage import Stage
from bench.transfer import Files, Turns, transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

_GIB: Final = Files(1, 1 << 30, 1)
_MIB200: Final = Files(1, 200 << 20, 1)
_SMALL: Final = 10 << 10
#: What is sent on each line; "posts" and "idle" are about announcements.
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
_KINDS: Final = ["lan", "wan", "lossy-cubic"]  # near, by the relay, with loss and a control set
_MILLION: Final = 1_000_000


class Asked(NamedTuple):
    """What the command line says, put straight."""

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
    """Measure what the command line says."""
    asked, out, only_report = parse()
    if only_report:
        publish(results.read(out / "results.json"), out)
        return 0
    if os.geteuid():
        sys.exit("bench: needs root, for network namespaces")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # and all is taken away
    install()
    found, raw = describe(asked), out / "results.json"
    if asked.add and raw.exists():
        found.add_to(results.read(raw))
    out.mkdir(parents=True, exist_ok=True)
    for line in asked.lines:
        with tempfile.TemporaryDirectory(prefix="sarra-bench-", dir="/dev/shm") as room:
            for _ in measure(asked, line, Path(room), found):
                found.write(raw)  # what is measured is not lost if the next fails
    publish(found, out)
    return 0


def parse() -> tuple[Asked, Path, bool]:
    """Return what to do, where to write, and whether only to write."""
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
    asked = Asked(
        given.lines or (_KINDS if given.quick else list(LINES)),
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
    return asked, given.out or out, given.report_only


def describe(asked: Asked) -> results.Results:
    """Return results that tell about the machine and the peers, and nothing measured yet."""
    processor = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    extra = {name: version_of(path) for name, path in asked.programs.items()}
    # Options that name places on this machine are nobody's business.
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return results.Results(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=shlex.join(["python", "-m", "bench", *words]),
        machine={
            "processors": f"{os.cpu_count()} x {processor.partition(':')[2].strip()}",
            "memory": f"{memory:.0f} GiB",
            "kernel": platform.release(),
            "system": platform.freedesktop_os_release()["PRETTY_NAME"],
            "rounds": str(asked.rounds),
        },
        versions=versions() | extra,
        rounds=asked.rounds,
        quick=asked.quick,
    )


def measure(asked: Asked, line: str, room: Path, found: results.Results) -> Iterator[None]:
    """Measure all that was asked for on a line; yields after each part."""
    works = {name: files for name, files in PLAN[line].items() if name in asked.works}
    extras = line == "lan" and (asked.growth or asked.million)
    if not works and not extras:
        return
    with ExitStack() as stack:
        laid_line = stack.enter_context(laid(line))
        found.lines[line] = check(line, laid_line, 1 if asked.quick else 5)
        stage = stack.enter_context(Stage(laid_line, room, asked.programs))
        needs_broker = any(files.count > 1 for files in works.values()) or asked.million
        broker = stack.enter_context(Through(stage)) if needs_broker else None
        for work, files in works.items():
            do(asked, stage, broker, (line, work), little(files) if asked.quick else files, found)
            yield
        if extras and asked.million and broker:
            found.million = million(stage, broker, 20_000 if asked.quick else _MILLION)
            yield
    if extras and asked.growth:
        with laid(line) as laid_line, Stage(laid_line, room / "growth", {}) as stage:
            found.growth = growth.growth(stage, quick=asked.quick)
            yield


def do(
    asked: Asked,
    stage: Stage,
    broker: Through | None,
    place: tuple[str, str],
    files: Files,
    found: results.Results,
) -> None:
    """Measure one work."""
    line, work = place
    if work == "idle" and broker:
        stage.fill(1, files.size)
        stage.empty()
        found.idle = broker.idle(files.count)
        return
    if work == "posts" and broker:
        turns = Turns(stage, line, work, files)
        turns.add(OURS, broker.our_posts, files.count)
        turns.add("sr3", broker.sr3_posts, files.count)
    else:
        brokered = {BROKER: broker.ours, SR3_BROKER: broker.sr3s} if broker else {}
        for name in brokered.keys() - set(asked.peers or brokered):
            del brokered[name]
        turns = transfer(stage, place, files, chosen(asked.peers, asked.programs), brokered)
    found.replace(turns.take(asked.rounds))


def million(stage: Stage, broker: Through, count: int) -> results.Million:
    """Announce very many empty files."""
    stage.fill(count, 0)
    return broker.many_posts(count)


def little(files: Files) -> Files:
    """Return a work of the same kind that takes little time."""
    if files.count == 1:
        return Files(1, 16 << 20, 1)
    return Files(min(files.count, 200), files.size, 5)


def publish(found: results.Results, out: Path) -> None:
    """Write the page and its pictures, print the targets."""
    (out / "README.md").write_text(report.page(found, plots.draw(found, out)))
    print()
    for verdict in targets.verdicts(found):
        word = {True: "met", False: "NOT MET", None: "-"}[verdict.met]
        print(f"{verdict.what:<46} {verdict.target:<52} {verdict.reached:>8}  {word}")


if __name__ == "__main__":
    sys.exit(main())
