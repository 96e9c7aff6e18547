"""Waits for the reports on announcements: which files have arrived and which have failed."""

from __future__ import annotations

import contextlib
import queue
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.broker import report_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.v03 import Announcement

_PREFETCH: Final = 500  # reports delivered and not acknowledged


class ReportWaiter:
    """Reads the user's report stream until each expected file has a final report.

    ``sr_post --wait`` uses it from one thread: ``follow`` on each new connection, before anything
    is published on it, ``expect`` for each announcement, then ``collect`` until ``waiting`` is 0.
    """

    def __init__(self, stream: str, warn: Callable[[str], None]) -> None:
        """Call ``warn`` with a line for each file that failed or is to be tried again."""
        self.arrived = self.failed = self.arrived_bytes = 0
        self._stream = stream
        self._warn = warn
        # Bytes of each expected file that are not counted in arrived_bytes, by pubTime and relPath.
        self._expected: dict[tuple[str, str], int] = {}
        self._deliveries: queue.SimpleQueue[tuple[Broker, Delivery]] = queue.SimpleQueue()
        self._offset: int | str | datetime = "next"

    @property
    def waiting(self) -> int:
        """Number of files, directories, links, renames and removals without a final report."""
        return len(self._expected)

    def follow(self, broker: Broker) -> None:
        """Consume the stream on this connection, from where the last connection stopped."""

        def deliver(delivery: Delivery) -> None:
            self._deliveries.put((broker, delivery))

        broker.consume(self._stream, deliver, prefetch=_PREFETCH, offset=self._offset)
        if self._offset == "next":
            # Offset for the case that this connection is lost before the first report.  One hour
            # earlier, because the broker's clock may differ.
            self._offset = datetime.now(UTC) - timedelta(hours=1)

    def expect(self, announcement: Announcement) -> None:
        """Wait for the final report on this announcement.  Of blocks only the finish counts."""
        if announcement.block is None:
            key = (announcement.pub_time, announcement.rel_path)
            self._expected[key] = announcement.size or 0

    def collect(self, wait: float) -> None:
        """Process all delivered reports; wait up to ``wait`` seconds for the first one."""
        with contextlib.suppress(queue.Empty):
            while True:
                broker, delivery = self._deliveries.get(wait > 0, wait)
                wait = 0.0
                if delivery.offset is not None:
                    self._offset = delivery.offset + 1
                for announcement in report_stream.decode_reports([delivery]):
                    self._process(announcement)
                broker.ack(delivery)

    def _process(self, announcement: Announcement) -> None:
        key = (announcement.pub_time, announcement.rel_path)
        report = announcement.report
        if report is None or key not in self._expected:
            return
        name = units.printable(announcement.rel_path)
        if not report.final:
            self._warn(f"{name}: {report.message} ({report.code}); it will be tried again")
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
            self._warn(f"{name}: {report.message} ({report.code})")
