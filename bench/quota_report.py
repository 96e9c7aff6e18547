"""The figures of ``bench.quotas``: what is calculated of them, the page and the plot."""

from __future__ import annotations

import itertools
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

_MB: Final = 1_000_000
_COLUMNS: Final = (
    "phase",
    "seconds",
    "sent, of the rate",
    "on the wire, of the rate",
    "Jain's index of users",
    "of senders",
    "processor time of a sender",
    "of sr_quota",
)
_PAGE: Final = """\
# A group's share of the bandwidth

Written by `python -m bench.quotas` on {date} ({machine}); raw figures: [quotas.json](quotas.json).

Two users of a group with {rate:g} Mbit/s and a burst of 5 s send files of 8 MiB, each with a sender
on each of two hosts; two `sr_quota` run. What is sent is counted at the destination, for each
sender, and on the wire, with what SSH and TCP add. Jain's index is 1 when all have the same.
Processor time is in seconds a second.

{table}

![What arrived, by sender](quotas.svg)
"""


class Phase(msgspec.Struct):
    """What was measured in one phase; ``sent`` has the bytes of each sender, 0 without one."""

    name: str
    seconds: float
    rate: float
    sent: list[float]
    sent_seconds: float
    on_the_wire: float
    sender_cpu: float
    quota_cpu: float
    begin: float

    @property
    def share(self) -> float:
        """What was sent, as a part of what the rate allows."""
        return sum(self.sent) / self.sent_seconds / self.rate

    def row(self) -> str:
        """Return the row of the table."""
        active = [count for count in self.sent if count]
        users = [sum(self.sent[:2]), sum(self.sent[2:])]
        values = [
            self.name,
            f"{self.seconds:.0f}",
            f"**{self.share:.3f}**",
            f"{self.on_the_wire / self.seconds / self.rate:.3f}",
            f"{jain(users):.3f}" if all(users) else "",
            f"{jain(active):.3f}" if len(active) > 1 else "",
            f"{self.sender_cpu / self.seconds / max(1, len(active)):.3f}",
            f"{self.quota_cpu / self.seconds:.3f}",
        ]
        return f"| {' | '.join(values)} |"


def jain(values: list[float]) -> float:
    """Return Jain's index of fairness: 1 when all values are equal, 1/n when all but one are 0."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


class Quotas(msgspec.Struct):
    """All that one run has measured; ``series``: seconds, and the MB/s of each sender."""

    date: str
    machine: str
    rate_mbit: float
    phases: list[Phase]
    series: list[tuple[float, list[float]]]

    @classmethod
    def of(
        cls, rate_mbit: float, phases: list[Phase], samples: list[tuple[float, list[int]]]
    ) -> Self:
        """Return the results of now, with a value for each second."""
        begin = phases[0].begin
        seconds = {int(at - begin): (at, counts) for at, counts in samples}
        points = [seconds[second] for second in sorted(seconds)]
        series = [
            (
                round(at - begin, 2),
                [round((b - a) / (at - before) / _MB, 2) for a, b in zip(old, counts, strict=True)],
            )
            for (before, old), (at, counts) in itertools.pairwise(points)
        ]
        for phase in phases:
            phase.begin -= begin
        machine = f"{os.cpu_count()} processors, kernel {platform.release()}"
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return cls(date, machine, rate_mbit, phases, series)


def publish(quotas: Quotas, directory: Path) -> None:
    """Write the page, the figures and the plot."""
    json = msgspec.json.format(msgspec.json.encode(quotas), indent=1)
    (directory / "quotas.json").write_bytes(json + b"\n")
    rows = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    table = "\n".join([*rows, *(phase.row() for phase in quotas.phases)])
    page = _PAGE.format(
        date=quotas.date, machine=quotas.machine, rate=quotas.rate_mbit, table=table
    )
    (directory / "quotas.md").write_text(page)
    _draw(quotas, directory / "quotas.svg")


def _draw(quotas: Quotas, file: Path) -> None:
    # Imported here because matplotlib is not among the development dependencies.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    with mpl.rc_context():
        # A fixed salt makes the file depend on the figures only.
        mpl.rc("svg", hashsalt="sarra_lite", fonttype="none")
        mpl.rc("font", size=9)
        mpl.rc("axes.spines", top=False, right=False)
        figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
        names = [f"user {user}, host {host}" for user in (1, 2) for host in (1, 2)]
        values = list(zip(*(rates for _, rates in quotas.series), strict=True))
        axes.stackplot(
            [at for at, _ in quotas.series],
            values,
            labels=names,
            colors=["#1f5a93", "#5b8fc0", "#9aa5b1", "#d5dae0"],
        )
        axes.axhline(quotas.rate_mbit / 8, color="black", linewidth=0.8, linestyle="--")
        for phase in quotas.phases:
            axes.axvline(phase.begin, color="grey", linewidth=0.5)
            axes.text(phase.begin, axes.get_ylim()[1], phase.name, rotation=12, fontsize=7)
        axes.set_xlabel("seconds")
        axes.set_ylabel("MB/s")
        axes.legend(loc="upper center", fontsize=7)
        figure.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)
