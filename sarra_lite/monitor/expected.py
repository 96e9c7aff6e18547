"""Whether expected files came in time, from the store."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from sarra_lite import units
from sarra_lite.monitor import due as time_of
from sarra_lite.monitor import schema
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.records import DAY
from sarra_lite.monitor.schema import suffix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from sarra_lite.config.expected import Expected
    from sarra_lite.monitor.due import Due

KEPT: Final = "kept"
MISSED: Final = "missed"
WARNING: Final = "warning"  # half the files are missing at three quarters of the time
OPEN: Final = "open"
UNKNOWN: Final = "unknown"  # the history begins later

_ARRIVED: Final = (
    "SELECT DISTINCT d.value, f.name FROM file_{0} f JOIN text_{0} d ON d.id = f.dir"
    " WHERE f.user IN (SELECT id FROM text_{0} WHERE value IN ({1})) AND f.ended > ?"
    " AND f.ended <= ? AND (f.code < 300 OR f.code = 304)"
    " AND CASE d.value WHEN x'' THEN CAST(f.name AS TEXT) ELSE d.value || '/' || f.name END"
    " GLOB ? LIMIT ?"
)


class State(NamedTuple):
    """What became of one expectation on one day; ``files``: how many came, at most ``least``."""

    expected: Expected
    due: Due
    state: str
    files: int


class Evaluator:
    """Finds the states of expectations in one store."""

    def __init__(self, file: Path, groups: Mapping[str, str]) -> None:
        """``groups`` has the group of each user."""
        self._file = file
        self._members: dict[str, list[str]] = {}
        for user, group in groups.items():
            self._members.setdefault(group, []).append(user)

    def now(self, expectations: Iterable[Expected], now: int) -> list[State]:
        """Return the states of what was due last and of what is due next.

        ``now`` is in milliseconds since 1970.  Raise ConfigError as ``history.files`` does.
        """
        wanted = [
            (expected, one) for expected in expectations for one in time_of.current(expected, now)
        ]
        return list(self._states(wanted, now))

    def days(self, expectations: Iterable[Expected], days: list[date], now: int) -> list[State]:
        """Return the states of some days, each in the time zone of its expectation.

        What has not begun is left out.
        """
        return self.on(((expected, day) for expected in expectations for day in days), now)

    def on(self, wanted: Iterable[tuple[Expected, date]], now: int) -> list[State]:
        """Return the state of each expectation on a day, as ``days`` does."""
        begun = [
            (expected, one)
            for expected, day in wanted
            if (one := time_of.due(expected, day)) is not None and one.begin <= now
        ]
        return list(self._states(begun, now))

    def _states(self, wanted: Iterable[tuple[Expected, Due]], now: int) -> Iterator[State]:
        with schema.reading(self._file) as database:
            days = schema.days(database)
            (hour,) = database.execute("SELECT min(hour) FROM hours").fetchone()
            begin = None if hour is None else hour * HOUR
            for expected, due in wanted:
                files = self._count(database, days, expected, due)
                known = begin is not None and begin <= due.begin
                yield State(expected, due, _state(expected, due, files, now, known=known), files)

    def _count(
        self, database: sqlite3.Connection, days: list[int], expected: Expected, due: Due
    ) -> int:
        """Return how many different files came in time, at most as many as are expected."""
        users = [expected.user] if expected.user else self._members.get(expected.group, [])
        names = [user.encode(errors="surrogateescape") for user in users]
        places = ", ".join("?" * len(names))
        pattern = expected.match.replace("[!", "[^").encode(errors="surrogateescape")
        found: set[tuple[bytes, bytes]] = set()
        for day in days:
            if not due.begin // DAY <= day <= due.end // DAY:
                continue
            span = (due.begin - day * DAY, due.end - day * DAY)
            query = _ARRIVED.format(suffix(day), places)
            values = (*names, *span, pattern.decode(errors="replace"), expected.least)
            found.update(database.execute(query, values))
        return min(len(found), expected.least)


def sentence(state: State) -> str:
    """Return a state as a plain sentence, with nothing that moves a cursor."""
    expected, due, name, files = state
    end = datetime.fromtimestamp(due.end / 1000, ZoneInfo(expected.timezone))
    return units.printable(
        f"{due.day} {name:<7} {expected.owner}, {expected.title}: {files} of {expected.least}"
        f" files by {end:%H:%M %Z}"
    )


def _state(expected: Expected, due: Due, files: int, now: int, *, known: bool) -> str:
    if files >= expected.least:
        return KEPT
    if not known:
        return UNKNOWN
    if now >= due.end:
        return MISSED
    return WARNING if now >= due.warn and 2 * files <= expected.least else OPEN
