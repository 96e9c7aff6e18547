"""What every command needs to run: exit status, signals, logging, systemd, back-off."""

from __future__ import annotations

import functools
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

_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it
_SYSLOG: Final = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}


def command(main: Callable[[list[str] | None], int]) -> Callable[..., int]:
    """Decorate the main function of a command, which takes arguments and returns an exit status.

    The decorated function logs a SarraError without a traceback and returns its exit status.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        log_to_stderr("info")  # until the configuration is read
        try:
            return main(argv)
        except SarraError as error:
            for line in str(error).splitlines():
                log.error("%s", line)  # noqa: TRY400  users need no traceback
            return error.exit_status
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            # The reader of the output has ended (``sr_log | head``), so Python must not write more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EX_OK

    return run


def stop_on_signals(wake: Callable[[], object] = lambda: None) -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets; a second such signal ends the process at once.

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
    """Log to standard error, at least messages of this level."""
    handler = _StderrHandler()
    handler.setFormatter(_Formatter())
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which rich replaces while it draws progress."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Formatter(logging.Formatter):
    """``sr_post: warning: text``, or ``<4>text`` (sd-daemon(3)) for the journal of systemd."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if os.environ.get("JOURNAL_STREAM") or os.environ.get("NOTIFY_SOCKET"):
            return f"<{_SYSLOG.get(record.levelname, 6)}>{text}"
        name = os.path.basename(sys.argv[0]).removesuffix(".py")  # noqa: PTH119  a string, no file
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{name}: {level}{text}"


class SystemdStatus:
    """The state of the process for systemd (sd_notify(3)); does nothing elsewhere."""

    def __init__(self) -> None:
        """Read where systemd listens."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """Report that the unit is started."""
        self._notify("READY=1")

    def alive(self, text: str) -> None:
        """Reset the watchdog; show ``text`` in ``systemctl status``."""
        self._notify(f"WATCHDOG=1\nSTATUS={text}")

    def stopping(self) -> None:
        """Report that the process is ending."""
        self._notify("STOPPING=1")

    def _notify(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            # "@" stands for the null byte of an abstract socket.
            abstract = self._address.startswith("@")
            sock.connect("\0" + self._address[1:] if abstract else self._address)
            sock.sendall(state.encode())


def backoff() -> Iterator[float]:
    """Yield the seconds to wait before each next attempt: 0.5, doubling up to 60, with jitter.

    The jitter keeps many clients from reconnecting at the same moment.
    """
    delay = 0.5
    while True:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(60.0, delay * 2)
