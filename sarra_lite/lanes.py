"""The lanes: n threads of a sender, each with one connection, that deliver jobs side by side."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite import daemon
from sarra_lite.deliver import Job, Outcome, deliver, give_up
from sarra_lite.errors import (
    ConfigError,
    DestinationDown,
    DestinationRefused,
    Interrupted,
    SarraError,
    TransferError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.sftp import Connection

log = logging.getLogger("sarra_lite")

_BUG: Final = 500
_LOGIN_RETRY: Final = 30.0  # seconds; sshd punishes a source that keeps failing to log in


@dataclass(frozen=True)
class Done:
    """A lane has finished with a job: an outcome, or why there is none, and the seconds it took."""

    job: Job
    result: Outcome | TransferError
    seconds: float


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


class _Task(NamedTuple):
    job: Job
    give_up: TransferError | None


class Lanes:
    """Threads that deliver.  Jobs go in by ``submit``; what became of them comes by ``tell``."""

    def __init__(
        self,
        count: int,
        connect: Callable[[], Connection],
        tell: Callable[[Done | Down | Fatal], None],
        moved: Callable[[int], None],
    ) -> None:
        """``connect`` opens a connection; ``tell`` and ``moved`` are called in the lanes."""
        self._connect = connect
        self._tell = tell
        self._moved = moved
        self._jobs: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._down_since: float | None = None
        self._ever_up = False
        self._lock = threading.Lock()
        self._connections: dict[int, Connection] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(n,), name=f"lane-{n}", daemon=True)
            for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, *, give_up: TransferError | None = None) -> None:
        """Hand a job to the next free lane; ``give_up``: only leave a mark that it was given up."""
        self._jobs.put(_Task(job, give_up))

    def close(self, grace: float) -> None:
        """Stop within ``grace`` seconds: files in the middle are left for the next run to resume.

        A connection that hangs is cut.
        """
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            hanging = list(self._connections.values())
        for connection in hanging:
            connection.abort()
        for thread in self._threads:
            thread.join(1.0)

    def _run(self, number: int) -> None:
        """One lane: take a job, deliver it, tell; after an outage begin with the same job again."""
        delays = daemon.backoff()
        task: _Task | None = None
        try:
            while (task := task or self._jobs.get()) is not None and not self._stop.is_set():
                try:
                    self._do(number, task)
                except DestinationDown as error:
                    self._went_down(error)
                    self._drop(number)
                    self._stop.wait(next(delays))
                except DestinationRefused as error:
                    self._drop(number)
                    if not self._ever_up:
                        raise
                    self._went_down(error)
                    self._stop.wait(_LOGIN_RETRY)
                else:
                    task, delays = None, daemon.backoff()
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001  a lane that ended silently would hold its file
            self._tell(Fatal(error))
        finally:
            self._drop(number)

    def _do(self, number: int, task: _Task) -> None:
        connection = self._connected(number)
        begun = time.monotonic()
        result: Outcome | TransferError
        try:
            if task.give_up is None:
                result = deliver(connection, task.job, self._stop, self._moved)
            else:
                give_up(connection, task.job, task.give_up)
                result = task.give_up
        except DestinationDown:
            raise
        except TransferError as error:
            result = error
        except (SarraError, OSError) as error:
            if isinstance(error, Interrupted | ConfigError | DestinationRefused):
                raise
            result = TransferError(getattr(error, "code", _BUG), str(error))
        except Exception as error:  # one poisoned announcement must not stop all the others
            log.exception("this is a bug; please report it")
            result = TransferError(_BUG, f"bug in the sender: {error!r}")
        self._tell(Done(task.job, result, time.monotonic() - begun))

    def _connected(self, number: int) -> Connection:
        """Return the connection of this lane, opened when it is not."""
        with self._lock:
            connection = self._connections.get(number)
        if connection is None:
            connection = self._connect()
            with self._lock:
                self._connections[number] = connection
            if self._stop.is_set():
                raise Interrupted("stopping")
            connection.open()
            self._came_up()
        return connection

    def _drop(self, number: int) -> None:
        with self._lock:
            connection = self._connections.pop(number, None)
        if connection is not None:
            connection.close()

    def _came_up(self) -> None:
        with self._lock:
            self._ever_up = True
            was_down, self._down_since = self._down_since is not None, None
        if was_down:
            self._tell(Down(None, ""))

    def _went_down(self, error: SarraError) -> None:
        with self._lock:
            first, self._down_since = self._down_since is None, self._down_since or time.monotonic()
            since = self._down_since
        if not self._stop.is_set():
            (log.warning if first else log.info)("destination down, trying again: %s", error)
            self._tell(Down(since, str(error)))
