"""A worker: a thread with one SFTP connection, on which it carries out many jobs at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite import runtime
from sarra_lite.delivery.deliver import deliver, give_up
from sarra_lite.delivery.upload import Hooks, upload_stolen
from sarra_lite.dispatch import autoscale
from sarra_lite.errors import (
    ConfigError,
    DestinationDown,
    DestinationRefused,
    Interrupted,
    SarraError,
    TransferError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sarra_lite.delivery.job import Job, Outcome
    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.delivery.work_stealing import SharedRange
    from sarra_lite.dispatch.pool import WorkerPool
    from sarra_lite.sftp.client import SftpClient

log = logging.getLogger("sarra_lite")

_BUG: Final = 500
_LOGIN_RETRY: Final = 30.0  # seconds; sshd penalises addresses that keep failing to log in
_MAX_TASKS: Final = 512  # on one connection; enough small files to fill 1 Gbit/s at 50 ms
# No task is started while more bytes than this are still to be read for the running ones: enough
# to keep the line busy during the round trips that precede the content of the next file.
_AHEAD: Final = 4 * 1024 * 1024
_AHEAD_RATE: Final = 160_000_000  # bytes a second: times the round-trip time, added to _AHEAD
_AHEAD_MAX: Final = 16 * 1024 * 1024


class Task(NamedTuple):
    """A job for a worker.  ``give_up``: the job failed with this error, only clean up after it."""

    job: Job
    give_up: TransferError | None


@dataclass(frozen=True)
class Done:
    """A worker has finished a job, after so many seconds."""

    job: Job
    result: Outcome | TransferError
    seconds: float


class Worker:
    """Takes tasks from its pool while its connection has capacity for more.

    ``stop``: set to end it soon; files in progress are left for the next run.  ``retired``: set to
    end it when all tasks that it has started are done.
    """

    def __init__(
        self, pool: WorkerPool, connect: Callable[[], SftpClient], rate_limit: RateLimit, name: str
    ) -> None:
        """Start the thread; ``connect`` makes a connection that is not opened yet."""
        self.stop = threading.Event()
        self.idle = False
        self.retired = False
        self._pool = pool
        self._connect = connect
        self._rate_limit = rate_limit
        self._loop = asyncio.new_event_loop()
        self._wakeup = asyncio.Event()
        self._client: SftpClient | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._unread = 0  # bytes still to be read for the running tasks
        self._stealing = False
        self._failure: SarraError | None = None
        self._delays = runtime.backoff()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Make it look for tasks and at ``stop``; safe for threads."""
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._wakeup.set)

    def disconnect(self) -> None:
        """End its connection; safe for threads."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._disconnect)

    def join(self, seconds: float) -> None:
        """Wait until its thread has ended, at most so many seconds."""
        self._thread.join(max(0.0, seconds))

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work())
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001  otherwise its task would never get a result
            self._pool.fatal(error)

    async def _work(self) -> None:
        """Use one connection after the other; after an outage, begin with the same tasks."""
        while not self._ending:
            try:
                await self._use_connection()
            except DestinationDown as error:
                self._pool.down(error)
                await self._sleep(next(self._delays))
            except DestinationRefused as error:
                self._pool.down(error)
                await self._sleep(_LOGIN_RETRY)

    async def _use_connection(self) -> None:
        """Wait for a task, connect, and work until told to stop or the connection is lost.

        The error that ended the connection is raised when no task is running any more.
        """
        self._failure = None
        while not self._ending:
            if (first := self._pool.take()) is not None:
                break
            await self._wait_for_work()
        else:
            return
        try:
            client = await self._open()
        except BaseException:
            self._pool.put_back(first)
            raise
        try:
            self._start(partial(self._deliver, client, first), first.job.content_bytes)
            while self._running or not (self._ending or client.closed):
                self._start_tasks(client)
                await self._wait_for_work()
                if self._failure is not None and not self._running:
                    raise self._failure
        finally:
            self._disconnect()

    async def _open(self) -> SftpClient:
        self._client = client = self._connect()
        slow = self._loop.call_later(autoscale.SLOW_LOGIN, self._pool.slow_login)
        try:
            await client.open()
        except BaseException:
            self._disconnect()
            raise
        finally:
            slow.cancel()
        if self.stop.is_set():
            self._disconnect()
            raise Interrupted("stopping")
        self._pool.up(client)
        return client

    def _start_tasks(self, client: SftpClient) -> None:
        """Start tasks while there is capacity; without any, steal from other connections."""
        while self._has_capacity() and (task := self._pool.take()) is not None:
            self._start(partial(self._deliver, client, task), task.job.content_bytes)
        if self._unread or self._stealing or not self._has_capacity():
            return
        if (part := self._pool.shared.steal()) is not None:
            self._stealing = True
            running = self._start(partial(self._send_stolen, client, part), part.left)
            # Also when the coroutine was cancelled before it began: the owner waits for this.
            running.add_done_callback(lambda _: part.finish(succeeded=False))

    def _has_capacity(self) -> bool:
        """Return whether one more task may be started."""
        if self._failure is not None or self._ending:
            return False
        if (client := self._client) is None:
            return not self._running
        ahead = min(_AHEAD + client.round_trip * _AHEAD_RATE, _AHEAD_MAX)
        return len(self._running) < min(_MAX_TASKS, client.max_files) and self._unread < ahead

    async def _wait_for_work(self) -> None:
        """Wait until a task ended or ``wake`` was called."""
        self._wakeup.clear()
        self.idle = self._has_capacity()
        # A task submitted just before ``idle`` was set did not wake this worker.
        if not (self.idle and self._pool.has_tasks()):
            await self._wakeup.wait()
        self.idle = False

    async def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stop.is_set() and (left := deadline - time.monotonic()) > 0:
            self._wakeup.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), left)

    def _start(
        self, coroutine: Callable[[Hooks], Coroutine[None, None, None]], unread: int
    ) -> asyncio.Task[None]:
        """Start a task that has ``unread`` bytes to read; its end subtracts what is left."""
        self._unread += unread

        def sent(count: int) -> None:
            nonlocal unread
            unread -= count
            self._unread -= count
            self._wakeup.set()

        def ended(running: asyncio.Task[None]) -> None:
            self._unread -= unread
            self._running.discard(running)
            self._wakeup.set()
            if not running.cancelled() and (error := running.exception()) is not None:
                assert isinstance(error, SarraError)  # noqa: S101  for the type checker
                self._failure = self._failure or error

        pool = self._pool
        hooks = Hooks(self._rate_limit, self.stop, sent, pool.written, pool.shared)
        running = self._loop.create_task(coroutine(hooks))
        self._running.add(running)
        running.add_done_callback(ended)
        return running

    async def _deliver(self, client: SftpClient, task: Task, hooks: Hooks) -> None:
        """Carry out a task and pass on its result.

        An error that another connection may not have is raised, after the task was put back.
        """
        begun = time.monotonic()
        try:
            result = await self._result(client, task, hooks)
        except SarraError:
            # It may have been carried out, although the server's response was lost.
            self._pool.put_back(task._replace(job=replace(task.job, redelivered=True)))
            raise
        self._delays = runtime.backoff()
        self._pool.done(Done(task.job, result, time.monotonic() - begun))

    async def _send_stolen(self, client: SftpClient, part: SharedRange, hooks: Hooks) -> None:
        """Send the end of another worker's block; that worker sends it itself if this fails."""
        try:
            await upload_stolen(client, part, hooks)
        except (DestinationDown, Interrupted):
            raise
        except (SarraError, OSError) as error:
            log.debug("%s: stolen range not sent: %s", part.job.path, error)
        finally:
            self._stealing = False

    async def _result(
        self, client: SftpClient, task: Task, hooks: Hooks
    ) -> Outcome | TransferError:
        try:
            if task.give_up is None:
                return await deliver(client, task.job, hooks)
            await give_up(client, task.job, task.give_up)
        except (DestinationDown, Interrupted, ConfigError):
            raise
        except TransferError as error:
            return error
        except (SarraError, OSError) as error:
            return TransferError(getattr(error, "code", _BUG), str(error))
        except Exception as error:  # one bad announcement must not stop all others
            log.exception("this is a bug; please report it")
            return TransferError(_BUG, f"bug in the sender: {error!r}")
        else:
            return task.give_up

    @property
    def _ending(self) -> bool:
        return self.stop.is_set() or self.retired

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
