"""Compares two readings of what was counted of a file and of the connections that send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.delivery.stopwatch import Phase
from sarra_lite.dispatch.slowness import Figures, Tcp, judge

if TYPE_CHECKING:
    from sarra_lite.dispatch.slowness import Slowness
    from sarra_lite.sftp.client import SftpClient
    from sarra_lite.sftp.target import Sample

_LEAST: Final = 0.5  # seconds


class Reading(NamedTuple):
    """What was counted of a file until a moment (monotonic seconds); ``spent``: by phase."""

    at: float
    spent: list[float]
    written: int
    processor: float
    samples: dict[SftpClient, Sample]


def slowness_between(begin: Reading | None, end: Reading | None) -> Slowness | None:
    """Return what limited a file between two readings; None when they are too close."""
    if begin is None or end is None or end.at - begin.at < _LEAST:
        return None
    seconds = end.at - begin.at
    spent = [after - before for before, after in zip(begin.spent, end.spent, strict=True)]
    share = [one / max(sum(spent), 1e-9) for one in spent]
    pairs = [
        (client.round_trip, before, end.samples[client])
        for client, before in begin.samples.items()
        if client in end.samples
    ]
    ssh = max((after.processor - before.processor for _, before, after in pairs), default=0.0)
    return judge(
        Figures(
            seconds=seconds,
            rate=(end.written - begin.written) / seconds,
            quota=share[Phase.QUOTA],
            limit=share[Phase.LIMIT],
            source=share[Phase.SOURCE],
            connection=share[Phase.CONNECTION],
            sender=(end.processor - begin.processor) / seconds,
            ssh=ssh / seconds,
            connections=len(pairs),
            tcp=_tcp(pairs, seconds),
        )
    )


def _tcp(pairs: list[tuple[float, Sample, Sample]], seconds: float) -> Tcp | None:
    """Return what TCP did on connections, by what each has sent.

    Each has the round trip of SFTP, which is longer than that of TCP through a jump host.
    """
    known = [
        (trip, before, after, before.tcp, after.tcp)
        for trip, before, after in pairs
        if before.tcp is not None and after.tcp is not None
    ]
    if not known:
        return None
    # One byte more, for the case that none of them sent any.
    weights = [after.acknowledged - before.acknowledged + 1 for *_, before, after in known]
    rows = [
        [
            (end.busy - begin.busy) / seconds,
            (end.receiver - begin.receiver) / seconds,
            (end.buffer - begin.buffer) / seconds,
            (after.queued - before.queued) / max(after.looks - before.looks, 1),
            (end.resent - begin.resent) / max(end.sent - begin.sent, 1),
            weight / seconds,
            max(trip, end.round_trip),
            end.window,
        ]
        for weight, (trip, before, after, begin, end) in zip(weights, known, strict=True)
    ]
    weighted = ([one * weight for one in row] for weight, row in zip(weights, rows, strict=True))
    return Tcp(*(total / sum(weights) for total in total(list(weighted))))


def total(rows: list[list[float]]) -> list[float]:
    """Return the sums of the columns."""
    return [sum(column) for column in zip(*rows, strict=True)]
