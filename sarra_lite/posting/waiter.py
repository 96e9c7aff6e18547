"""Waits for the reports on announcements: which files have arrived and which have failed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.broker import report_stream
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.v03 import Announcement, Report

_PREFETCH: Final = 500  # reports delivered and not acknowledged


class ReportWaiter:
    """Reads the user's report stream until each expected file has a final report.

    ``sr_post --wait`` calls ``follow`` on each new connection, before anything is published on it,
    and ``expect`` for each announcement; then it waits until ``waiting`` is 0.  A warning is logged
    for each file that failed or is to be tried again.
    """

    def __init__(self, stream: str) -> None:
        """``stream``: where the reports are."""
        self.arrived = self.failed = self.arrived_bytes = 0
        self.changed = asyncio.Event()  # set when one of these has changed
        self._stream = stream
        # Bytes of each expected file that are not counted in arrived_bytes, by pubTime and relPath.
        self._expected: dict[tuple[str, str], int] = {}
        self._offset: int | str | datetime = "next"
        # One hour earlier, because the broker's clock may differ.
        self._since = datetime.now(UTC) - timedelta(hours=1)
        self.lost = ""  # why no reports come on this connection any more

    @property
    def waiting(self) -> int:
        """Number of files, directories, links, renames and removals without a final report."""
        return len(self._expected)

    async def follow(self, broker: Broker) -> None:
        """Consume the stream on this connection, from where the last connection stopped."""

        def deliver(delivery: Delivery) -> None:
            if delivery.offset is not None:
                self._offset = delivery.offset + 1
            if (found := report_stream.decode_report(delivery)) is not None:
                self._process(*found)
            broker.ack(delivery)

        def on_lost(reason: str) -> None:
            if not broker.lost.is_set():
                self._offset = self._since  # another stream of this name would count from 0 again
            self.lost = reason
            self.changed.set()

        self.lost = ""
        await broker.consume(
            self._stream, deliver, prefetch=_PREFETCH, offset=self._offset, on_lost=on_lost
        )
        if self._offset == "next":  # for the case that this connection is lost before a report
            self._offset = self._since

    def expect(self, announcement: Announcement) -> None:
        """Wait for the final report on this announcement.  Of blocks only the finish counts."""
        if announcement.block is None:
            key = (announcement.pub_time, announcement.rel_path)
            self._expected[key] = announcement.size or 0

    def _process(self, announcement: Announcement, report: Report) -> None:
        key = (announcement.pub_time, announcement.rel_path)
        if key not in self._expected:
            return
        self.changed.set()
        name = units.printable(announcement.rel_path)
        if report.under_way:
            return
        if not report.final:
            log.warning("%s: %s (%d); it will be tried again", name, report.message, report.code)
        elif announcement.block is not None:
            if report.arrived:
                self.arrived_bytes += report.bytes or 0
                self._expected[key] -= report.bytes or 0
        elif report.arrived:
            self.arrived += 1
            self.arrived_bytes += self._expected.pop(key)
        else:
            self.failed += 1
            del self._expected[key]
            log.warning("%s: %s (%d)", name, report.message, report.code)
