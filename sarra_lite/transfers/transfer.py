"""One announcement and what is reported on it: how far a file has come, and how fast."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite import units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.messages.v03 import Announcement, Report

_NO_ROOM: Final = 507  # report codes
_WAS_THERE: Final = 304
_RECENT: Final = 32  # blocks that tell the present rate
_CLOCK: Final = 1e-6  # seconds that times are accurate to


class State(enum.StrEnum):
    """Where a file is; first what needs attention most."""

    FAILED = "failed"
    LOST = "in no queue"
    NO_ROOM = "waiting for room"
    RETRYING = "to be tried again"
    SENDING = "being sent"
    TAKEN = "taken by a sender"
    WAITING = "waiting"
    ARRIVED = "arrived"
    NOT_ANNOUNCED = "not announced"


class BlockSent(NamedTuple):
    """When a block was written (seconds since 1970), its bytes, how long it took, by whom."""

    ended: float
    size: int
    seconds: float
    sender: str


@dataclass(slots=True)
class Progress:
    """The blocks of a file that are at the destination."""

    done: set[int] = field(default_factory=set)
    bytes: int = 0
    recent: deque[BlockSent] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def take(self, announcement: Announcement, report: Report) -> None:
        """Count a block that has arrived, once."""
        blocks = announcement.blocks
        if blocks is None or blocks.number is None or blocks.number in self.done:
            return
        self.done.add(blocks.number)
        self.bytes += blocks.length
        ended = units.nanoseconds(report.time_completed) / 1e9
        size = 0 if report.code == _WAS_THERE else blocks.length
        self.recent.append(BlockSent(ended, size, report.seconds or 0.0, sender_of(report)))

    @property
    def last(self) -> float | None:
        """When the last block was written, in seconds since 1970."""
        return max((block.ended for block in self.recent), default=None)

    @property
    def rate(self) -> float | None:
        """Bytes per second of the last blocks; None when they do not tell."""
        if (last := self.last) is None:
            return None
        seconds = last - min(block.ended - block.seconds for block in self.recent)
        size = sum(block.size for block in self.recent)
        return size / seconds if seconds > _CLOCK and size else None

    @property
    def senders(self) -> list[str]:
        """The senders of the last blocks."""
        return sorted({block.sender for block in self.recent})


@dataclass(slots=True)
class Transfer:
    """An announcement, of whatever kind, and what was reported on it.

    ``number``: its position among all announcements that are known.  ``report``: the final one.
    ``trouble``: the last failed attempt, if nothing of it has arrived since; ``since``: when the
    first of these attempts failed.  ``earlier``: the announcement of the same path before it, if
    that has no final report, either.
    """

    announcement: Announcement
    number: int
    earlier: Transfer | None = None
    report: Report | None = None
    trouble: Report | None = None
    since: str = ""
    progress: Progress | None = None

    def take(self, announcement: Announcement, report: Report) -> None:
        """Note a report on it, or on one of its blocks."""
        if announcement.block is None and report.final:
            self.report = report
        elif announcement.block is not None and report.arrived:
            self.progress = self.progress or Progress()
            self.progress.take(announcement, report)
            self.trouble, self.since = None, ""
        else:
            self.since = self.since or report.time_completed
            self.trouble = report

    @property
    def state(self) -> State:
        """Where it is, as far as reports tell; without any it is waiting."""
        if self.report is not None:
            return State.ARRIVED if self.report.arrived else State.FAILED
        if self.trouble is not None and not self.trouble.final:
            return State.NO_ROOM if self.trouble.code == _NO_ROOM else State.RETRYING
        return State.WAITING if self.progress is None and self.trouble is None else State.SENDING

    @property
    def messages(self) -> int:
        """How many announcements on it, with those of its blocks, may be in the queue at most."""
        if (blocks := self.announcement.blocks) is None:
            return 0 if self.trouble is not None else 1
        done = 0 if self.progress is None else len(self.progress.done)
        return max(0, blocks.count - done) + blocks.finish

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at the present rate; None when that is not known."""
        progress, size = self.progress, self.announcement.size
        if progress is None or size is None or (rate := progress.rate) is None:
            return None
        return max(0, size - progress.bytes) / rate

    def chain(self) -> Iterator[Transfer]:
        """Yield it and those of the same path before it, the latest first."""
        one: Transfer | None = self
        while one is not None:
            yield one
            one = one.earlier


def sender_of(report: Report) -> str:
    """Return which process made a report: ``default/1234 on svr1``."""
    return f"{report.instance or '?'} on {report.host or '?'}"
