"""The measured results: their structure in results.json, and access to them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

from bench.lines import Check  # noqa: TC001  msgspec needs the type at run time

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


class Run(msgspec.Struct):
    """One run of a peer; the fields are those of ``usage.Used``."""

    seconds: float
    client_cpu: float
    server_cpu: float
    peak: int
    processes: int


class Series(msgspec.Struct):
    """All runs of a peer for one work on one line.

    The work is to send ``files`` files of ``size`` bytes each.  Only ``sent`` of them were sent if
    the peer would need too long for all.  ``problem``: why there are no runs, or fewer than rounds.
    """

    line: str
    work: str
    peer: str
    files: int
    size: int
    sent: int
    runs: list[Run] = []
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Median seconds for the whole work, extrapolated if only a part of it was sent."""
        return self.median("seconds") * self.files / self.sent

    @property
    def rate(self) -> float:
        """Median files per second, or bytes per second if the work is one file."""
        return (self.files if self.files > 1 else self.size) / self.seconds

    def median(self, what: str) -> float:
        """Return the median of a field of the runs."""
        return float(statistics.median(getattr(run, what) for run in self.runs))


class Idle(msgspec.Struct):
    """Seconds from each announcement until its file existed, and until the time in its report."""

    seen: list[float]
    reported: list[float]


class Million(msgspec.Struct):
    """``sr_post`` of many files: seconds to the first announcement and in all, bytes of memory."""

    files: int
    first: float
    seconds: float
    peak: int


class Results(msgspec.Struct):
    """All results of one run of the bench.  With ``quick`` works are small, to test the bench."""

    date: str
    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    quick: bool = False
    lines: dict[str, Check] = {}
    series: list[Series] = []
    growth: dict[str, list[Series]] = {}
    idle: Idle | None = None
    million: Million | None = None

    def find(self, line: str, work: str, peer: str) -> Series | None:
        """Return the series of a peer, if it has runs."""
        for series in self.of(line, work):
            if series.peer == peer and series.runs:
                return series
        return None

    def of(self, line: str, work: str) -> list[Series]:
        """Return the series of all peers for one work on one line."""
        return [series for series in self.series if (series.line, series.work) == (line, work)]

    def replace(self, series: list[Series]) -> None:
        """Add series; each replaces an earlier one of the same line, work and peer."""
        replaced = {(one.line, one.work, one.peer) for one in series}
        kept = [one for one in self.series if (one.line, one.work, one.peer) not in replaced]
        self.series = kept + series

    def include(self, earlier: Results) -> None:
        """Include the results of an earlier run that this run has not measured."""
        self.command = f"{earlier.command}; {self.command}"
        self.lines = earlier.lines | self.lines
        self.series, new = earlier.series, self.series
        self.replace(new)
        self.growth = self.growth or earlier.growth
        self.idle = self.idle or earlier.idle
        self.million = self.million or earlier.million

    def write(self, path: Path) -> None:
        """Write the results as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read(path: Path) -> Results:
    """Return the results in a file."""
    return msgspec.json.decode(path.read_bytes(), type=Results)
