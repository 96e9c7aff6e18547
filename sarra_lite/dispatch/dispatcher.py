"""The dispatcher of a sender: what happens to each announcement from delivery to acknowledgement.

A delivery is acknowledged when the broker has confirmed its final report; duplicates, stray reports
and what has a final report already at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import structs

from sarra_lite import units
from sarra_lite.delivery.job import Outcome
from sarra_lite.delivery.source import has_size
from sarra_lite.dispatch.lookups import Lookups
from sarra_lite.dispatch.placement import make_job, with_author
from sarra_lite.dispatch.reporting import Reporting, last_resort
from sarra_lite.dispatch.retries import is_overdue, seconds_until_retry
from sarra_lite.dispatch.schedule import Pending, Schedule
from sarra_lite.errors import (
    BrokerError,
    DestinationFull,
    MessageError,
    ServerFailure,
    TransferError,
)
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.delivery.job import Job
    from sarra_lite.dispatch.broker_link import BrokerLink
    from sarra_lite.dispatch.pool import Done, Down, UnderWay, WorkerPool
    from sarra_lite.dispatch.slowness import Slowness

_LONG_OUTAGE: Final = 300.0  # seconds without the destination until that is reported


class Dispatcher:
    """Handles announcements in progress; jobs go on while the broker connection is away."""

    def __init__(self, config: SenderConfig, pool: WorkerPool, link: BrokerLink) -> None:
        """``pool`` carries out jobs, ``link`` publishes and acknowledges."""
        self._config = config
        self._link = link
        self._schedule = Schedule(pool)
        self.reporting = Reporting(config.instance_name, lambda: pool.reason)
        self._lookups = Lookups(link.failure)

    def __len__(self) -> int:
        """Number of announcements that are not acknowledged."""
        return self._schedule.held + len(self._lookups) + self._link.outstanding

    @property
    def files(self) -> int:
        """Number of files in progress; the blocks of a file are one."""
        pending = self._schedule.values()
        return len({one.key[:2] for one in pending if one.report is None})

    async def attach(self, broker: Broker) -> None:
        """Use a new connection: the broker delivers again all that was not acknowledged."""
        await self._link.attach(broker)

    def detach(self) -> None:
        """Handle a lost connection: forget what no worker is working on; all is redelivered."""
        self._link.detach()
        self._lookups.cancel()
        self._schedule.drop_idle()

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery from the queue; a redelivered one waits for ``check_redelivered``."""
        unreadable = Announcement(pub_time=v03.now(), base_url="", rel_path="")
        with last_resort(partial(self._give_up, delivery, unreadable)):
            try:
                announcement = v03.decode(delivery.body, delivery.content_type)
            except MessageError as error:
                named = structs.replace(unreadable, rel_path=error.rel_path)
                self._reject(delivery, named, error)
                return
            with last_resort(partial(self._give_up, delivery, announcement)):
                self._sort(delivery, announcement)

    def _sort(self, delivery: Delivery, announcement: Announcement) -> None:
        pending = self._schedule.get(announcement.key)
        if announcement.report is not None:
            self._link.ack(delivery)  # a queue bound to v03.# gets reports as well
        elif delivery.redelivered and (pending is None or not pending.running):
            self._lookups.add_redelivered(delivery, announcement)
        else:  # if it is redelivered, a worker is working on it: it has no final report
            self._accept(delivery, announcement)

    def check_redelivered(self) -> None:
        """Look up, in a task, whether redelivered announcements have a final report already."""
        self._lookups.check_redelivered(self._accept_unreported)

    async def _accept_unreported(self, redelivered: list[tuple[Delivery, Announcement]]) -> None:
        """Accept the redelivered announcements that have no final report, acknowledge the others.

        When the connection is lost, the main loop of the sender raises the error, too.
        """
        reported = await self._link.find_final_reports([one for _, one in redelivered])
        with contextlib.suppress(BrokerError):
            for delivery, announcement in redelivered:
                if announcement.key not in reported:
                    with last_resort(partial(self._give_up, delivery, announcement)):
                        self._accept(delivery, announcement)
                    continue
                self._link.ack(delivery)
                pending = self._schedule.get(announcement.key)
                if pending is not None and not pending.running:
                    self._schedule.drop(pending)

    def _give_up(self, delivery: Delivery | None, one: Announcement, bug: TransferError) -> None:
        """Report that one message met a bug; forget what was made of it."""
        pending = self._schedule.get(one.key)
        if pending is not None and not pending.running:
            self._schedule.drop(pending)
        if delivery is not None:
            self._reject(delivery, one.bare, bug)

    def finished(self, done: Done) -> None:
        """Handle the result of a job: report it, or schedule the next attempt."""
        pending = self._schedule[done.job.announcement.key]
        pending.running = False
        pending.seconds += done.seconds
        with last_resort(partial(self._give_up, pending.delivery, done.job.announcement)):
            self._conclude(pending, done)

    def _conclude(self, pending: Pending, done: Done) -> None:
        match done.result:
            case Outcome(wait=float(wait), idle=idle):
                if is_overdue(pending, idle, self._config.retry_ttl):
                    error = TransferError(504, "its blocks did not all arrive in time")
                    self._schedule.give_up(pending, error)
                else:
                    self._schedule.retry_later(pending, wait)
            case DestinationFull() | ServerFailure() as error if pending.job.given_up is None:
                self._retry(pending, error)
            case TransferError() as error:
                self._report_final(pending, Outcome(error.code, str(error)), None)
            case Outcome() as outcome:
                job, message = pending.job, outcome.message + pending.job.remark
                seconds = self.reporting.duration(job.announcement, outcome, pending.seconds)
                outcome = replace(outcome, message=message, seconds=seconds)
                self._report_final(pending, outcome, done.slowness)
                self._schedule.start_finish_after(pending)

    def progressed(self, told: UnderWay) -> None:
        """Publish how far a job has come; its final report will follow."""
        pending = self._schedule.get(told.job.announcement.key)
        if pending is not None and pending.running and pending.delivery is not None:
            self._link.report(self.reporting.under_way(told, pending.attempt_told))

    def outage(self, down: Down) -> None:
        """Report a long outage of the destination once, on one of the running jobs."""
        if not down.lasts(_LONG_OUTAGE):
            return
        for pending in self._schedule.values():
            if pending.running and pending.attempt == 1:
                self._report_retry(pending, Outcome(503, down.reason), 60.0)
                return

    @property
    def waiting_for_destination(self) -> bool:
        """Whether all waits for space, or for a server that fails for longer than ``timeout``."""
        return self._schedule.waits_for_destination(self._config.timeout)

    def _accept(self, delivery: Delivery, announcement: Announcement) -> None:
        """Make a job of an announcement, or announce the blocks of a large file instead."""
        try:
            job = make_job(self._config, announcement, delivery)
        except (MessageError, TransferError) as error:
            self._reject(delivery, announcement, error)
            return
        # The blocks would be ours, and no more be known as announced by another user.
        large = job.root is None and blocks.should_split(announcement, self._config.blockSize)
        if large and announcement.key not in self._schedule:
            self._lookups.start(self._split(delivery, job), 1)
        else:
            self._add(delivery, job)

    async def _split(self, delivery: Delivery, job: Job) -> None:
        """Announce the blocks of a large file, unless its size is an invention."""
        # Before many blocks are announced because of it.
        real = await asyncio.to_thread(has_size, job.source, job.announcement.size)
        give_up = partial(self._give_up, delivery, job.announcement)
        with contextlib.suppress(BrokerError), last_resort(give_up):
            if real:
                self._link.announce_blocks(delivery, job.announcement)
            else:
                self._add(delivery, job)

    def _add(self, delivery: Delivery, job: Job) -> None:
        """Add a job, or continue with a new delivery of an announcement that is in progress."""
        pending = self._schedule.get(job.announcement.key)
        if pending is None:
            self.reporting.expected += job.content_bytes
            self._link.count_taken(job.content_bytes)
            self._schedule.add(Pending(job, delivery))
        elif pending.delivery is not None:
            self._link.ack(delivery)  # published twice: the first delivery is kept until the report
        else:
            pending.delivery = delivery
            self._publish_report(pending)

    def _retry(self, pending: Pending, error: DestinationFull | ServerFailure) -> None:
        """Report a failed attempt and make the next one later, or give up."""
        wait = seconds_until_retry(pending, error, self._config.retry_ttl)
        if wait is None:
            self._schedule.give_up(pending, error)
            return
        name = units.printable(pending.job.announcement.rel_path)
        log.warning("%s: %s; next attempt in %.0f s", name, error, wait)
        self._report_retry(pending, Outcome(error.code, str(error)), wait)
        self._schedule.retry_later(pending, wait)

    def _report_retry(self, pending: Pending, outcome: Outcome, wait: float) -> None:
        """Publish that an attempt failed, and that the next one follows in ``wait`` seconds."""
        one, attempt = pending.job.announcement, pending.attempt
        self._link.report(self.reporting.report(one, outcome, attempt=attempt, will_retry=wait))
        pending.attempt += 1

    def _reject(
        self, delivery: Delivery, announcement: Announcement, error: MessageError | TransferError
    ) -> None:
        """Publish the final report on an announcement that does not become a job."""
        outcome = Outcome(error.code, str(error))
        announcement = with_author(self._config, announcement, delivery)
        self._link.report(self.reporting.report(announcement, outcome), delivery)

    def _report_final(self, pending: Pending, outcome: Outcome, slow: Slowness | None) -> None:
        """Publish the final report; the delivery is acknowledged when it is confirmed."""
        one, attempt = pending.job.announcement, pending.attempt_told
        report = self.reporting.report(one, outcome, attempt=attempt, slowness=slow)
        self._schedule.reported(pending, report)
        self._publish_report(pending)

    def _publish_report(self, pending: Pending) -> None:
        """Publish the final report, if there is one, and a delivery to acknowledge after it."""
        if pending.report is not None and pending.delivery is not None:
            drop = partial(self._schedule.drop, pending)
            self._link.report(pending.report, pending.delivery, drop)
