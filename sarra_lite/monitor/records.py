"""What one message says about one file, with every value in a range that can be stored and added.

Times are in milliseconds since 1970.  Users choose the times and sizes that they report, and their
clocks may be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite import units

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement, Report

DAY: Final = 86_400_000  # milliseconds
FILE_SENT: Final = 201
MAX_SIZE: Final = 2**50  # bytes; a file of more counts as that
# An announcement's time identifies it, so its limits must not depend on when it is read.
_FIRST: Final = 946_684_800_000  # the year 2000
_LAST: Final = 4_102_444_800_000  # the year 2100
_MAX_USER: Final = 255  # bytes; AMQP's limit
_MAX_WORD: Final = 20  # characters of what limited a transfer
_MAX_WHY: Final = 300  # characters of the sentences on it


class Outcome(NamedTuple):
    """What a report says.

    ``ended`` and ``took`` are milliseconds; ``done``: the bytes of a block that is there.
    ``final``: there will be no other report on the same file or block.  ``written``: bytes of a
    whole file that is under way.  ``limited``, ``why`` and ``connections``: what limited it.
    """

    ended: int
    took: int
    code: int
    text: str
    attempts: int
    sender: str
    host: str
    done: int
    final: bool
    arrived: bool
    under_way: bool = False
    written: int = 0
    limited: str = ""
    why: str = ""
    connections: str = ""


class Record(NamedTuple):
    """An announcement of a file, or a report on it or on a block of it."""

    user: str
    path: bytes
    announced: int
    size: int
    block: bool
    outcome: Outcome | None = None


def record_of(message: Announcement, user: str | None, now: int, oldest: int) -> Record | None:
    """Return what a message says about a file of a user; None when it names no file or no user.

    ``now``: a report from later counts as of now, and so does one from before ``oldest``, which
    no stream can still have.
    """
    if not user or not message.rel_path:
        return None
    try:
        path = message.rel_path.encode(errors="surrogateescape")
        long = len(user.encode()) > _MAX_USER
    except UnicodeEncodeError:
        return None
    if long:
        return None
    report = message.report
    if report is not None and report.rejected:
        return None
    announced = max(_FIRST, min(units.nanoseconds(message.pub_time) // 10**6, _LAST))
    # Where no finish was announced, the report on the last block says that the file was sent.
    block = message.block is not None and (report is None or report.code != FILE_SENT)
    size = message.size if message.size is not None else (report and report.bytes) or 0
    outcome = None if report is None else _outcome(message, report, now, oldest)
    return Record(user, path, announced, _clamped(size, MAX_SIZE), block, outcome)


def _outcome(message: Announcement, report: Report, now: int, oldest: int) -> Outcome:
    ended = units.nanoseconds(report.time_completed) // 10**6
    length = message.blocks.length if message.blocks is not None else 0
    return Outcome(
        ended=ended if oldest <= ended <= now else now,
        took=_clamped((report.seconds or 0) * 1000, now - oldest),
        code=report.code,
        text=report.message,
        attempts=max(report.attempt or 1, 1),
        sender=report.instance or "",
        host=report.host or "",
        done=_clamped(length, MAX_SIZE) if report.arrived else 0,
        final=report.final,
        arrived=report.arrived,
        under_way=report.under_way,
        written=_clamped(report.bytes or 0, MAX_SIZE) if message.blocks is None else 0,
        limited=(report.limited_by or "")[:_MAX_WORD],
        why=(report.why or "")[:_MAX_WHY],
        connections=(report.connections or "")[:_MAX_WHY],
    )


def _clamped(value: float, most: int) -> int:
    return max(0, min(int(value), most))
