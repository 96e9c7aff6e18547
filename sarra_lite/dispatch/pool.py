"""The lanes: n threads of a sender, each with one connection, that deliver jobs side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarra_lite.delivery.work_stealing import Pool
from sarra_lite.dispatch import autoscale
from sarra_lite.dispatch.tasks import Done, Task
from sarra_lite.dispatch.worker import Worker
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
    """The destination is not reached since ``since`` (monotonic seconds); None: it is back."""

    since: float | None
    reason: str

    def lasts(self, seconds: float) -> bool:
        """Whether it has been away for longer than this."""
        return self.since is not None and time.monotonic() - self.since > seconds


@dataclass(frozen=True)
class Fatal:
    """No lane can ever work: wrong host key, nobody lets us in, or a bug of ours."""

    error: Exception


class WorkerPool:
    """Threads that deliver.  Jobs go in by ``submit``; what became of them comes by ``tell``."""

    def __init__(
        self,
        count: int,
        connect: Callable[[], SftpClient],
        limit: RateLimit,
        tell: Callable[[Done | Down | Fatal], None],
        moved: Callable[[int], None],
    ) -> None:
        """``count`` 0: as many as the distance wants.

        ``connect`` makes a connection; ``tell`` and ``moved`` are called in the lanes.
        """
        self.pool = Pool(self._offered)
        self._tell = tell
        self._moved = moved
        self._tasks: deque[Task] = deque()
        self._down_since: float | None = None
        self._ever_up = False
        self._lock = threading.Lock()
        self._automatic = count == 0
        self._distant = False
        self._growth = autoscale.Autoscaler()
        self._connect = connect
        self._limit = limit
        self._lanes: list[Worker] = []
        for _ in range(count or autoscale.LEAST):
            self._add()

    def submit(self, job: Job, *, give_up: TransferError | None = None) -> None:
        """Hand a job to the next free lane; ``give_up``: only leave a mark that it was given up."""
        self._tasks.append(Task(job, give_up))
        for lane in self._lanes:
            if lane.idle:
                lane.idle = False
                lane.wake()
                return

    def close(self, grace: float) -> None:
        """Stop within ``grace`` seconds: files in the middle are left for the next run to resume.

        A connection that hangs is cut.
        """
        with self._lock:
            self._automatic = False
        for lane in self._lanes:
            lane.stop.set()
            lane.wake()
        deadline = time.monotonic() + grace
        for lane in self._lanes:
            lane.join(deadline - time.monotonic())
            lane.cut()
        for lane in self._lanes:
            lane.join(1.0)

    def _offered(self) -> None:
        """Wake who has nothing to do: there is something to help with."""
        for lane in self._lanes:
            if lane.idle:
                lane.wake()

    def _add(self) -> None:
        self._lanes.append(Worker(self, self._connect, self._limit, f"lane-{len(self._lanes)}"))

    # What lanes call, each in its thread; see office.Office.

    def take(self) -> Task | None:
        """Return the next task; None when there is none."""
        try:
            return self._tasks.popleft()
        except IndexError:
            return None

    def waiting(self) -> bool:
        """Whether there is a next task."""
        return bool(self._tasks)

    def put_back(self, task: Task) -> None:
        """Take back a task that was not done, to be given out before all others."""
        self._tasks.appendleft(task)

    def tell(self, done: Done) -> None:
        """Hear of what became of a task."""
        self._tell(done)

    def moved(self, count: int) -> None:
        """Hear of bytes that are written; have one connection more, or less, if that is better."""
        self._moved(count)
        if not self._automatic or self._growth.settled:
            return
        with self._lock:
            working = [lane for lane in self._lanes if not lane.retired]
            waiting = self._distant and bool(self._tasks)
            change = self._growth.moved(count, time.monotonic(), len(working), waiting=waiting)
            if change and self._automatic:
                log.info("connections: %d, now %d", len(working), len(working) + change)
                self._have(len(working) + change)

    def late(self) -> None:
        """Hear that a connection takes long to open, as far away; open more without waiting."""
        with self._lock:
            if self._automatic and not self._distant and self._tasks:
                self._have(autoscale.EARLY)

    def up(self, connection: SftpClient) -> None:
        """Hear that a connection is open; have as many as this distance wants."""
        with self._lock:
            self._ever_up = True
            was_down, self._down_since = self._down_since is not None, None
            if self._automatic and not self._distant:
                self._distant = True
                self._have(autoscale.wanted(connection.round_trip))
        if was_down:
            self._tell(Down(None, ""))

    def _have(self, count: int) -> None:
        """Have so many lanes that take tasks."""
        working = [lane for lane in self._lanes if not lane.retired]
        for lane in working[count:]:
            lane.retired = True
            lane.wake()
        for _ in range(count - len(working)):
            self._add()

    def down(self, error: SarraError) -> None:
        """Hear that the destination is not reached; raises it when nobody ever let us in."""
        with self._lock:
            if isinstance(error, DestinationRefused) and not self._ever_up:
                raise error
            first, self._down_since = self._down_since is None, self._down_since or time.monotonic()
            since = self._down_since
        (log.warning if first else log.info)("destination down, trying again: %s", error)
        self._tell(Down(since, str(error)))

    def fatal(self, error: Exception) -> None:
        """Hear that a lane can never work."""
        self._tell(Fatal(error))
