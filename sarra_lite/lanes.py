"""The lanes: n threads of a sender, each with one connection, that deliver jobs side by side."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sarra_lite.config import LEAST_CONNECTIONS
from sarra_lite.errors import DestinationRefused, SarraError, TransferError
from sarra_lite.lane import Done, Lane, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.deliver import Job
    from sarra_lite.limit import Limit
    from sarra_lite.sftp import Connection

__all__ = ["Done", "Down", "Fatal", "Lanes"]

_MOST: Final = 8  # sshd lets 10 log in at once
_RATE: Final = 125_000_000  # bytes a second
_SERVER_WINDOW: Final = 2 * 1024 * 1024  # bytes

log = logging.getLogger("sarra_lite")


def wanted(round_trip: float) -> int:
    """Return how many connections fill a line of 1 Gbit/s at this distance, in seconds.

    OpenSSH's server takes 2 MiB a round trip on a connection; one more makes up for what is idle.
    """
    return max(LEAST_CONNECTIONS, min(_MOST, math.ceil(_RATE * round_trip / _SERVER_WINDOW) + 1))


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


class Lanes:
    """Threads that deliver.  Jobs go in by ``submit``; what became of them comes by ``tell``."""

    def __init__(
        self,
        count: int,
        connect: Callable[[], Connection],
        limit: Limit,
        tell: Callable[[Done | Down | Fatal], None],
        moved: Callable[[int], None],
    ) -> None:
        """``count`` 0: as many as the distance wants.

        ``connect`` makes a connection; ``tell`` and ``moved`` are called in the lanes.
        """
        self._tell = tell
        self._moved = moved
        self._tasks: deque[Task] = deque()
        self._down_since: float | None = None
        self._ever_up = False
        self._lock = threading.Lock()
        self._automatic = count == 0
        self._connect = connect
        self._limit = limit
        self._lanes: list[Lane] = []
        for _ in range(count or LEAST_CONNECTIONS):
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

    def _add(self) -> None:
        self._lanes.append(Lane(self, self._connect, self._limit, f"lane-{len(self._lanes)}"))

    # What lanes call, each in its thread; see lane.Office.

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
        """Hear of bytes that are written."""
        self._moved(count)

    def up(self, connection: Connection) -> None:
        """Hear that a connection is open; open more where the way is long."""
        with self._lock:
            self._ever_up = True
            was_down, self._down_since = self._down_since is not None, None
            if self._automatic:
                self._automatic = False
                for _ in range(wanted(connection.round_trip) - len(self._lanes)):
                    self._add()
        if was_down:
            self._tell(Down(None, ""))

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
