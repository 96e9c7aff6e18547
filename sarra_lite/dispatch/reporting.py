"""The reports of a sender, and its count of files that arrived and failed."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING

import msgspec

from sarra_lite import units
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Report
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.delivery.job import Outcome
    from sarra_lite.messages.v03 import Announcement


class Reporting:
    """Makes reports that name this host, user and instance; logs and counts the final ones.

    ``expected``: bytes of all that was taken, which the dispatcher counts.
    """

    def __init__(self, instance: str) -> None:
        """``instance``: the name of this process among those of its configuration."""
        self.arrived = self.failed = self.expected = 0
        self._host = socket.gethostname()
        self._instance = instance
        try:
            self._user = getpass.getuser()
        except (KeyError, OSError):  # no entry in passwd, as in some containers
            self._user = "unknown"

    def report(
        self,
        announcement: Announcement,
        outcome: Outcome,
        *,
        attempt: int | None = None,
        will_retry: float | None = None,
    ) -> Announcement:
        """Return the report on an announcement, ready to publish.

        ``will_retry``: seconds until the next attempt; None for a final report.
        """
        seconds, size = outcome.seconds, outcome.bytes
        report = Report(
            code=outcome.code,
            message=units.printable(outcome.message),
            time_completed=v03.now(),
            host=self._host,
            user=self._user,
            instance=self._instance,
            bytes=size,
            seconds=None if seconds is None else round(seconds, 6),
            rate=round(size / seconds / 1e6, 3) if seconds and size else None,
            block=announcement.block,
            identity=outcome.identity,
            attempt=attempt,
            will_retry=will_retry,
        )
        if report.final:
            self._count(announcement, report)
        return msgspec.structs.replace(announcement, report=report)

    def _count(self, announcement: Announcement, report: Report) -> None:
        name = units.printable(announcement.rel_path) or "(unreadable announcement)"
        if not report.arrived:
            self.failed += 1
            log.warning("%s: %s (%d)", name, report.message, report.code)
        elif announcement.block is None:
            self.arrived += 1
            log.debug("%s: %s (%d)", name, report.message, report.code)
