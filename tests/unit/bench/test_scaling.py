"""The figures of docs/scaling.md are those of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
RESULTS = json.loads((ROOT / "docs/benchmarks/results.json").read_text(encoding="utf-8"))
GIB = 1 << 30


def _ours() -> list[dict[str, Any]]:
    """Return our series of one large file."""
    series = RESULTS["series"] + RESULTS["growth"]["GiB in one file"]
    return [one for one in series if one["peer"].startswith("sarra_lite") and one["files"] == 1]


def test_the_cpu_seconds_of_sshd_per_gib_are_those_measured() -> None:
    costs = [
        run["server_cpu"] * GIB / one["size"]
        for one in _ours()
        if one["size"] >= GIB
        for run in one["runs"]
    ]
    measured = f"{min(costs):.1f} to {max(costs):.1f} CPU seconds"
    assert f"sshd takes {measured} per GiB" in TEXT
    assert f"Each GiB that passes costs {measured} of a node" in TEXT
    per_core = f"{GIB / max(costs) / 1e9:.1f} to {GIB / min(costs) / 1e9:.1f} GB/s on a node"
    assert f"a core carries {per_core}" in TEXT


def test_the_seconds_with_loss_are_those_measured() -> None:
    [one] = [one for one in _ours() if one["line"] == "lossy-cubic" and one["peer"] == "sarra_lite"]
    seconds = [run["seconds"] for run in one["runs"]]
    assert f"200 MiB in {min(seconds):.1f} to {max(seconds):.1f} s" in TEXT
