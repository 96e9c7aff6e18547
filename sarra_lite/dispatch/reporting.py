"""Reports that a sender publishes, and its count of files that arrived and failed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarra_lite import units
from sarra_lite.broker.reporter import Reporter, TransferStats

if TYPE_CHECKING:
    from sarra_lite.broker.client import Delivery
    from sarra_lite.dispatch.broker_link import BrokerLink
    from sarra_lite.errors import MessageError, TransferError
    from sarra_lite.messages.v03 import Announcement

log = logging.getLogger("sarra_lite")


@dataclass
class Tally:
    """What this sender did since it started; ``expected``: bytes of all that was taken."""

    arrived: int = 0
    failed: int = 0
    expected: int = 0


class Reporting:
    """Makes reports, logs and counts what they say, and publishes them."""

    def __init__(self, instance: str, link: BrokerLink) -> None:
        """``instance``: see ``Reporter``."""
        self.tally = Tally()
        self._reporter = Reporter(instance)
        self._link = link

    def final(
        self, announcement: Announcement, code: int, text: str, stats: TransferStats, attempt: int
    ) -> Announcement:
        """Return the final report on an announcement, counted but not published."""
        shown = attempt if attempt > 1 else None
        report = self._reporter.report(announcement, code, text, stats, attempt=shown)
        self._count(report)
        return report

    def rejected(
        self, delivery: Delivery, announcement: Announcement, error: MessageError | TransferError
    ) -> None:
        """Publish the final report on an announcement that never became a job."""
        report = self._reporter.report(announcement, error.code, str(error))
        self._count(report)
        self._link.report(report, delivery)

    def retry(
        self, announcement: Announcement, code: int, text: str, attempt: int, wait: float
    ) -> None:
        """Publish that an attempt failed, and that the next one follows in ``wait`` seconds."""
        report = self._reporter.report(announcement, code, text, attempt=attempt, will_retry=wait)
        self._link.report(report)

    def _count(self, announcement: Announcement) -> None:
        report = announcement.report
        if report is None:
            return
        name = units.printable(announcement.rel_path) or "(unreadable announcement)"
        if not report.arrived:
            self.tally.failed += 1
            log.warning("%s: %s (%d)", name, report.message, report.code)
        elif announcement.block is None:
            self.tally.arrived += 1
            log.debug("%s: %s (%d)", name, report.message, report.code)
