"""What every command needs to run well: signals, systemd, logging, back-off, exit status."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final, TextIO

from sarra_lite.errors import EX_OK, SarraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

log = logging.getLogger("sarra_lite")

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
_SYSLOG: Final = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}


def run(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an error of ours becomes one line, not a trace."""
    log_to_stderr("info")  # until the configuration says otherwise
    try:
        return command()
    except SarraError as error:
        for line in str(error).splitlines():
            log.error("%s", line)  # noqa: TRY400  for users, so without a trace
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (``sr_log | head``): nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_OK


def stop_on_signals(wake: Callable[[], object] = lambda: None) -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets; the second such signal kills.

    The handler only sets the event and calls ``wake``, which must be safe in a signal handler
    (``SimpleQueue.put`` is).
    """
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        wake()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def log_to_stderr(level: str) -> None:
    """Send log lines to standard error, with systemd's priorities when it reads them.

    See sd-daemon(3) for the ``<N>`` prefix.
    """
    handler = _ToStderr()
    under_systemd = bool(os.environ.get("JOURNAL_STREAM") or os.environ.get("NOTIFY_SOCKET"))
    handler.setFormatter(_ForJournal() if under_systemd else _ForPeople())
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is standard error now: while progress is drawn, to the lines above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _ForJournal(logging.Formatter):
    """``<4>text``: the journal has time, unit and process already."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_SYSLOG.get(record.levelname, 6)}>{super().format(record)}"


class _ForPeople(logging.Formatter):
    """``sr_post: text``, with the level where it is not plain information."""

    def format(self, record: logging.LogRecord) -> str:
        name = os.path.basename(sys.argv[0]).removesuffix(".py")  # noqa: PTH119  a string, no file
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{name}: {level}{super().format(record)}"


def notify(state: str) -> None:
    """Tell systemd our state, see sd_notify(3).  Nothing happens elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address[0] == "@" else address)
        sock.sendall(state.encode())


class Status:
    """Tells systemd what we are doing, only when that changed, and that we are alive."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said = ""

    def ready(self) -> None:
        """Started up: the unit is active."""
        notify("READY=1")

    def alive(self, text: str) -> None:
        """Feed the watchdog; show ``text`` in ``systemctl status`` when it is new."""
        notify("WATCHDOG=1" if text == self._said else f"WATCHDOG=1\nSTATUS={text}")
        self._said = text

    def stopping(self) -> None:
        """The unit is on its way down."""
        notify("STOPPING=1")


def backoff(first: float = 0.5, most: float = 60.0) -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling, with jitter that parts a crowd."""
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(most, delay * 2)
