"""When expected files are due: the time arithmetic, in time zones with summer time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.config.expected import Expected

_DAY = timedelta(days=1)


class Due(NamedTuple):
    """Files that arrive after ``begin`` and not after ``end``; times in milliseconds since 1970.

    At ``warn``, when three quarters of the time are over, half the files should be there.
    """

    day: date
    begin: int
    warn: int
    end: int


def deadline(expected: Expected, day: date) -> int:
    """Return when the files of a day are due, in milliseconds since 1970.

    Where a clock shows the time twice, or never since it is put forward, the later moment counts.
    """
    wanted = datetime.combine(day, time.fromisoformat(expected.by), ZoneInfo(expected.timezone))
    moments = (wanted.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return int(max(moments).timestamp()) * 1000


def due(expected: Expected, day: date) -> Due | None:
    """Return what is due on a day of the expectation's time zone; None if that is nothing.

    The time begins at the same time on the day before, whether something was due then or not.
    """
    if day.weekday() not in expected.weekdays:
        return None
    begin, end = deadline(expected, day - _DAY), deadline(expected, day)
    return Due(day, begin, begin + (end - begin) * 3 // 4, end)


def today(expected: Expected, now: int) -> date:
    """Return the date in the expectation's time zone; ``now`` in milliseconds since 1970."""
    return datetime.fromtimestamp(now / 1000, ZoneInfo(expected.timezone)).date()


def current(expected: Expected, now: int) -> Iterator[Due]:
    """Yield the last one that is over, if there was one in a week, and the one that runs."""
    last = today(expected, now) + _DAY
    over: Due | None = None
    running: Due | None = None
    for ago in range(9):
        found = due(expected, last - ago * _DAY)
        if found is None or found.begin > now:
            continue
        if found.end > now:
            running = found
        elif over is None:
            over = found
    yield from (one for one in (over, running) if one is not None)
