"""What was measured, as it is kept in JSON, and looked up again."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

from bench.lines import Check  # noqa: TC001  msgspec looks at it when it runs

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


class Run(msgspec.Struct):
    """One turn of a peer: see ``usage.Used``."""

    seconds: float
    client_cpu: float
    server_cpu: float
    peak: int
    processes: int


class Series(msgspec.Struct):
    """All turns of a peer at one work on one line.

    ``files`` of ``size`` bytes are the work; ``sent`` of them were sent, as many as the peer can
    send in reasonable time.  ``problem``: why there are no runs, or no more.
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
        """Median seconds that the whole work takes, at the rate at which a part of it was done."""
        return self.median("seconds") * self.files / self.sent

    @property
    def rate(self) -> float:
        """Median files a second, or bytes a second if it is one file."""
        return (self.files if self.files > 1 else self.size) / self.seconds

    def median(self, what: str) -> float:
        """Return the median of a field of the runs."""
        return float(statistics.median(getattr(run, what) for run in self.runs))


class Idle(msgspec.Struct):
    """Seconds from each announcement to when its file was seen, and to its report's time."""

    seen: list[float]
    reported: list[float]


class Million(msgspec.Struct):
    """``sr_post`` of many files: seconds to the first announcement, to the end, bytes of memory."""

    files: int
    first: float
    seconds: float
    peak: int


class Results(msgspec.Struct):
    """All of one run.  ``quick``: works were cut down, so that figures mean nothing."""

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
        """Return a series that has runs."""
        for series in self.of(line, work):
            if series.peer == peer and series.runs:
                return series
        return None

    def of(self, line: str, work: str) -> list[Series]:
        """Return what was measured of one work on one line."""
        return [one for one in self.series if (one.line, one.work) == (line, work)]

    def replace(self, series: list[Series]) -> None:
        """Take these, instead of what there is of the same peers' works."""
        known = {(one.line, one.work, one.peer) for one in series}
        kept = [one for one in self.series if (one.line, one.work, one.peer) not in known]
        self.series = kept + series

    def add_to(self, earlier: Results) -> None:
        """Take what was measured earlier."""
        self.command = f"{earlier.command}; {self.command}"
        self.lines = earlier.lines | self.lines
        self.series, new = earlier.series, self.series
        self.replace(new)
        self.growth = self.growth or earlier.growth
        self.idle = self.idle or earlier.idle
        self.million = self.million or earlier.million

    def write(self, path: Path) -> None:
        """Write all as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read(path: Path) -> Results:
    """Return what was written."""
    return msgspec.json.decode(path.read_bytes(), type=Results)
