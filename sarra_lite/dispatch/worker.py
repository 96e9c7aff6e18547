"""A worker: uses one SFTP connection after the other to carry out jobs of its pool."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.dispatch.tasks import RunningTasks
from sarra_lite.errors import DestinationDown, DestinationRefused, Interrupted

if TYPE_CHECKING:
    from sarra_lite.dispatch.pool import WorkerPool
    from sarra_lite.sftp.client import SftpClient

_LOGIN_RETRY: Final = 30.0  # seconds; sshd penalises addresses that keep failing to log in
_SLOW_LOGIN: Final = 0.25  # seconds; nearby hosts take a tenth of a second
_STARTED_AT_ONCE: Final = 64  # jobs


class Worker:
    """Takes jobs from its pool while its connection has capacity for more.

    It ends soon after the pool's ``stop`` is set; files in progress are left for the next run.
    ``idle``: it waits for jobs.
    """

    def __init__(self, pool: WorkerPool, name: str) -> None:
        """Start working."""
        self.idle = False
        self._pool = pool
        self._wakeup = asyncio.Event()
        self._client: SftpClient | None = None
        self._connected = False  # the last client was opened
        self._delays = runtime.backoff()
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)

    @property
    def connected_client(self) -> SftpClient | None:
        """Its connection, if that is open, as far as is known."""
        client = self._client
        return client if self._connected and client is not None and client.error is None else None

    def wake(self) -> None:
        """Make it look for jobs and at ``stop``."""
        self.idle = False
        self._wakeup.set()

    def disconnect(self) -> None:
        """End its connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _run(self) -> None:
        try:
            await self._work()
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001  otherwise its task would never get a result
            self._pool.on_event(error)

    async def _work(self) -> None:
        """Use one connection after the other; after an outage, begin with the same jobs."""
        stop = self._pool.stop
        while not stop.is_set():
            try:
                await self._use_connection()
            except (DestinationDown, DestinationRefused) as error:
                self._pool.down(error)
                refused = isinstance(error, DestinationRefused)
                await runtime.wait_for_any(_LOGIN_RETRY if refused else next(self._delays), stop)

    async def _use_connection(self) -> None:
        """Wait for a job, connect, and work until told to stop or the connection is lost.

        The error that ended the connection is raised when no task is running any more.
        """
        jobs, stop = self._pool.jobs, self._pool.stop
        while not jobs:
            await self._wait_for_work(None)
            if stop.is_set():
                return
        first = jobs.popleft()
        try:
            client = await self._open()
        except BaseException:
            self._pool.put_back(first)
            self.disconnect()
            raise
        running = RunningTasks(client, self._pool, self.wake)
        try:
            running.start(first)
            while running or not (stop.is_set() or client.error):
                if self._start_tasks(running):
                    await asyncio.sleep(0)
                else:
                    await self._wait_for_work(running)
                if running.failure is not None and not running:
                    raise running.failure
        finally:
            self.disconnect()

    async def _open(self) -> SftpClient:
        self._client, self._connected = self._pool.connect(), False
        client = self._client
        slow = asyncio.get_running_loop().call_later(_SLOW_LOGIN, self._pool.slow_login)
        try:
            await client.open()
        finally:
            slow.cancel()
        if self._pool.stop.is_set():
            raise Interrupted("stopping")
        self._connected = True
        self._pool.up(client)
        return client

    def _start_tasks(self, running: RunningTasks) -> bool:
        """Start tasks while there is capacity; without any, steal from other connections.

        Return whether more may be started, after the loop has done other work.
        """
        for _ in range(_STARTED_AT_ONCE):
            if not (self._pool.jobs and running.accepts(self._pool.jobs[0])):
                running.steal()
                return False
            running.start(self._pool.jobs.popleft())
        return True

    async def _wait_for_work(self, running: RunningTasks | None) -> None:
        """Wait until there is a change of the running tasks, or ``wake`` was called."""
        if running is not None and running.succeeded:
            self._delays = runtime.backoff()
        self.idle = running is None or running.has_capacity()
        await self._wakeup.wait()
        self._wakeup.clear()
        self.idle = False
