"""Measures what the pages of sr_web cost with so many rows: ``python -m bench.pages``.

200 users of ten groups have sent a million files in 90 days, at all hours, one of 50 failed.  How
long the values of each page take, for netops, who see all, and for one user, without its HTML.
Writes docs/benchmarks/web/pages.json.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.install import ROOT
from bench.monitor import records
from sarra_lite.config.schema import build
from sarra_lite.config.web import WebConfig
from sarra_lite.monitor.store import Batch, Store
from sarra_lite.web import pages
from sarra_lite.web.more import MorePages
from sarra_lite.web.records import records_of

if TYPE_CHECKING:
    from collections.abc import Callable

_USERS: Final = 200
_DAYS: Final = 90
_BATCH: Final = 5000
_RUNS: Final = 20
_EXPECTED: Final = 20  # of users who keep them, and as many of groups who do not
_GROUPS: Final = {f"uuser{number}": f"group{number % 10}" for number in range(_USERS)}


def fill(file: Path, rows: int) -> None:
    """Write a history by the monitor's own means."""
    chance = random.Random(rows)
    with closing(Store(file, _DAYS + 1, _GROUPS)) as store:
        batch = Batch()
        now = time.time_ns() // 10**6
        for number, record in enumerate(records(rows, _DAYS, now), start=1):
            batch.records.append(record._replace(user=f"uuser{chance.randrange(_USERS)}"))
            if number % _BATCH == 0 or number == rows:
                store.take(batch)
                batch = Batch()


def configured(directory: Path, file: Path) -> WebConfig:
    """Return the configuration of a page."""
    expected = directory / "expected.toml"
    wanted = [
        f'[[expect]]\nuser = "uuser{number}"\nmatch = "obs/*"\nby = "06:00"\nleast = 3\n'
        f'[[expect]]\ngroup = "group{number % 10}"\nmatch = "none{number}"\nby = "06:00"\n'
        for number in range(_EXPECTED)
    ]
    expected.write_text("".join(wanted))
    values = {
        "broker": "amqps://unetops@127.0.0.1/",
        "historyFile": str(file),
        "expectFile": str(expected),
        "member": _GROUPS,
        "netops": ["unetops"],
    }
    return build(WebConfig, values, "bench")


def measure(config: WebConfig) -> dict[str, dict[str, Any]]:
    """Return the seconds of each page by who looks at it; the first look at Expected by itself."""
    contents: dict[str, pages.Content] = {"/": pages.now, "/history": pages.history}
    contents |= MorePages(config).contents()
    del contents["/health"]
    found: dict[str, dict[str, Any]] = {}
    for user in ("unetops", "uuser7"):
        first = MorePages(config).contents()["/expected"]
        looks = {"/expected, the first look": (first, 1)}
        looks |= {address: (content, _RUNS) for address, content in contents.items()}
        for address, (content, runs) in looks.items():
            seen = records_of(config, user)
            found.setdefault(address, {})[user] = seconds(lambda: content(seen, {}), runs)  # noqa: B023
            print(address, user, found[address][user], flush=True)
    return found


def seconds(call: Callable[[], object], runs: int) -> dict[str, float]:
    """Return the median of the seconds that a call takes, and of those of the processor."""
    taken, cpu = [], []
    for _ in range(runs):
        begun, worked = time.monotonic(), time.process_time()
        call()
        taken.append(time.monotonic() - begun)
        cpu.append(time.process_time() - worked)
    return {"seconds": statistics.median(taken), "cpu": statistics.median(cpu)}


def main() -> int:
    """Measure and write the figures; return the exit status."""
    parser = argparse.ArgumentParser("bench.pages", description="What the pages of sr_web cost.")
    parser.add_argument("--rows", type=int, default=10**6, help="files of the history (1000000)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/web")
    options = parser.parse_args()
    figures: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory("-sarra-bench") as name:
        file = Path(name) / "history.sqlite"
        fill(file, options.rows)
        figures |= {"rows": options.rows, "users": _USERS, "days": _DAYS}
        figures["pages"] = measure(configured(Path(name), file))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "pages.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
