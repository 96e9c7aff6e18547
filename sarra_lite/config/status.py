"""Options of sr_status."""

from __future__ import annotations

from typing import ClassVar

from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig


class StatusConfig(BrokerConfig):
    """Options of sr_status.

    queueName: Queue that the senders read. Default: q_<user>_default.
    reportStream: Stream that keeps the user's announcements and reports. Default: q_<user>_reports.
    """

    component: ClassVar[str] = "status"
    borrows: ClassVar[tuple[str, ...]] = ("sender", "post")
    borrowed: ClassVar[tuple[str, ...]] = ("queueName", "reportStream")
    queueName: str | None = option(default=None, example='"q_uearnest_science"')
    reportStream: str | None = option(default=None, example='"q_uearnest_reports"')

    @property
    def queue(self) -> str:
        """Queue that the senders read."""
        return self.queueName or f"q_{self.broker.user}_{self.name}"

    @property
    def report_stream(self) -> str:
        """Stream of the user's announcements and reports."""
        return self.reportStream or f"q_{self.broker.user}_reports"
