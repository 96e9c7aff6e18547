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


class Part(NamedTuple):
    """A block under way, or a file in one piece: bytes that are written, and when that was told.

    ``rate``: bytes a second since it was told before, or begun; None when none was written.
    """

    bytes: int
    told: float
    rate: float | None
    sender: str


@dataclass(slots=True)
class Progress:
    """What of a file is at the destination: blocks, and parts of blocks or of a whole file."""

    done: set[int] = field(default_factory=set)
    written: int = 0  # bytes of the blocks
    parts: dict[int | None, Part] = field(default_factory=dict)
    recent: deque[BlockSent] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def note(self, announcement: Announcement, report: Report) -> None:
        """Note how far a block or a whole file has come."""
        number, now = announcement.block, units.nanoseconds(report.time_completed) / 1e9
        length = announcement.blocks.length if announcement.blocks else announcement.size or 0
        if number in self.done or announcement.is_finish:
            return
        written, before = min(report.bytes or 0, length), self.parts.get(number)
        new, seconds = written, report.seconds or 0.0
        if before is not None and before.bytes <= written:
            new, seconds = written - before.bytes, now - before.told
        rate = new / seconds if seconds > _CLOCK and new else None
        self.parts[number] = Part(written, now, rate, sender_of(report))

    def take(self, announcement: Announcement, report: Report) -> None:
        """Count a block that has arrived, once."""
        blocks = announcement.blocks
        if blocks is None or blocks.number is None or blocks.number in self.done:
            return
        self.done.add(blocks.number)
        self.parts.pop(blocks.number, None)
        self.written += blocks.length
        ended = units.nanoseconds(report.time_completed) / 1e9
        size = 0 if report.code == _WAS_THERE else blocks.length
        self.recent.append(BlockSent(ended, size, report.seconds or 0.0, sender_of(report)))

    @property
    def bytes(self) -> int:
        """Bytes that are at the destination, as far as was told."""
        return self.written + sum(part.bytes for part in self.parts.values())

    @property
    def last(self) -> float | None:
        """When the last block was written or progress told, in seconds since 1970."""
        told = [part.told for part in self.parts.values()]
        return max([*told, *(block.ended for block in self.recent)], default=None)

    @property
    def rate(self) -> float | None:
        """Bytes per second of the last blocks or else of the parts; None when they do not tell."""
        if not self.recent:
            return sum(part.rate or 0.0 for part in self.parts.values()) or None
        last = max(block.ended for block in self.recent)
        seconds = last - min(block.ended - block.seconds for block in self.recent)
        size = sum(block.size for block in self.recent)
        return size / seconds if seconds > _CLOCK and size else None

    @property
    def senders(self) -> list[str]:
        """The senders of the last blocks and of the parts."""
        of_parts = {part.sender for part in self.parts.values()}
        return sorted({block.sender for block in self.recent} | of_parts)


@dataclass(slots=True)
class Transfer:
    """An announcement, of whatever kind, and what was reported on it.

    ``number``: its position among all announcements that are known.  ``report``: the final one.
    ``trouble``: the last failed attempt, if nothing of it has arrived since; ``since``: when the
    first of these attempts failed.  ``slow``: the report on what limits it, or limited it.
    ``earlier``: the announcement of the same path before it, if that has no final report, either.
    """

    announcement: Announcement
    number: int
    earlier: Transfer | None = None
    report: Report | None = None
    trouble: Report | None = None
    since: str = ""
    progress: Progress | None = None
    slow: Report | None = None

    def take(self, announcement: Announcement, report: Report) -> None:
        """Note a report on it, or on one of its blocks."""
        if announcement.block is None and report.final:
            self.report = report
            self.slow = report if report.why else None
        elif report.under_way:
            self.progress = self.progress or Progress()
            self.progress.note(announcement, report)
            self.trouble, self.since = None, ""
            self.slow = report if report.why else None
        elif announcement.block is not None and report.arrived:
            self.progress = self.progress or Progress()
            self.progress.take(announcement, report)
            self.trouble, self.since = None, ""
        else:
            self.since = self.since or report.time_completed
            self.trouble = report
            if announcement.block is None:  # it begins anew
                self.progress = None

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
            return 0 if self.trouble is not None or self.progress is not None else 1
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
