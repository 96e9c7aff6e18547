"""The sender's desk: every announcement taken and not yet acknowledged, and what it waits for.

Rule: effect first, record second, acknowledge last.  A delivery is acknowledged when the report on
it is confirmed, never before.  Only the sender's main thread calls this module.
"""

from __future__ import annotations

import heapq
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.broker import report_stream
from sarra_lite.broker.reporter import Reporter, TransferStats
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.dispatch.ordering import PathOrder
from sarra_lite.dispatch.outbox import Confirmed, Outbox
from sarra_lite.dispatch.placement import make_job
from sarra_lite.errors import DestinationFull, MessageError, TransferError
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.dispatch.pool import Done, Down, WorkerPool

log = logging.getLogger("sarra_lite")

_FULL_FIRST: Final = 15.0  # seconds until a full destination is tried again; doubles
_FULL_MOST: Final = 600.0
_BLOCKS_MORE: Final = 3600.0  # seconds that a finish waits longer than any block is tried
_OUTAGE: Final = 300.0  # seconds without the destination until that is reported


@dataclass
class Pending:
    """One announcement on the desk.  ``delivery`` None: the broker has taken it back meanwhile.

    ``waits``: it has been begun, and is to be taken up again after a while.
    """

    job: Job
    delivery: Delivery | None
    begun: float
    attempt: int = 1
    running: bool = False
    waits: bool = False
    hopeless: bool = False
    seconds: float = 0.0
    report: Announcement | None = None


@dataclass
class Tally:
    """What this sender has done since it started; ``expected``: bytes of all that was taken."""

    arrived: int = 0
    failed: int = 0
    taken: int = 0
    expected: int = 0


