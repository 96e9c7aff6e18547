"""Carries out the jobs of a worker on its SFTP connection, many at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sarra_lite.delivery import small_files
from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.job import Outcome
from sarra_lite.delivery.source import known_local
from sarra_lite.delivery.upload import Hooks, upload_stolen
from sarra_lite.errors import (
    ConfigError,
    DestinationDown,
    DestinationRefused,
    Interrupted,
    SarraError,
    ServerFailure,
    TransferError,
)
from sarra_lite.runtime import log
from sarra_lite.sftp.client import SftpError
from sarra_lite.sftp.small_file import End

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sarra_lite.delivery.job import Job
    from sarra_lite.delivery.work_stealing import SharedRange
    from sarra_lite.dispatch.observer import Watch
    from sarra_lite.dispatch.pool import WorkerPool
    from sarra_lite.dispatch.slowness import Slowness
    from sarra_lite.sftp.client import SftpClient

_BUG: Final = 500
_MAX_TASKS: Final = 512  # on one connection; enough small files to fill 1 Gbit/s at 50 ms
# No job is started while more bytes than this are still to be read for the running ones: enough
# to keep the line busy during the round trips that precede the content of the next file.  With
# more, a slow connection would take a second block, which no other can take from it until its
# content begins to be sent.
_AHEAD: Final = 4 * 1024 * 1024
Result = TypeVar("Result")


@dataclass(frozen=True)
class Done:
    """A worker has finished a job, after so many seconds; ``slowness``: why not earlier."""

    job: Job
    result: Outcome | TransferError
    seconds: float
    slowness: Slowness | None = None


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
        self._running: set[asyncio.Task[Any]] = set()
        self._small = 0  # jobs that are small files, with those in _waiting; others: _running
        # By directory: small files that wait until a first one has created it or looked it up.
        self._waiting: dict[str, list[Job]] = {}
        self._unread = 0  # bytes still to be read
        self._stealing = False
        self._alone = False  # the job in progress is a suspect

    def __len__(self) -> int:
        """Return the number of tasks in progress."""
        return len(self._running) + self._small

    def has_capacity(self) -> bool:
        """Return whether one more job may be started."""
        if self.failure or self._client.error or self._pool.stop.is_set():
            return False
        if self._alone and len(self):
            return False
        has_files = len(self) < min(_MAX_TASKS, self._client.max_files)
        return has_files and self._unread < _AHEAD

    def accepts(self, job: Job) -> bool:
        """Return whether this job may be started now."""
        return self.has_capacity() and not (job.suspect and len(self))

    def start(self, job: Job) -> None:
        """Start a job."""
        self._alone = job.suspect
        unlimited = self._pool.rate_limit.unlimited
        if self._client.error or not (unlimited and small_files.is_small(self._client, job)):
            self._start_deliver(job)
            return
        local = known_local(job.source)
        if local is None:
            self._start_after_first(job, job.source.rpartition("/")[0])
        elif not (local and self._start_small(job)):
            self._start_deliver(job)

    def steal(self) -> None:
        """Send the end of another worker's block, if nothing is left to read for the own tasks."""
        if self._unread or self._stealing or not self.has_capacity():
            return
        if (part := self._pool.shared.steal()) is not None:
            self._stealing = True
            watch = self._pool.observer.begin(part.job, helps=True)
            running = self._start(partial(self._send_stolen, part), part.left, watch)
            # The owner waits for this, also when the coroutine was cancelled before it began.
            running.add_done_callback(lambda _: part.finished.set())

    def _start_small(self, job: Job) -> bool:
        """Start to deliver a small file; return False when the job is left to ``deliver``."""
        begun, size = time.monotonic(), job.content_bytes

        def ended(result: Outcome | End | BaseException) -> None:
            self._small -= 1
            self._unread -= size
            self._on_change()
            if isinstance(result, Outcome):
                self._pool.on_written(size)
                self._done(Done(job, result, time.monotonic() - begun))
            elif isinstance(result, BaseException) or self.failure or self._client.error:
                self._put_back(job, result if isinstance(result, SarraError) else None)
            elif result is End.NO_DIRECTORY:
                self._start_after_first(job, job.path.rpartition("/")[0])
            else:
                self._start_deliver(job)

        if not small_files.start(self._client, job, ended):
            return False
        self._small += 1
        self._unread += size
        return True

    def _start_after_first(self, job: Job, directory: str) -> None:
        """Start a job after the first one that needs this directory, or as that first one.

        Otherwise each of hundreds of small files would take the longer way of ``deliver``.
        """
        if (waiting := self._waiting.get(directory)) is not None:
            waiting.append(job)
            self._small += 1
            return
        self._waiting[directory] = []

        def start_others(first: asyncio.Task[bool]) -> None:
            succeeded = not first.cancelled() and first.result()
            others = self._waiting.pop(directory)
            self._small -= len(others)
            for other in others:
                if self.failure is not None:
                    self._put_back(other, None)
                else:
                    (self.start if succeeded else self._start_deliver)(other)

        self._start_deliver(job).add_done_callback(start_others)

    def _start_deliver(self, job: Job) -> asyncio.Task[bool]:
        watch = self._pool.observer.begin(job)
        return self._start(partial(self._deliver, job), job.content_bytes, watch)

    def _start(
        self, coroutine: Callable[[Hooks], Coroutine[None, None, Result]], unread: int, watch: Watch
    ) -> asyncio.Task[Result]:
        """Start a task that has ``unread`` bytes to read; its end subtracts what is left."""
        self._unread += unread

        def sent(count: int) -> None:
            nonlocal unread
            unread -= count
            self._unread -= count
            self._on_change()

        def ended(running: asyncio.Task[Result]) -> None:
            watch.end()
            self._unread -= unread
            self._running.discard(running)
            self._on_change()

        pool = self._pool
        hooks = Hooks(pool.rate_limit, pool.stop, sent, watch.count, pool.shared, watch)
        running = asyncio.get_running_loop().create_task(coroutine(hooks))
        self._running.add(running)
        running.add_done_callback(ended)
        return running

    async def _deliver(self, job: Job, hooks: Hooks) -> bool:
        """Carry out a job and pass on its result, or put it back; return whether it succeeded."""
        begun = time.monotonic()
        result: Outcome | TransferError
        try:
            result = await deliver(self._client, job, hooks)
        except (DestinationDown, DestinationRefused, Interrupted, ConfigError) as error:
            self._put_back(job, error)
            return False
        except TransferError as error:
            result = error
        except (SarraError, OSError) as error:
            result = TransferError(getattr(error, "code", _BUG), str(error))
        except Exception as error:  # one bad announcement must not stop all others
            log.exception("this is a bug; please report it")
            result = TransferError(_BUG, f"bug in the sender: {error!r}")
        ended = isinstance(result, Outcome) and result.wait is None
        slowness = self._pool.observer.conclude(job) if ended else None
        self._done(Done(job, result, time.monotonic() - begun, slowness))
        return isinstance(result, Outcome)

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

    def _done(self, done: Done) -> None:
        if isinstance(done.result, ServerFailure):  # what is in progress has results of its own
            self.failure = self.failure or self._client.down(str(done.result))
        else:
            self.succeeded = True
            self._pool.done += 1
        self._pool.on_event(done)

    def _put_back(self, job: Job, error: SarraError | None) -> None:
        """Return a job that failed with an error that another connection may not have.

        It may have been carried out, although the response was lost.
        """
        self.failure = self.failure or error
        job = replace(job, redelivered=True)
        if isinstance(error, DestinationDown):
            self._pool.put_back_lost(job)
        else:
            self._pool.put_back(job)
