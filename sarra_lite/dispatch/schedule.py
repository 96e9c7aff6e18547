"""Announcements in progress, and when the job of each is given to the worker pool."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sarra_lite.dispatch.ordering import PathOrder

if TYPE_CHECKING:
    from sarra_lite.broker.client import Delivery
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.delivery.job import Job
    from sarra_lite.dispatch.pool import WorkerPool
    from sarra_lite.errors import TransferError
    from sarra_lite.messages.v03 import Announcement


@dataclass
class Pending:
    """An announcement in progress.  ``delivery`` None: its broker connection was lost.

    ``waiting``: to be started again by a timer.  ``given_up``: only clean-up is left.  ``report``:
    the final report, published but not confirmed.
    """

    job: Job
    delivery: Delivery | None
    begun: float = field(default_factory=time.monotonic)
    attempt: int = 1
    running: bool = False
    waiting: bool = False
    given_up: bool = False
    seconds: float = 0.0
    report: Announcement | None = None

    def older_than(self, seconds: float) -> bool:
        """Whether it was taken longer ago than this."""
        return time.monotonic() > self.begun + seconds


class Schedule(dict["Key", Pending]):
    """Announcements in progress, in the order in which they were taken.

    Their jobs are given to the worker pool in the order of ``PathOrder``, and again for retries.
    """

    def __init__(self, pool: WorkerPool) -> None:
        """Start without any announcement."""
        super().__init__()
        self._pool = pool
        self._order: PathOrder[Key] = PathOrder()
        self._timers: list[tuple[float, Key]] = []

    def add(self, pending: Pending) -> None:
        """Add an announcement; start its job unless it has to wait for an earlier one."""
        job = pending.job
        key, operation = job.announcement.key, job.announcement.file_op or {}
        self[key] = pending
        if self._order.add(
            key,
            *(path for path in (job.path, job.old_path) if path),
            subtree="remove" in operation or "rename" in operation,
            before_children="directory" in operation,
            concurrent=job.announcement.blocks is not None,
        ):
            self._start(pending)

    def reported(self, key: Key, report: Announcement) -> None:
        """Note the final report of an announcement; start the jobs that waited for it."""
        self[key].report = report
        self._start_unblocked(key)

    def drop(self, key: Key) -> None:
        """Remove an announcement; start the jobs that waited for it."""
        if self.pop(key).report is None:
            self._start_unblocked(key)

    def drop_idle(self) -> None:
        """Remove what no worker is working on, after the broker connection was lost.

        What stays has no delivery any more: the broker redelivers all of it.
        """
        self._timers.clear()
        # The latest first: dropping an earlier one would start the later ones that wait for it.
        for key, pending in reversed(list(self.items())):
            pending.delivery = None
            if not pending.running and pending.report is None:
                self.drop(key)

    def give_up(self, pending: Pending, error: TransferError) -> None:
        """Let a worker clean up at the destination; its result is then the final error."""
        pending.given_up = pending.running = True
        self._pool.submit(pending.job, give_up=error)

    def retry_later(self, key: Key, wait: float) -> None:
        """Start a job again after ``wait`` seconds; drop it if the broker redelivers it anyway."""
        if self[key].delivery is None:
            self.drop(key)
        else:
            self[key].waiting = True
            heapq.heappush(self._timers, (time.monotonic() + wait, key))

    def start_due(self) -> float:
        """Start jobs whose retry time has come; return the seconds until the next, at most 1."""
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, key = heapq.heappop(self._timers)
            pending = self.get(key)
            if pending is not None and not pending.running and pending.report is None:
                self._start(pending)
        return min(1.0, self._timers[0][0] - now) if self._timers else 1.0

    def start_finish_after(self, block: Key) -> None:
        """Start a file's finish at once when none of its blocks is in progress in this process."""
        file = block[:2]
        finish = self.get((*file, None))
        if finish is None or not finish.waiting:
            return
        for key, pending in self.items():
            if key[:2] == file and pending is not finish and pending.report is None:
                return
        self._start(finish)

    def _start(self, pending: Pending) -> None:
        pending.running, pending.waiting = True, False
        self._pool.submit(pending.job)

    def _start_unblocked(self, key: Key) -> None:
        for unblocked in self._order.done(key):
            self._start(self[unblocked])
