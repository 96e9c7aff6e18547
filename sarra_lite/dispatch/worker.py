"""A lane: a thread with one connection, on which many files are under way at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.delivery.deliver import deliver, give_up
from sarra_lite.delivery.upload import Hooks, upload_stolen
from sarra_lite.dispatch import autoscale
from sarra_lite.dispatch.tasks import Done, Office, Task
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

    from sarra_lite.delivery.job import Outcome
    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.delivery.work_stealing import Range
    from sarra_lite.sftp.client import SftpClient

log = logging.getLogger("sarra_lite")

_BUG: Final = 500
_LOGIN_RETRY: Final = 30.0  # seconds; sshd punishes a source that keeps failing to log in
_MOST_FILES: Final = 512  # under way on one connection; fills 1 Gbit/s at 50 ms with small ones
# Bytes still to be read, above which no more files are begun: what is sent until the questions
# that come before the content of the next are answered.
_ENOUGH: Final = 4 * 1024 * 1024
_ENOUGH_RATE: Final = 160_000_000  # more, for each second of a round trip
_ENOUGH_MOST: Final = 16 * 1024 * 1024


class Worker:
    """Takes tasks while there is room for more on its connection.

    ``stop``: it ends soon, files in the middle are left.  ``retired``: it ends when all that it has
    begun is done, and takes nothing more.
    """

    def __init__(
        self, office: Office, connect: Callable[[], SftpClient], limit: RateLimit, name: str
    ) -> None:
        """``connect`` makes a connection, not opened yet; ``limit`` is that of all lanes."""
        self.stop = threading.Event()
        self.idle = False
        self.retired = False
        self._office = office
        self._connect = connect
        self._limit = limit
        self._loop = asyncio.new_event_loop()
        self._change = asyncio.Event()
        self._connection: SftpClient | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._unread = 0
        self._helping = False
        self._broken: SarraError | None = None
        self._delays = runtime.backoff()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let it look for tasks, or at ``stop``; may be called by any thread."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._change.set)

    def cut(self) -> None:
        """End its connection; may be called by any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hang_up)

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(max(0.0, seconds))

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work())
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001  a lane that ended silently would hold its file
            self._office.fatal(error)

    async def _work(self) -> None:
        """Serve on one connection after the other; after an outage begin with the same tasks."""
        while not self._ending:
            try:
                await self._serve()
            except DestinationDown as error:
                self._office.down(error)
                await self._pause(next(self._delays))
            except DestinationRefused as error:
                self._office.down(error)
                await self._pause(_LOGIN_RETRY)

    async def _serve(self) -> None:
        """Wait for a task, connect, and work until told to stop, or the connection is gone.

        Raises what ended it in the middle of a task, when nothing is running any more.
        """
        self._broken = None
        while not self._ending:
            if (first := self._office.take()) is not None:
                break
            await self._rest()
        else:
            return
        try:
            connection = await self._connected()
        except BaseException:
            self._office.put_back(first)
            raise
        try:
            self._begin(partial(self._do, connection, first), first.bytes)
            while self._running or not (self._ending or connection.closed):
                self._fill(connection)
                await self._rest()
                if self._broken is not None and not self._running:
                    raise self._broken
        finally:
            self._hang_up()

    async def _connected(self) -> SftpClient:
        self._connection = connection = self._connect()
        late = self._loop.call_later(autoscale.LATE, self._office.late)
        try:
            await connection.open()
        except BaseException:
            self._hang_up()
            raise
        finally:
            late.cancel()
        if self.stop.is_set():
            self._hang_up()
            raise Interrupted("stopping")
        self._office.up(connection)
        return connection

    def _fill(self, connection: SftpClient) -> None:
        """Begin as many tasks as there is room for; help others when there are none."""
        while self._has_room() and (task := self._office.take()) is not None:
            self._begin(partial(self._do, connection, task), task.bytes)
        if self._unread or self._helping or not self._has_room():
            return
        if (part := self._office.pool.take()) is not None:
            self._helping = True
            running = self._begin(partial(self._help, connection, part), part.left)
            # Also of one that never came to its first line: who has the block waits for it.
            running.add_done_callback(lambda _: part.end(well=False))

    def _has_room(self) -> bool:
        """Whether one more task may be begun."""
        if self._broken is not None or self._ending:
            return False
        if (connection := self._connection) is None:
            return not self._running
        enough = min(_ENOUGH + connection.round_trip * _ENOUGH_RATE, _ENOUGH_MOST)
        most = min(_MOST_FILES, connection.max_files)
        return len(self._running) < most and self._unread < enough

    async def _rest(self) -> None:
        """Wait until something ended, or there is something new."""
        self._change.clear()
        self.idle = self._has_room()
        # A task that came just before nobody could see that we are idle would wait for ever.
        if not (self.idle and self._office.waiting()):
            await self._change.wait()
        self.idle = False

    async def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stop.is_set() and (left := deadline - time.monotonic()) > 0:
            self._change.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), left)

    def _begin(
        self, what: Callable[[Hooks], Coroutine[None, None, None]], left: int
    ) -> asyncio.Task[None]:
        """Begin something, of which so many bytes are to be read; what is left counts no more."""
        self._unread += left

        def read(count: int) -> None:
            nonlocal left
            left -= count
            self._unread -= count
            self._change.set()

        def ended(running: asyncio.Task[None]) -> None:
            self._unread -= left
            self._ended(running)

        hooks = Hooks(self._limit, self.stop, read, self._office.moved, self._office.pool)
        running = self._loop.create_task(what(hooks))
        self._running.add(running)
        running.add_done_callback(ended)
        return running

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._change.set()
        if not running.cancelled() and (error := running.exception()) is not None:
            assert isinstance(error, SarraError)  # noqa: S101  for the type checker, see _do
            self._broken = self._broken or error

    async def _do(self, connection: SftpClient, task: Task, hooks: Hooks) -> None:
        """Deliver, and tell.  Raises what is no fault of this task, after putting it back."""
        begun = time.monotonic()
        try:
            result = await self._result(connection, task, hooks)
        except SarraError:
            # It may be done all the same, and only the answer be lost.
            self._office.put_back(task._replace(job=replace(task.job, redelivered=True)))
            raise
        self._delays = runtime.backoff()
        self._office.tell(Done(task.job, result, time.monotonic() - begun))

    async def _help(self, connection: SftpClient, part: Range, hooks: Hooks) -> None:
        """Send the end of a block for another lane, which will do it itself if this fails."""
        try:
            await upload_stolen(connection, part, hooks)
        except (DestinationDown, Interrupted):
            raise
        except (SarraError, OSError) as error:
            log.debug("%s: not helped: %s", part.job.path, error)
        finally:
            self._helping = False

    async def _result(
        self, connection: SftpClient, task: Task, hooks: Hooks
    ) -> Outcome | TransferError:
        try:
            if task.give_up is None:
                return await deliver(connection, task.job, hooks)
            await give_up(connection, task.job, task.give_up)
        except (DestinationDown, Interrupted, ConfigError):
            raise
        except TransferError as error:
            return error
        except (SarraError, OSError) as error:
            return TransferError(getattr(error, "code", _BUG), str(error))
        except Exception as error:  # one poisoned announcement must not stop all the others
            log.exception("this is a bug; please report it")
            return TransferError(_BUG, f"bug in the sender: {error!r}")
        else:
            return task.give_up

    @property
    def _ending(self) -> bool:
        return self.stop.is_set() or self.retired

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
