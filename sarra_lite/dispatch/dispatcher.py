"""The dispatcher of a sender: what happens to each announcement from delivery to acknowledgement.

It makes jobs of announcements, reports their results, decides about retries, and acknowledges a
delivery when the broker has confirmed its final report; duplicates, stray reports and what has a
final report already are acknowledged at once.  All of it runs on the
sender's main thread.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.broker.reporter import TransferStats
from sarra_lite.delivery.job import Outcome
from sarra_lite.dispatch.placement import make_job
from sarra_lite.dispatch.reporting import Reporting
from sarra_lite.dispatch.schedule import Pending, Schedule
from sarra_lite.errors import DestinationFull, MessageError, TransferError
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.delivery.job import Job
    from sarra_lite.dispatch.broker_link import BrokerLink, Confirmed
    from sarra_lite.dispatch.pool import Done, Down, WorkerPool

log = logging.getLogger("sarra_lite")

_FULL_FIRST: Final = 15.0  # seconds until a full destination is tried again; doubles
_FULL_MAX: Final = 600.0
_FINISH_EXTRA: Final = 3600.0  # seconds that a finish still waits after twice retry_ttl
_LONG_OUTAGE: Final = 300.0  # seconds without the destination until that is reported


class Dispatcher:
    """Handles announcements in progress; jobs go on while the broker connection is away."""

    def __init__(self, config: SenderConfig, pool: WorkerPool, link: BrokerLink) -> None:
        """``pool`` carries out jobs, ``link`` publishes and acknowledges."""
        self._config = config
        self._link = link
        self._schedule = Schedule(pool)
        self._reporting = Reporting(config.instance_name, link)
        self._redelivered: list[tuple[Delivery, Announcement]] = []
        self.tally = self._reporting.tally

    def __len__(self) -> int:
        """Number of announcements that are not acknowledged."""
        return len(self._schedule) + len(self._redelivered) + self._link.outstanding

    def attach(self, broker: Broker) -> None:
        """Use a new connection: the broker delivers again all that was not acknowledged."""
        self._link.attach(broker)

    def detach(self) -> None:
        """Handle a lost connection: forget what no worker is working on; all is redelivered."""
        self._link.detach()
        self._redelivered.clear()
        self._schedule.drop_idle()

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery from the queue; a redelivered one waits for ``check_redelivered``."""
        try:
            announcement = v03.decode(delivery.body, delivery.content_type)
        except MessageError as error:
            unreadable = Announcement(pub_time=v03.now(), base_url="", rel_path="")
            self._reporting.rejected(delivery, unreadable, error)
            return
        if announcement.report is not None:
            self._link.ack(delivery)  # a queue bound to v03.# gets reports as well
        elif delivery.redelivered:
            self._redelivered.append((delivery, announcement))
        else:
            self._accept(delivery, announcement)

    def check_redelivered(self) -> None:
        """Accept redelivered announcements, except those that have a final report already."""
        if not self._redelivered:
            return
        redelivered, self._redelivered = self._redelivered, []
        codes = self._link.find_final_reports([announcement for _, announcement in redelivered])
        for delivery, announcement in redelivered:
            key = announcement.key
            if key not in codes:
                self._accept(delivery, announcement)
                continue
            self._link.ack(delivery)
            if key in self._schedule and not self._schedule[key].running:
                self._schedule.drop(key)

    def finished(self, done: Done) -> None:
        """Handle the result of a job: report it, or schedule the next attempt."""
        key = done.job.announcement.key
        pending = self._schedule[key]
        pending.running = False
        pending.seconds += done.seconds
        match done.result:
            case Outcome(wait=float(wait)):
                if pending.older_than(2 * self._config.retry_ttl + _FINISH_EXTRA):
                    error = TransferError(504, "its blocks did not all arrive in time")
                    self._schedule.give_up(pending, error)
                else:
                    self._schedule.retry_later(key, wait)
            case DestinationFull() as full if not pending.given_up:
                self._destination_full(key, pending, full)
            case TransferError() as error:
                self._report_final(key, pending, error.code, str(error), TransferStats())
            case Outcome() as outcome:
                seconds = outcome.seconds or pending.seconds
                stats = TransferStats(outcome.bytes, seconds, outcome.identity)
                self._report_final(key, pending, outcome.code, outcome.message, stats)
                self._schedule.start_finish_after(key)

    def confirmed(self, event: Confirmed) -> None:
        """Acknowledge the delivery of a confirmed report; after a lost one it is redelivered."""
        if self._link.confirmed(event) and event.key is not None and event.key in self._schedule:
            self._schedule.drop(event.key)

    def start_due(self) -> float:
        """Start jobs whose retry time has come; return the seconds until the next, at most 1."""
        return self._schedule.start_due()

    def outage(self, down: Down) -> None:
        """Report a long outage of the destination once, on one of the running jobs."""
        if not down.lasts(_LONG_OUTAGE):
            return
        for pending in self._schedule.values():
            if pending.running and pending.attempt == 1:
                pending.attempt += 1
                self._reporting.retry(pending.job.announcement, 503, down.reason, 1, 60.0)
                return

    @property
    def waiting_for_space(self) -> bool:
        """Whether all that is in progress waits for space at the destination."""
        pending = self._schedule.values()
        return any(one.attempt > 1 for one in pending) and not any(
            one.running or one.report is not None for one in pending
        )

    def _accept(self, delivery: Delivery, announcement: Announcement) -> None:
        """Make a job of an announcement, or announce the blocks of a large file instead."""
        try:
            job = make_job(self._config, announcement, delivery)
        except (MessageError, TransferError) as error:
            self._reporting.rejected(delivery, announcement, error)
            return
        if announcement.key in self._schedule:
            self._take_over(self._schedule[announcement.key], delivery)
        elif blocks.should_split(announcement, self._config.blockSize) and _has_size(job):
            self._link.announce_blocks(delivery, announcement)
        else:
            self.tally.expected += job.content_bytes
            self._link.count_taken(job.content_bytes)
            self._schedule.add(Pending(job, delivery))

    def _take_over(self, pending: Pending, delivery: Delivery) -> None:
        """Continue with a new delivery of an announcement that is in progress."""
        if pending.delivery is not None:
            self._link.ack(delivery)  # published twice: the first delivery is kept until the report
            return
        pending.delivery = delivery
        if pending.report is not None:
            self._link.report(pending.report, delivery, pending.job.announcement.key)

    def _destination_full(self, key: Key, pending: Pending, full: DestinationFull) -> None:
        """Report that there is no space; retry with growing delays until ``retry_ttl``."""
        if pending.older_than(self._config.retry_ttl):
            self._schedule.give_up(pending, full)
            return
        wait = min(_FULL_MAX, _FULL_FIRST * 2 ** (pending.attempt - 1))
        announcement = pending.job.announcement
        name = units.printable(announcement.rel_path)
        log.warning("%s: %s; next attempt in %.0f s", name, full, wait)
        self._reporting.retry(announcement, full.code, str(full), pending.attempt, wait)
        pending.attempt += 1
        self._schedule.retry_later(key, wait)

    def _report_final(
        self, key: Key, pending: Pending, code: int, text: str, stats: TransferStats
    ) -> None:
        """Publish the final report; the delivery is acknowledged when it is confirmed."""
        announcement = pending.job.announcement
        report = self._reporting.final(announcement, code, text, stats, pending.attempt)
        self._schedule.reported(key, report)
        if pending.delivery is not None:
            self._link.report(report, pending.delivery, key)


def _has_size(job: Job) -> bool:
    """Whether the source has the announced size, before many blocks are announced because of it."""
    try:
        return os.stat(job.source).st_size == job.announcement.size  # noqa: PTH116  any bytes
    except OSError:
        return False