class Dispatcher:
    """What the sender holds.  It outlives broker connections: work under way goes on meanwhile."""

    def __init__(
        self, config: SenderConfig, lanes: WorkerPool, tell: Callable[[Confirmed], None]
    ) -> None:
        """``tell`` is called in the broker's thread when a report is confirmed, or is not."""
        self.tally = Tally()
        self._config = config
        self._lanes = lanes
        self._outbox = Outbox(config, tell)
        self._reporter = Reporter(config.instance_name)
        self._broker: Broker | None = None
        self._held: dict[Key, Pending] = {}
        self._order: PathOrder[Key] = PathOrder()
        self._timers: list[tuple[float, Key]] = []
        self._suspects: list[tuple[Delivery, Announcement]] = []

    def __len__(self) -> int:
        """Number of announcements that are not acknowledged."""
        return len(self._held) + len(self._suspects) + self._outbox.outstanding

    def attach(self, broker: Broker) -> None:
        """Begin with a fresh connection: it will deliver anew all that was unacknowledged."""
        self._broker = broker
        self._outbox.attach(broker)

    def detach(self) -> None:
        """The connection is gone.  What no lane works on is forgotten: it will come again."""
        self._broker = None
        self._suspects.clear()
        self._timers.clear()
        self._outbox.detach()
        # The latest first, so that nothing is started by what it waited for being dropped.
        for key, held in reversed(list(self._held.items())):
            held.delivery = None
            if not held.running and held.report is None:
                self._drop(key)

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery from the queue."""
        try:
            announcement = v03.decode(delivery.body, delivery.content_type)
        except MessageError as error:
            unreadable = Announcement(pub_time=v03.now(), base_url="", rel_path="")
            self._refuse(delivery, unreadable, TransferError(error.code, str(error)))
            return
        if announcement.report is not None:
            self._outbox.ack(delivery)  # bound to v03.#, we see reports, too
        elif delivery.redelivered:
            self._suspects.append((delivery, announcement))
        else:
            self._enter(delivery, announcement)

    def look_up_suspects(self) -> None:
        """Take up what is delivered a second time, unless it was reported before all the same."""
        if not self._suspects or self._broker is None:
            return
        suspects, self._suspects = self._suspects, []
        announcements = [announcement for _, announcement in suspects]
        codes = report_stream.find_final_reports(
            self._broker, self._config.report_stream, announcements
        )
        for delivery, announcement in suspects:
            if announcement.key in codes:
                self._outbox.ack(delivery)
                if (held := self._held.get(announcement.key)) and not held.running:
                    self._drop(announcement.key)
            else:
                self._enter(delivery, announcement)

    def finished(self, done: Done) -> None:
        """Take what a lane made of a job."""
        key = done.job.announcement.key
        held = self._held[key]
        held.running = False
        held.seconds += done.seconds
        match done.result:
            case Outcome(wait=float(wait)):
                if time.monotonic() > held.begun + 2 * self._config.retry_ttl + _BLOCKS_MORE:
                    self._give_up(held, TransferError(504, "its blocks did not all arrive in time"))
                else:
                    self._again(key, wait)
            case DestinationFull() as full if not held.hopeless:
                self._full(key, held, full)
            case TransferError() as error:
                self._settle(key, held, error.code, str(error), TransferStats())
            case Outcome() as outcome:
                effort = TransferStats(
                    outcome.bytes, outcome.seconds or held.seconds, outcome.identity
                )
                self._settle(key, held, outcome.code, outcome.message, effort)
                self._look_at_finish(key)

    def confirmed(self, event: Confirmed) -> None:
        """The broker has answered to a report: acknowledge what it was about."""
        if not self._outbox.confirmed(event):
            return  # the connection is gone; the broker delivers again
        if event.key is not None and event.key in self._held:
            self._drop(event.key)

    def tick(self) -> float:
        """Start what is due; return the seconds until something may be due again."""
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, key = heapq.heappop(self._timers)
            if (held := self._held.get(key)) and not held.running and held.report is None:
                self._start(held)
        return min(1.0, self._timers[0][0] - now) if self._timers else 1.0

    def outage(self, down: Down) -> None:
        """Report a destination that has been down for long, once, on what waits for it."""
        if not down.lasts(_OUTAGE):
            return
        for held in self._held.values():
            if held.running and held.attempt == 1:
                held.attempt += 1
                report = self._reporter.report(
                    held.job.announcement, 503, down.reason, attempt=1, will_retry=60.0
                )
                self._outbox.report(report)
                return

    @property
    def stuck(self) -> bool:
        """All that is held waits for room at the destination, or for something that does."""
        held = self._held.values()
        return any(h.attempt > 1 for h in held) and not any(
            h.running or h.report is not None for h in held
        )

    def _enter(self, delivery: Delivery, announcement: Announcement) -> None:
        """Put an announcement on the desk, and start it when nothing stands in its way."""
        try:
            job = make_job(self._config, announcement, delivery)
        except (MessageError, TransferError) as error:
            self._refuse(delivery, announcement, error)
            return
        if announcement.key in self._held:  # announced twice, and looked up together
            self._adopt(self._held[announcement.key], delivery)
        elif blocks.should_split(announcement, self._config.blockSize) and _is_there(job):
            self._outbox.cut(delivery, announcement)
        else:
            self._hold(delivery, job)

    def _hold(self, delivery: Delivery, job: Job) -> None:
        announcement, key = job.announcement, job.announcement.key
        held = self._held[key] = Pending(job, delivery, time.monotonic())
        self.tally.taken += 1
        self.tally.expected += _content(announcement)
        paths = [path for path in (job.path, job.old_path) if path]
        operation = announcement.file_op or {}
        if self._order.add(
            key,
            *paths,
            whole="remove" in operation or "rename" in operation,
            first="directory" in operation,
            shared=announcement.blocks is not None,
        ):
            self._start(held)

    def _adopt(self, held: Pending, delivery: Delivery) -> None:
        """Take a new delivery of what is on the desk already."""
        if held.delivery is not None:
            self._outbox.ack(delivery)  # published twice; the other one stays until the report
            return
        held.delivery = delivery
        if held.report is not None:
            self._outbox.report(held.report, delivery, held.job.announcement.key)

    def _start(self, held: Pending) -> None:
        held.running, held.waits = True, False
        self._lanes.submit(held.job)

    def _look_at_finish(self, block: Key) -> None:
        """Have a finish look again at once when the last block of its file here is done."""
        time_and_path = block[:2]
        finish = self._held.get((*time_and_path, None))
        if finish is None or not finish.waits:
            return
        for other, held in self._held.items():
            if other[:2] == time_and_path and held is not finish and held.report is None:
                return
        self._start(finish)

    def _again(self, key: Key, wait: float) -> None:
        if self._held[key].delivery is None:
            self._drop(key)  # the broker gives it to whoever is next
        else:
            self._held[key].waits = True
            heapq.heappush(self._timers, (time.monotonic() + wait, key))

    def _full(self, key: Key, held: Pending, full: DestinationFull) -> None:
        """No room at the destination: try again slowly, at last give up."""
        if self._too_old(held):
            self._give_up(held, full)
            return
        wait = min(_FULL_MOST, _FULL_FIRST * 2 ** (held.attempt - 1))
        report = self._reporter.report(
            held.job.announcement, full.code, str(full), attempt=held.attempt, will_retry=wait
        )
        log.warning("%s: %s; next attempt in %.0f s", _name(held), full, wait)
        self._outbox.report(report)
        held.attempt += 1
        self._again(key, wait)

    def _too_old(self, held: Pending) -> bool:
        return time.monotonic() > held.begun + self._config.retry_ttl

    def _give_up(self, held: Pending, error: TransferError) -> None:
        held.hopeless = held.running = True
        self._lanes.submit(held.job, give_up=error)

    def _settle(self, key: Key, held: Pending, code: int, text: str, effort: TransferStats) -> None:
        """This is the end of it: report, and acknowledge once the report is confirmed."""
        attempt = held.attempt if held.attempt > 1 else None
        announcement = held.job.announcement
        held.report = self._reporter.report(announcement, code, text, effort, attempt=attempt)
        self._count(announcement, held.report.report)
        for freed in self._order.done(key):
            self._start(self._held[freed])
        if held.delivery is not None:
            self._outbox.report(held.report, held.delivery, key)

    def _refuse(
        self, delivery: Delivery, announcement: Announcement, error: MessageError | TransferError
    ) -> None:
        """Report an announcement that no lane will see."""
        report = self._reporter.report(announcement, error.code, str(error))
        self._count(announcement, report.report)
        self._outbox.report(report, delivery)

    def _drop(self, key: Key) -> None:
        """Take an announcement from the desk; what waited for it may start."""
        held = self._held.pop(key)
        if held.report is None:
            for freed in self._order.done(key):
                self._start(self._held[freed])

    def _count(self, announcement: Announcement, report: Report | None) -> None:
        """Keep the tally, and tell people about what failed."""
        if report is None:
            return
        name = units.printable(announcement.rel_path) or "(unreadable announcement)"
        if not report.arrived:
            self.tally.failed += 1
            log.warning("%s: %s (%d)", name, report.message, report.code)
        elif announcement.block is None:
            self.tally.arrived += 1
            log.debug("%s: %s (%d)", name, report.message, report.code)


def _is_there(job: Job) -> bool:
    """Whether the source is as large as announced: a size alone may be anybody's invention."""
    try:
        return os.stat(job.source).st_size == job.announcement.size  # noqa: PTH116  any bytes
    except OSError:
        return False


def _content(announcement: Announcement) -> int:
    """Bytes that will be sent for an announcement."""
    if announcement.blocks is None:
        return announcement.size or 0
    return 0 if announcement.is_finish else announcement.blocks.length


def _name(held: Pending) -> str:
    return units.printable(held.job.announcement.rel_path)
