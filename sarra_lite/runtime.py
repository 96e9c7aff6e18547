"""What every command needs to run: exit status, signals, logging, systemd, back-off."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from sarra_lite import process
from sarra_lite.errors import EX_FAILED, EX_OK, BrokerError, Interrupted, SarraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

Result = TypeVar("Result")

log = logging.getLogger("sarra_lite")

_MAX_DELAY: Final = 5.0  # seconds
_MAX_THREADS: Final = 1000
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it
_SYSLOG: Final = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}


def command(main: Callable[[list[str] | None], int]) -> Callable[..., int]:
    """Decorate the main function of a command, which takes arguments and returns an exit status.

    The decorated function logs a SarraError without a traceback and returns its exit status.  As
    the main function of a program, without arguments, it ends the process with that status.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        if argv is None:
            process.prepare()
        log_to_stderr("info")  # until the configuration is read
        status = _run(main, argv)
        if argv is None:
            # Python would wait for a thread that reads a large file, or a disk that hangs.
            os._exit(status)
        return status

    return run


def _run(main: Callable[[list[str] | None], int], argv: list[str] | None) -> int:
    """Return the exit status of a main function, whatever it raises."""
    try:
        try:
            status = main(argv)
        except SystemExit as end:  # argparse has printed the help, or an error
            if argv is not None:
                raise
            status = end.code if isinstance(end.code, int) else EX_OK
        process.write("")
    except SarraError as error:
        for line in str(error).splitlines():
            log.error("%s", line)  # noqa: TRY400  users need no traceback
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of the output has ended (``sr_log | head``)
        process.discard_output()
        return EX_OK
    except OSError as error:
        log.error("%s", process.told(error))  # noqa: TRY400
        return EX_FAILED
    except Exception:
        log.exception("unexpected error")
        return EX_FAILED
    return status


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine in the event loop of the command, and return its result."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that ends without waiting for threads of ``asyncio.to_thread``.

    In a file system that does not answer, a thread never ends.  ``command`` ends the process.
    """

    def __init__(self) -> None:
        super().__init__()
        # One that hangs must not keep others from starting.
        self.set_default_executor(ThreadPoolExecutor(_MAX_THREADS))

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  asyncio.Runner passes it
    ) -> None:
        """Do nothing, where asyncio's own loop waits."""


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets; a second such signal ends the process at once.

    Must be called in the event loop.
    """
    stop = asyncio.Event()

    def handle(number: int) -> None:
        if stop.is_set():
            if sys.stderr.isatty():  # the line with the progress has no end yet
                os.write(2, b"\n")
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, handle, number)
    return stop


class Failure:
    """The first error of callbacks of the event loop, for the coroutine that waits for it."""

    def __init__(self) -> None:
        """Start without an error."""
        self.event = asyncio.Event()
        self._error: BaseException | None = None

    def set(self, error: BaseException) -> None:
        """Note an error and set ``event``.  Any other error is kept rather than a BrokerError."""
        if self._error is None or isinstance(self._error, BrokerError):
            self._error = error
        self.event.set()

    def watch(self, task: asyncio.Task[None]) -> None:
        """Note the error that ends a task."""

        def ended(_: object) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self.set(error)

        task.add_done_callback(ended)

    def guard(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return a callback whose errors are noted instead of raised."""

        def guarded(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001  check() raises it
                self.set(error)

        return guarded

    def clear(self, kind: type[BaseException]) -> None:
        """Forget an error of this kind."""
        if isinstance(self._error, kind):
            self._error = None
            self.event.clear()

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self._error is not None:
            raise self._error


async def wait_for_any(seconds: float, *events: asyncio.Event) -> bool:
    """Wait until one of some events is set, at most so many seconds; return whether one is."""
    if not any(event.is_set() for event in events):
        waiters = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
    return any(event.is_set() for event in events)


async def unless_stopped(stop: asyncio.Event, work: Awaitable[Result], message: str) -> Result:
    """Return the result of ``work``; raise Interrupted with ``message`` when ``stop`` is set."""
    working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        working.cancel()
        raise Interrupted(message)
    stopped.cancel()
    return working.result()


def log_to_stderr(level: str) -> None:
    """Log to standard error, at least messages of this level."""
    log.handlers[:] = [_StderrHandler()]
    log.setLevel(level.upper())
    log.propagate = False


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes ``sr_post: warning: text``, or ``<4>text`` (sd-daemon(3)) for the journal of systemd.

    Into a file or pipe each line begins with its time in UTC, which the journal adds by itself.  It
    writes to the current ``sys.stderr``, which rich replaces while it draws progress.
    """

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on when standard error cannot be written: the exit status still tells."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if os.environ.get("JOURNAL_STREAM") or os.environ.get("NOTIFY_SOCKET"):
            return f"<{_SYSLOG.get(record.levelname, 6)}>{text}"
        name = os.path.basename(sys.argv[0]).removesuffix(".py")  # noqa: PTH119  a string, no file
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime(record.created))
        when = "" if self.stream.isatty() else moment
        return f"{when}{name}: {level}{text}"


def notify_systemd(state: str) -> None:
    """Send a state such as ``READY=1`` to systemd (sd_notify(3)); do nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        if address.startswith("@"):  # it stands for the null byte of an abstract socket
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)


def notify_alive(status: str) -> None:
    """Reset the watchdog of systemd; show ``status`` in ``systemctl status``."""
    notify_systemd(f"WATCHDOG=1\nSTATUS={status}")


def backoff() -> Iterator[float]:
    """Yield the seconds to wait before each next attempt: 0.5, doubling up to 5, with jitter.

    An attempt may take 15 s by itself: what is reachable again is used some 10 s later.  The jitter
    keeps many clients from reconnecting at the same moment.
    """
    delay = 0.5
    while True:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(_MAX_DELAY, delay * 2)
