"""The worker pool of a sender: hands out jobs to its connections and chooses their number."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery.work_stealing import SharedRanges
from sarra_lite.dispatch.observer import Observer, UnderWay
from sarra_lite.dispatch.tasks import Done
from sarra_lite.dispatch.worker import Worker
from sarra_lite.errors import DestinationRefused, SarraError, TransferError
from sarra_lite.runtime import log
from sarra_lite.units import show_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.sftp.client import SftpClient

__all__ = ["Done", "Down", "UnderWay", "WorkerPool"]

_FEWEST: Final = 2
_WHILE_CONNECTING: Final = 4  # while the round-trip time is unknown, if a login is slow
_MOST: Final = 8  # sshd accepts 10 logins at once by default (MaxStartups)
_MOST_LOSSES: Final = 5
_LINE_RATE: Final = 125_000_000  # bytes a second
_SERVER_WINDOW: Final = 2 * 1024 * 1024  # bytes


def connections_for(round_trip: float) -> int:
    """Return how many connections fill a line of 1 Gbit/s at a round-trip time in seconds.

    OpenSSH's server takes 2 MiB a round trip on a connection; one more compensates for pauses
    (decisions 0013 and 0021).
    """
    wanted = math.ceil(_LINE_RATE * round_trip / _SERVER_WINDOW) + 1
    return max(_FEWEST, min(_MOST, wanted))


def _counted(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _why(count: int, round_trip: float) -> str:
    """Return as a sentence why there are so many connections."""
    under_way = _LINE_RATE * round_trip
    text = (
        f"{_counted(count)}: 1 Gbit/s at a round trip of {round_trip * 1000:.1f} ms is"
        f" {show_size(under_way)} under way, of which the server takes {show_size(_SERVER_WINDOW)}"
        " on each, and one more for pauses"
    )
    if count == _FEWEST:
        return f"{text}; never fewer than {_FEWEST}"
    return f"{text}; never more than {_MOST}" if count == _MOST else text


@dataclass(frozen=True)
class Down:
    """A connection failed; the destination is unreachable since ``since`` (monotonic seconds)."""

    since: float
    reason: str

    def lasts(self, seconds: float) -> bool:
        """Whether the outage has lasted longer than this."""
        return time.monotonic() - self.since > seconds


class WorkerPool:
    """Workers, one a connection, and what they share.

    ``jobs``: from its head workers take their jobs.  ``shared``: blocks from which idle workers
    steal.  ``stop``: set when all are to end.  ``observer`` looks at large files; ``reason``: why
    there are as many workers as there are.
    """

    def __init__(
        self,
        count: int,
        connect: Callable[[], SftpClient],
        rate_limit: RateLimit,
        on_event: Callable[[Done | Down | UnderWay | Exception], None],
        on_written: Callable[[int], None],
    ) -> None:
        """``count`` 0: choose the number of connections by the round-trip time.

        ``connect`` makes a connection.  ``on_event`` gets an exception when no worker can ever
        work: wrong host key, login refused, or a bug.  ``on_written`` gets numbers of bytes that
        the server has confirmed.
        """
        self.jobs: deque[Job] = deque()
        self.done = 0  # jobs with a result
        self.shared = SharedRanges(self._wake_idle)
        self.stop = asyncio.Event()
        self.on_event = on_event
        self.on_written = on_written
        self._down_since: float | None = None
        self._ever_up = False
        self._automatic = count == 0  # and the round-trip time is not known yet
        self.connect = connect
        self.rate_limit = rate_limit
        self._workers: list[Worker] = []
        self.observer = Observer(self._clients, on_event, on_written)
        self.reason = f"{_counted(count or _FEWEST)}: " + (
            "option connections" if count else "the distance of the SFTP host is not known yet"
        )
        self._grow(count or _FEWEST)

    def submit(self, job: Job) -> None:
        """Hand a job to the next idle worker."""
        self.jobs.append(job)
        self._wake_idle(1)

    def put_back(self, job: Job) -> None:
        """Return a job that a worker could not do to the head of ``jobs``."""
        self.jobs.appendleft(job)
        self._wake_idle(1)

    def put_back_lost(self, job: Job) -> None:
        """Return a job in whose middle the connection ended; a result after the fifth time.

        No result in an outage: when no other job was done since it was lost for the first time.
        """
        done_before = job.done_before_loss if job.losses else self.done
        job = replace(job, losses=job.losses + 1, done_before_loss=done_before)
        if job.losses >= _MOST_LOSSES and self.done > done_before:
            text = f"{job.losses} connections ended in the middle of it"
            self.on_event(Done(job, TransferError(500, text), 0.0))
        elif job.suspect:
            self.submit(job)
        else:
            self.put_back(job)

    async def close(self, grace: float) -> None:
        """Stop all workers within ``grace`` seconds; blocks that are written are not sent again.

        Connections that do not end by then are cut.
        """
        self._automatic = False
        self.observer.close()
        self.stop.set()
        for worker in self._workers:
            worker.wake()
        running = [worker.task for worker in self._workers]
        await asyncio.wait(running, timeout=grace)
        for worker in self._workers:
            worker.disconnect()
        _, left = await asyncio.wait(running, timeout=1.0)
        for task in left:
            task.cancel()

    # Called by workers.

    def slow_login(self) -> None:
        """Open more connections before the first one is ready: the round-trip time seems long."""
        if self._automatic and self.jobs and len(self._workers) < _WHILE_CONNECTING:
            self._choose(_WHILE_CONNECTING, f"{_counted(_WHILE_CONNECTING)}: to log in takes long")

    def up(self, client: SftpClient) -> None:
        """Note that a connection is open; have as many as its round-trip time asks for."""
        self._ever_up, self._down_since = True, None
        if self._automatic:
            self._automatic = False
            count = max(connections_for(client.round_trip), len(self._workers))
            self._choose(count, _why(count, client.round_trip))

    def down(self, error: SarraError) -> None:
        """Note that a connection failed; without any other one, the destination is down.

        Raises DestinationRefused when no login has ever succeeded.
        """
        if isinstance(error, DestinationRefused) and not self._ever_up:
            raise error
        if self._clients():
            log.info("a connection failed, trying again: %s", error)
            return
        first, self._down_since = self._down_since is None, self._down_since or time.monotonic()
        (log.warning if first else log.info)("destination down, trying again: %s", error)
        self.on_event(Down(self._down_since, str(error)))

    def _wake_idle(self, most: int | None = None) -> None:
        """Wake idle workers, at most so many: there is a job, or a block to steal from."""
        for worker in [worker for worker in self._workers if worker.idle][:most]:
            worker.wake()

    def _clients(self) -> list[SftpClient]:
        """Return the open connections."""
        return [client for worker in self._workers if (client := worker.connected_client)]

    def _choose(self, count: int, reason: str) -> None:
        """Have so many workers, and log why."""
        self.reason = reason
        log.info("%s", reason)
        self._grow(count)

    def _grow(self, count: int) -> None:
        """Start workers until there are so many."""
        for number in range(len(self._workers), count):
            self._workers.append(Worker(self, f"worker-{number}"))
