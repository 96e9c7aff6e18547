"""Carries out the jobs of a worker on its SFTP connection, many at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery import small_files
from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.job import Outcome
from sarra_lite.delivery.upload import Hooks, upload_stolen
from sarra_lite.errors import (
    ConfigError,
    DestinationDown,
    DestinationRefused,
    Interrupted,
    SarraError,
    TransferError,
)
from sarra_lite.runtime import log
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sarra_lite.delivery.job import Job
    from sarra_lite.delivery.work_stealing import SharedRange
    from sarra_lite.dispatch.pool import WorkerPool
    from sarra_lite.sftp.client import SftpClient

_BUG: Final = 500
_MAX_TASKS: Final = 512  # on one connection; enough small files to fill 1 Gbit/s at 50 ms
# No job is started while more bytes than this are still to be read for the running ones: enough
# to keep the line busy during the round trips that precede the content of the next file.
_AHEAD: Final = 4 * 1024 * 1024
_AHEAD_RATE: Final = 160_000_000  # bytes a second: times the round-trip time, added to _AHEAD
_AHEAD_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Done:
    """A worker has finished a job, after so many seconds."""

    job: Job
    result: Outcome | TransferError
    seconds: float


class RunningTasks:
    """The jobs in progress on one connection, until it is lost or the worker ends.

    The result of a job is passed to the pool.  A job that failed with an error that another
    connection may not have is put back, and ``failure`` is set: no more jobs are to be started.
    ``succeeded``: at least one job was done.
    """

    def __init__(self, client: SftpClient, pool: WorkerPool, on_change: Callable[[], None]) -> None:
        """``on_change`` is called when there may be capacity again, or a task has ended."""
        self.failure: SarraError | None = None
        self.succeeded = False
        self._client = client
        self._pool = pool
        self._on_change = on_change
        self._running: set[asyncio.Task[None]] = set()
        self._small = 0  # jobs that are small files; all others are in _running
        self._unread = 0  # bytes still to be read
        self._stealing = False

    def __len__(self) -> int:
        """Return the number of tasks in progress."""
        return len(self._running) + self._small

    def has_capacity(self) -> bool:
        """Return whether one more job may be started."""
        if self.failure or self._client.error or self._pool.stop.is_set():
            return False
        ahead = min(_AHEAD + self._client.round_trip * _AHEAD_RATE, _AHEAD_MAX)
        has_files = len(self) < min(_MAX_TASKS, self._client.max_files)
        return has_files and self._unread < ahead

    def start(self, job: Job) -> None:
        """Start a job."""
        may_be_small = job.given_up is None and not self._pool.rate_limit.rate
        if self._client.error or not (may_be_small and self._start_small(job)):
            self._start(partial(self._deliver, job), job.content_bytes)

    def steal(self) -> None:
        """Send the end of another worker's block, if nothing is left to read for the own tasks."""
        if self._unread or self._stealing or not self.has_capacity():
            return
        if (part := self._pool.shared.steal()) is not None:
            self._stealing = True
            running = self._start(partial(self._send_stolen, part), part.left)
            # The owner waits for this, also when the coroutine was cancelled before it began.
            running.add_done_callback(lambda _: part.finished.set())

    def _start_small(self, job: Job) -> bool:
        """Start to deliver a small file; return False when the job is left to ``deliver``."""
        begun, size = time.monotonic(), job.content_bytes

        def ended(result: Outcome | BaseException | None) -> None:
            self._small -= 1
            self._unread -= size
            self._on_change()
            if isinstance(result, Outcome):
                self._pool.on_written(size)
                self._done(job, result, begun)
            elif result is None and self.failure is None and self._client.error is None:
                self._start(partial(self._deliver, job), size)
            else:
                self._put_back(job, result if isinstance(result, SarraError) else None)

        if not small_files.start(self._client, job, ended):
            return False
        self._small += 1
        self._unread += size
        return True

    def _start(
        self, coroutine: Callable[[Hooks], Coroutine[None, None, None]], unread: int
    ) -> asyncio.Task[None]:
        """Start a task that has ``unread`` bytes to read; its end subtracts what is left."""
        self._unread += unread

        def sent(count: int) -> None:
            nonlocal unread
            unread -= count
            self._unread -= count
            self._on_change()

        def ended(running: asyncio.Task[None]) -> None:
            self._unread -= unread
            self._running.discard(running)
            self._on_change()

        pool = self._pool
        hooks = Hooks(pool.rate_limit, pool.stop, sent, pool.on_written, pool.shared)
        running = asyncio.get_running_loop().create_task(coroutine(hooks))
        self._running.add(running)
        running.add_done_callback(ended)
        return running

    async def _deliver(self, job: Job, hooks: Hooks) -> None:
        """Carry out a job and pass on its result; see ``_put_back``."""
        begun = time.monotonic()
        result: Outcome | TransferError
        try:
            result = await deliver(self._client, job, hooks)
        except (DestinationDown, DestinationRefused, Interrupted, ConfigError) as error:
            self._put_back(job, error)
            return
        except TransferError as error:
            result = error
        except (SarraError, OSError) as error:
            result = TransferError(getattr(error, "code", _BUG), str(error))
        except Exception as error:  # one bad announcement must not stop all others
            log.exception("this is a bug; please report it")
            result = TransferError(_BUG, f"bug in the sender: {error!r}")
        self._done(job, result, begun)

    async def _send_stolen(self, part: SharedRange, hooks: Hooks) -> None:
        """Send the end of another worker's block; that worker sends it itself if this fails."""
        try:
            await upload_stolen(self._client, part, hooks)
        except (DestinationDown, DestinationRefused, Interrupted) as error:
            self.failure = self.failure or error
        except (SarraError, OSError, SftpError) as error:
            log.debug("%s: stolen range not sent: %s", part.job.path, error)
        finally:
            self._stealing = False

    def _done(self, job: Job, result: Outcome | TransferError, begun: float) -> None:
        self.succeeded = True
        self._pool.on_event(Done(job, result, time.monotonic() - begun))

    def _put_back(self, job: Job, error: SarraError | None) -> None:
        """Return a job that failed with an error that another connection may not have.

        It may have been carried out, although the response was lost.
        """
        self.failure = self.failure or error
        self._pool.put_back(replace(job, redelivered=True))
