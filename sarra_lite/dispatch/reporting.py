"""The reports of a sender, its count of files that arrived and failed, and how long they took."""

from __future__ import annotations

import contextlib
import getpass
import socket
import time
from typing import TYPE_CHECKING, Final

import msgspec

from sarra_lite import units
from sarra_lite.delivery.job import Outcome
from sarra_lite.errors import SarraError, TransferError
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.limits import clean_text
from sarra_lite.messages.v03 import Report
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sarra_lite.dispatch.observer import UnderWay
    from sarra_lite.dispatch.slowness import Slowness
    from sarra_lite.messages.v03 import Announcement

_BLOCK_SENT: Final = 206
_UNDER_WAY: Final = 102
_MAX_MEASURED: Final = 1000  # files in blocks whose finish may still come to this process


@contextlib.contextmanager
def last_resort(report: Callable[[TransferError], None]) -> Iterator[None]:
    """Report a bug that is met inside, with 500: one message must not stop all others."""
    try:
        yield
    except SarraError:
        raise
    except Exception as error:
        log.exception("this is a bug; please report it")
        report(TransferError(500, f"bug in the sender: {error!r}"))


class Reporting:
    """Makes reports that name this host, user and instance; logs and counts the final ones.

    ``failed_blocks``: the blocks that failed are not counted as files.  ``expected``: bytes of all
    that was taken, which the dispatcher counts.
    """

    def __init__(self, instance: str, connections: Callable[[], str]) -> None:
        """``instance``: the name of this process among those of its configuration.

        ``connections`` returns why there are as many as there are.
        """
        self._connections = connections
        self.arrived = self.failed = self.failed_blocks = self.expected = 0
        self._measured: dict[tuple[str, str], tuple[float, set[int]]] = {}
        self._host = socket.gethostname()
        self._instance = instance
        try:
            self._user = getpass.getuser()
        except (KeyError, OSError):  # no entry in passwd, as in some containers
            self._user = "unknown"

    def report(
        self,
        announcement: Announcement,
        outcome: Outcome,
        *,
        attempt: int | None = None,
        will_retry: float | None = None,
        slowness: Slowness | None = None,
    ) -> Announcement:
        """Return the report on an announcement, ready to publish.

        ``will_retry``: seconds until the next attempt; None for a final report.  ``slowness``: what
        limited the transfer.
        """
        seconds, size = outcome.seconds, outcome.bytes
        report = Report(
            code=outcome.code,
            message=clean_text(outcome.message),
            time_completed=v03.now(),
            host=self._host,
            user=self._user,
            instance=self._instance,
            bytes=size,
            seconds=None if seconds is None else round(seconds, 6),
            rate=round(size / seconds / 1e6, 3) if seconds and size else None,
            block=announcement.block,
            identity=outcome.identity,
            attempt=attempt,
            will_retry=will_retry,
            limited_by=None if slowness is None else slowness.by,
            why=None if slowness is None else slowness.why,
            connections=None if slowness is None else self._connections(),
        )
        message = msgspec.structs.replace(announcement, report=report)
        if report.final:
            self._count(message, report)
        return message

    def under_way(self, told: UnderWay, attempt: int | None) -> Announcement:
        """Return the report on how far a job has come."""
        outcome = Outcome(_UNDER_WAY, "being sent", told.bytes, seconds=told.seconds)
        one = told.job.announcement
        return self.report(one, outcome, attempt=attempt, slowness=told.slowness)

    def duration(
        self, announcement: Announcement, outcome: Outcome, seconds: float
    ) -> float | None:
        """Return the seconds to report for a job that has just ended and took ``seconds`` itself.

        For the finish of a file they count from the first block on.  They are None when another
        process sent blocks of it, whose time is not known here.
        """
        now, file, number = time.monotonic(), announcement.key[:2], announcement.block
        if announcement.is_finish and announcement.blocks is not None:
            begun, sent = self._measured.pop(file, (now, set()))
            return now - begun if len(sent) == announcement.blocks.count else None
        if number is not None and outcome.code == _BLOCK_SENT:
            begun, sent = self._measured.pop(file, (now, set()))
            sent.add(number)
            self._measured[file] = min(begun, now - seconds), sent
            if len(self._measured) > _MAX_MEASURED:
                del self._measured[next(iter(self._measured))]
        return seconds

    def _count(self, message: Announcement, report: Report) -> None:
        name = units.printable(message.rel_path) or "(unreadable announcement)"
        if not report.arrived:
            self.failed += message.block is None
            self.failed_blocks += message.block is not None
            log.warning("%s: %s (%d)", name, report.message, report.code)
        elif message.block is None or len(blocks.reports_of(message)) > 1:
            self.arrived += 1
            log.debug("%s: %s (%d)", name, report.message, report.code)
