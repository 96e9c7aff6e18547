"""Announcements in progress, and when the job of each is given to the worker pool."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sarra_lite import units
from sarra_lite.dispatch.ordering import PathOrder

if TYPE_CHECKING:
    from sarra_lite.broker.client import Delivery
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.delivery.job import Job
    from sarra_lite.dispatch.pool import WorkerPool
    from sarra_lite.errors import ServerFailure, TransferError
    from sarra_lite.messages.v03 import Announcement


@dataclass
class Pending:
    """An announcement in progress.  ``delivery`` None: its broker connection was lost.

    ``waiting``: to be started again by a timer.  ``report``: the final report, published but not
    confirmed.  ``failures``: how many connections were opened, each after the last of these had
    failed, that failed to do it as well; since ``failing_since`` (monotonic seconds).
    """

    job: Job
    delivery: Delivery | None
    begun: float = field(default_factory=time.monotonic)
    attempt: int = 1
    running: bool = False
    waiting: bool = False
    failures: int = 0
    failing_since: float = math.inf
    seconds: float = 0.0
    _last_failure: float = 0.0
    report: Announcement | None = None

    @property
    def key(self) -> Key:
        """The key of its announcement."""
        return self.job.announcement.key

    @property
    def attempt_told(self) -> int | None:
        """The number of the attempt, if it is not the first one."""
        return self.attempt if self.attempt > 1 else None

    def count_failure(self, failure: ServerFailure) -> None:
        """Note that a connection failed to do it, unless it was open at the last failure."""
        if failure.connected_at > self._last_failure:
            self.failures += 1
        self._last_failure = time.monotonic()
        self.failing_since = min(self.failing_since, self._last_failure)

    def failed_within(self, seconds: float) -> bool:
        """Whether it failed, and for the first time since less than this."""
        return time.monotonic() - seconds < self.failing_since < math.inf

    def older_than(self, seconds: float) -> bool:
        """Whether it was announced, or taken, longer ago than this."""
        announced = units.nanoseconds(self.job.announcement.pub_time) / 1e9
        return max(time.time() - announced, time.monotonic() - self.begun) > seconds

    @property
    def taken_over(self) -> bool:
        """Whether it is done, but the queue has given it to another sender since."""
        return self.delivery is None and self.report is not None


class Schedule(dict["Key", Pending]):
    """Announcements in progress, in the order in which they were taken.

    Their jobs are given to the worker pool in the order of ``PathOrder``, and again for retries.
    """

    def __init__(self, pool: WorkerPool) -> None:
        """Start without any announcement."""
        super().__init__()
        self._pool = pool
        self._order: PathOrder[Key] = PathOrder()

    @property
    def held(self) -> int:
        """Number of announcements that are in progress here."""
        return sum(not one.taken_over for one in self.values())

    def add(self, pending: Pending) -> None:
        """Add an announcement; start its job unless it has to wait for an earlier one."""
        job = pending.job
        operation = job.announcement.file_op or {}
        at_once = self._order.add(
            pending.key,
            *(path for path in (job.path, job.old_path) if path),
            subtree="remove" in operation or "rename" in operation,
            before_children="directory" in operation,
            concurrent=job.announcement.blocks is not None,
        )
        self[pending.key] = pending
        if at_once:
            self._start(pending)

    def reported(self, pending: Pending, report: Announcement) -> None:
        """Note the final report of an announcement; start the jobs that waited for it."""
        pending.report = report
        self._start_unblocked(pending.key)

    def drop(self, pending: Pending) -> None:
        """Remove an announcement, unless it was removed; start the jobs that waited for it."""
        if self.get(pending.key) is pending:
            del self[pending.key]
            if pending.report is None:
                self._start_unblocked(pending.key)

    def drop_idle(self) -> None:
        """Remove what no worker is working on, after the broker connection was lost.

        What stays has no delivery any more: the broker redelivers all of it.
        """
        # The latest first: dropping an earlier one would start the later ones that wait for it.
        for pending in reversed(list(self.values())):
            taken_over, pending.delivery = pending.taken_over, None
            if taken_over or (not pending.running and pending.report is None):
                self.drop(pending)

    def give_up(self, pending: Pending, error: TransferError) -> None:
        """Let a worker clean up at the destination; its result is then the final error.

        What the broker redelivers anyway is dropped: another sender may be working on it.
        """
        if pending.delivery is None:
            self.drop(pending)
            return
        pending.job = replace(pending.job, given_up=error)
        self._start(pending)

    def retry_later(self, pending: Pending, wait: float) -> None:
        """Start a job again after ``wait`` seconds; drop it if the broker redelivers it anyway."""
        if pending.delivery is None:
            self.drop(pending)
        else:
            pending.waiting = True
            asyncio.get_running_loop().call_later(wait, self._retry, pending)

    def start_finish_after(self, block: Pending) -> None:
        """Start a file's finish at once when none of its blocks is in progress in this process."""
        file = block.key[:2]
        finish = self.get((*file, None))
        if finish is not None and finish.waiting:
            others = (one for key, one in self.items() if key[:2] == file and one is not finish)
            if all(one.report is not None for one in others):
                self._start(finish)

    def waits_for_destination(self, timeout: float) -> bool:
        """Return whether all waits for space, or for a server that fails for long.

        For long: as long as the server may be unreachable, ``timeout`` seconds.
        """
        return any(one.attempt > 1 for one in self.values()) and not any(
            one.running or one.report is not None or one.failed_within(timeout)
            for one in self.values()
            if not one.taken_over
        )

    def _retry(self, pending: Pending) -> None:
        if pending.waiting and self.get(pending.key) is pending:
            self._start(pending)

    def _start(self, pending: Pending) -> None:
        pending.running, pending.waiting = True, False
        self._pool.submit(pending.job)

    def _start_unblocked(self, key: Key) -> None:
        for unblocked in self._order.done(key):
            self._start(self[unblocked])
