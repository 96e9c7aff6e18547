"""Waiting for reports: which of the files that were announced have arrived, and which failed."""

from __future__ import annotations

import queue
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.broker import report_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.v03 import Announcement, Report

_PREFETCH: Final = 500  # reports under way to us at once


class Waiter:
    """Follows the report stream, from before the first announcement until all are reported."""

    def __init__(self, stream: str, warn: Callable[[str], None]) -> None:
        """``warn`` gets a line for each file that failed, or that is to be tried again."""
        self.arrived = self.failed = self.arrived_bytes = 0
        self._stream = stream
        self._warn = warn
        self._open: dict[tuple[str, str], int] = {}
        self._in_blocks: dict[tuple[str, str], int] = {}
        self._deliveries: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._offset: int | str | datetime = "next"

    @property
    def waiting(self) -> int:
        """Number of files, directories, links and removals not reported yet."""
        return len(self._open)

    def follow(self, broker: Broker) -> None:
        """Read on with this connection where the one before ended."""
        broker.consume(self._stream, self._deliveries.put, prefetch=_PREFETCH, offset=self._offset)
        if self._offset == "next":
            # Where we are if the connection is lost before the first report has come.  An hour of
            # grace, since the broker's clock may be another.
            self._offset = datetime.now(UTC) - timedelta(hours=1)

    def expect(self, announcement: Announcement) -> None:
        """Wait for the final report on this one, too.  Blocks count when their file does."""
        if announcement.block is None:
            key = (announcement.pub_time, announcement.rel_path)
            self._open[key] = announcement.size or 0

    def collect(self, broker: Broker, wait: float) -> None:
        """Take the reports that are there, waiting at most so many seconds for the first."""
        try:
            while True:
                delivery = self._deliveries.get(wait > 0, wait)
                wait = 0.0
                if delivery.offset is not None:
                    self._offset = delivery.offset + 1
                for announcement in report_stream.decode_reports([delivery]):
                    if announcement.report is not None:
                        self._take(announcement, announcement.report)
                broker.ack(delivery)
        except queue.Empty:
            pass

    def _take(self, announcement: Announcement, report: Report) -> None:
        key = (announcement.pub_time, announcement.rel_path)
        if key not in self._open:
            return
        name = units.printable(announcement.rel_path)
        if not report.final:
            self._warn(f"{name}: {report.message} ({report.code}); it will be tried again")
        elif announcement.block is not None:
            if report.arrived:
                self.arrived_bytes += report.bytes or 0
                self._in_blocks[key] = self._in_blocks.get(key, 0) + (report.bytes or 0)
        elif report.arrived:
            self.arrived += 1
            # What its blocks counted before is not counted again.
            self.arrived_bytes += self._open.pop(key) - self._in_blocks.pop(key, 0)
        else:
            self.failed += 1
            self._open.pop(key)
            self._warn(f"{name}: {report.message} ({report.code})")
