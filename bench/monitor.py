"""Measures the history of sr_monitor: ``python -m bench.monitor``.

How many reports a second it takes from a real broker; how long queries by user and day, by path
and by code take with so many rows; how many bytes a row needs on disk.  Rows are of 200 users in
directories of 100 files, one of 50 failed, spread evenly over the days.  Writes
docs/benchmarks/monitor/monitor.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.install import ROOT
from sarra_lite import units
from sarra_lite.monitor import history
from sarra_lite.monitor.history import Wanted
from sarra_lite.monitor.records import DAY, Outcome, Record
from sarra_lite.monitor.store import Batch, Store
from tests.lab.monitor import Monitor
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site, wait_until
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

_USERS: Final = 200
_OF_A_DIRECTORY: Final = 100
_BATCH: Final = 5000
_RUNS: Final = 60  # of each query


@dataclass
class Rows:
    """What was measured with so many rows; seconds are medians, and the longest."""

    rows: int
    days: int
    rows_a_second: float
    bytes_a_row: float
    seconds: dict[str, tuple[float, float]]


def records(rows: int, days: int, now: int) -> Iterator[Record]:
    """Yield final reports, the oldest first."""
    chance = random.Random(rows)
    step = days * DAY / rows
    for number in range(rows):
        code = 410 if number % 50 == 7 else 201
        text = "gone at the source" if code == 410 else "file sent"
        waited = chance.randrange(200, 60_000)
        outcome = Outcome(
            ended=now - int((rows - number) * step),
            took=min(waited, chance.randrange(20, 5000)),
            code=code,
            text=text,
            attempts=1,
            sender=f"default/{number % 40}",
            host=f"ec{number % 20}",
            done=0,
            final=True,
            arrived=code == 201,
        )
        user = number // _OF_A_DIRECTORY % _USERS
        path = path_of(number).encode()
        size = chance.randrange(1, 1 << chance.randrange(10, 34))
        announced = outcome.ended - waited
        yield Record(f"uuser{user}", path, announced, size, block=False, outcome=outcome)


def path_of(number: int) -> str:
    """Return a path, of which 100 in a row are in one directory."""
    return f"obs/2026/{number // _OF_A_DIRECTORY:08}/radar_{number:09}.nc"


def measure(directory: Path, rows: int, days: int) -> Rows:
    """Fill a store by its own means, and query it."""
    file = directory / f"{rows}.sqlite"
    now = time.time_ns() // 10**6
    groups = {f"uuser{number}": f"group{number % 10}" for number in range(_USERS)}
    begun = time.monotonic()
    with closing(Store(file, days + 1, groups)) as store:
        batch = Batch()
        for number, record in enumerate(records(rows, days, now), start=1):
            batch.records.append(record)
            if number % _BATCH == 0 or number == rows:
                batch.offsets["q_xlog"] = number
                store.take(batch)
                batch = Batch()
    seconds = time.monotonic() - begun
    size = file.stat().st_size / rows  # closing has written the log back
    found = {name: query(file, name, rows, days, now) for name in ("user+day", "path", "code")}
    file.unlink()
    return Rows(rows, days, rows / seconds, size, found)


def query(file: Path, name: str, rows: int, days: int, now: int) -> tuple[float, float]:
    """Return the median and the maximum of the seconds of a query."""
    chance = random.Random(name)
    taken = []
    for _ in range(_RUNS):
        wanted = {
            "user+day": Wanted(
                user=f"uuser{chance.randrange(_USERS)}", day=now // DAY - chance.randrange(days)
            ),
            "path": Wanted(path=path_of(chance.randrange(rows))),
            "code": Wanted(code=chance.choice([201, 410, 507])),
        }[name]
        begun = time.monotonic()
        history.files(file, wanted)
        taken.append(time.monotonic() - begun)
    return statistics.median(taken), max(taken)


def take_from_broker(directory: Path, reports: int) -> dict[str, Any]:
    """Return reports a second that one sr_monitor takes from a stream that has them already."""
    with (
        Rabbit(directory / "rabbit") as rabbit,
        Sshd(directory / "sshd") as sshd,
    ):
        site = Site(rabbit, sshd, directory / "site")
        monitor = Monitor(site)
        with rabbit.channel() as channel:
            for number in range(reports):
                channel.basic_publish("", monitor.stream, report(number))
        wait_until(lambda: rabbit.queues()[monitor.stream] >= reports, 60)
        with site.running("sr_monitor") as process:
            wait_until(lambda: taken(monitor) > 0, 60)
            first, begun = taken(monitor), time.monotonic()
            cpu = process.cpu_seconds()
            wait_until(lambda: taken(monitor) >= reports, 3600)
            seconds, cpu = time.monotonic() - begun, process.cpu_seconds() - cpu
            memory = peak(process.pid)
    rate = (reports - first) / seconds
    return {"reports": reports, "a_second": rate, "cpu": cpu / seconds, "peak_bytes": memory}


def taken(monitor: Monitor) -> float:
    """Return how many files an sr_monitor has stored since its start."""
    return sum(v for name, v in monitor.metrics().items() if name.startswith("sarra_files_total"))


def peak(pid: int) -> int:
    """Return the most memory that a process had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def report(number: int) -> bytes:
    """Return a report as sr_src2log copies it."""
    now = units.time_string(time.time_ns())
    message = {
        "pubTime": now,
        "baseUrl": "file:/data",
        "relPath": path_of(number),
        "size": 1_000_000,
        "mtime": now,
        "mode": "644",
        "identity": {"method": "sha512", "value": "x" * 88},
        "source": f"uuser{number // _OF_A_DIRECTORY % _USERS}",
        "report": {
            "code": 410 if number % 50 == 7 else 201,
            "message": "file sent",
            "timeCompleted": now,
            "host": "ec1",
            "user": "uuser",
            "instance": "default/1",
            "bytes": 1_000_000,
            "seconds": 0.25,
            "rate": 4.0,
            "identity": {"method": "sha512", "value": "x" * 88},
            "attempt": 1,
        },
    }
    return json.dumps(message).encode()


def main() -> int:
    """Measure and write the figures; return the exit status."""
    parser = argparse.ArgumentParser("bench.monitor", description="The history of sr_monitor.")
    parser.add_argument("--reports", type=int, default=300_000, help="from the broker (300000)")
    parser.add_argument(
        "--rows",
        type=int,
        action="append",
        help="rows over 90 days; may be repeated (1000000 and 10000000); 100000000 takes hours",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/monitor")
    options = parser.parse_args()
    figures: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory("-sarra-bench") as name:
        # One day of a hundred million rows in 90 days.
        works = [(1_111_111, 1), *((rows, 90) for rows in options.rows or (10**6, 10**7))]
        if options.reports:
            figures["broker"] = take_from_broker(Path(name), options.reports)
            print(figures["broker"])
        figures["rows"] = []
        for rows, days in works:
            figures["rows"].append(asdict(measure(Path(name), rows, days)))
            print(figures["rows"][-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "monitor.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
