"""The worker pool of a sender: hands out jobs to its connections and chooses their number."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarra_lite.delivery.work_stealing import SharedRanges
from sarra_lite.dispatch import autoscale
from sarra_lite.dispatch.worker import Done, Task, Worker
from sarra_lite.errors import DestinationRefused, SarraError, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.sftp.client import SftpClient

__all__ = ["Done", "Down", "Fatal", "WorkerPool"]

log = logging.getLogger("sarra_lite")


@dataclass(frozen=True)
class Down:
    """The destination is unreachable since ``since`` (monotonic seconds), or, if None, back."""

    since: float | None
    reason: str

    def lasts(self, seconds: float) -> bool:
        """Whether the outage has lasted longer than this."""
        return self.since is not None and time.monotonic() - self.since > seconds


@dataclass(frozen=True)
class Fatal:
    """No worker can ever work: wrong host key, login refused, or a bug of ours."""

    error: Exception


class WorkerPool:
    """Workers, one a connection, and the queue of tasks that they share.

    ``shared``: blocks from which idle workers steal.
    """

    def __init__(
        self,
        count: int,
        connect: Callable[[], SftpClient],
        rate_limit: RateLimit,
        on_event: Callable[[Done | Down | Fatal], None],
        on_written: Callable[[int], None],
    ) -> None:
        """``count`` 0: choose the number of connections by round-trip time and throughput.

        ``connect`` makes a connection; the callbacks run in the workers' threads.
        """
        self.shared = SharedRanges(self._wake_idle)
        self._on_event = on_event
        self._on_written = on_written
        self._tasks: deque[Task] = deque()
        self._down_since: float | None = None
        self._ever_up = False
        self._lock = threading.Lock()
        self._automatic = count == 0
        self._round_trip_known = False
        self._autoscaler = autoscale.Autoscaler()
        self._connect = connect
        self._rate_limit = rate_limit
        self._workers: list[Worker] = []
        self._resize(count or autoscale.FEWEST)

    def submit(self, job: Job, *, give_up: TransferError | None = None) -> None:
        """Hand a job to the next idle worker; ``give_up``: see ``Task``."""
        self._tasks.append(Task(job, give_up))
        for worker in self._workers:
            if worker.idle:
                worker.idle = False
                worker.wake()
                return

    def close(self, grace: float) -> None:
        """Stop all workers within ``grace`` seconds; the next run resumes files in progress.

        Connections that do not end by then are cut.
        """
        with self._lock:
            self._automatic = False
        for worker in self._workers:
            worker.stop.set()
            worker.wake()
        deadline = time.monotonic() + grace
        for worker in self._workers:
            worker.join(deadline - time.monotonic())
            worker.disconnect()
        for worker in self._workers:
            worker.join(1.0)

    # Called by workers, each in its thread.

    def take(self) -> Task | None:
        """Return the next task; None when there is none."""
        try:
            return self._tasks.popleft()
        except IndexError:
            return None

    def has_tasks(self) -> bool:
        """Whether there is a next task."""
        return bool(self._tasks)

    def put_back(self, task: Task) -> None:
        """Return a task that was not done to the head of the queue."""
        self._tasks.appendleft(task)

    def done(self, done: Done) -> None:
        """Pass on the result of a task."""
        self._on_event(done)

    def written(self, count: int) -> None:
        """Count bytes that the server has confirmed, and adapt the number of connections."""
        self._on_written(count)
        if not self._automatic or self._autoscaler.settled:
            return
        with self._lock:
            size = len(self._active())
            backlog = self._round_trip_known and bool(self._tasks)
            change = self._autoscaler.count(count, time.monotonic(), size, backlog=backlog)
            if change and self._automatic:
                log.info("connections: %d, now %d", size, size + change)
                self._resize(size + change)

    def slow_login(self) -> None:
        """Open more connections before the first one is ready: the round-trip time seems long."""
        with self._lock:
            if self._automatic and not self._round_trip_known and self._tasks:
                self._resize(autoscale.WHILE_CONNECTING)

    def up(self, client: SftpClient) -> None:
        """Note that a connection is open; have as many as its round-trip time asks for."""
        with self._lock:
            self._ever_up = True
            was_down, self._down_since = self._down_since is not None, None
            if self._automatic and not self._round_trip_known:
                self._round_trip_known = True
                self._resize(autoscale.connections_for(client.round_trip))
        if was_down:
            self._on_event(Down(None, ""))

    def down(self, error: SarraError) -> None:
        """Note that the destination is unreachable.

        Raises DestinationRefused when no login has ever succeeded.
        """
        with self._lock:
            if isinstance(error, DestinationRefused) and not self._ever_up:
                raise error
            first, self._down_since = self._down_since is None, self._down_since or time.monotonic()
            since = self._down_since
        (log.warning if first else log.info)("destination down, trying again: %s", error)
        self._on_event(Down(since, str(error)))

    def fatal(self, error: Exception) -> None:
        """Pass on that a worker can never work."""
        self._on_event(Fatal(error))

    def _wake_idle(self) -> None:
        """Wake idle workers: there is a block to steal from."""
        for worker in self._workers:
            if worker.idle:
                worker.wake()

    def _active(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.retired]

    def _resize(self, count: int) -> None:
        """Start or retire workers until so many take tasks."""
        active = self._active()
        for worker in active[count:]:
            worker.retired = True
            worker.wake()
        for _ in range(count - len(active)):
            name = f"worker-{len(self._workers)}"
            self._workers.append(Worker(self, self._connect, self._rate_limit, name))
