"""The page of expected files: a calendar of kept and missed for each expectation."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sarra_lite.monitor.expected import KEPT, MISSED, OPEN, UNKNOWN, WARNING, sentence
from sarra_lite.monitor.records import DAY
from sarra_lite.web import display

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from sarra_lite.config.expected import Expected
    from sarra_lite.monitor.expected import State
    from sarra_lite.web.pages import Query
    from sarra_lite.web.records import Records

_DAYS: Final = 30  # before this one
_MISSED_DAYS: Final = 7  # of which what was missed is told in sentences
_PAGE: Final = 20  # expectations
_SETTLED: Final = 2 * DAY  # milliseconds after which hardly a report comes late
_KEEP: Final = 600_000  # milliseconds for which such a state is not looked up again
_MAX_STATES: Final = 50_000  # in memory
MARKS: Final = {KEPT: "✓", MISSED: "✗", WARNING: "!", OPEN: "…", UNKNOWN: "?"}
MEANINGS: Final = {
    KEPT: "all files came in time",
    MISSED: "files were missing at the time",
    WARNING: "half the files are missing at three quarters of the time",
    OPEN: "there is time left",
    UNKNOWN: "the history begins later",
}


class _Known(NamedTuple):
    """What became of an expectation on a day, and until when that is believed."""

    state: State | None
    until: float


class Calendars:
    """The calendars of all expectations."""

    def __init__(self, expectations: list[Expected], groups: Mapping[str, str]) -> None:
        """``groups`` has the group of each user."""
        self._expectations = expectations
        self._groups = groups
        self._known: dict[tuple[int, date], _Known] = {}

    @property
    def any(self) -> bool:
        """Whether anything is expected of anybody."""
        return bool(self._expectations)

    def page(self, records: Records, query: Query) -> dict[str, Any]:
        """Return the calendars that concern the viewer, a number of them from ``from`` on."""
        mine = [each for each in self._expectations if records.concerns(each.user, each.group)]
        first = _number(query.get("from", ""), len(mine))
        shown = mine[first : first + _PAGE]
        now = time.time_ns() // 10**6
        # Somewhere it is tomorrow already.
        last = datetime.fromtimestamp(now / 1000, UTC).date() + timedelta(days=1)
        days = [last - timedelta(days=ago) for ago in range(_DAYS + 1, -1, -1)]
        rows = [(each, self._row(records, each, days, now)) for each in shown]
        recent = [state for _, row in rows for state in row[-_MISSED_DAYS - 1 :] if state]
        missed = [state for state in recent if state.state in (MISSED, WARNING)]
        missed.sort(key=lambda state: state.due.end, reverse=True)
        return {
            "template": "expected.html",
            "days": days,
            "rows": rows,
            "missed_days": _MISSED_DAYS,
            "missed": [sentence(state) for state in missed],
            "marks": MARKS,
            "meanings": MEANINGS,
            "before": first > 0 and _place(first - _PAGE),
            "after": first + _PAGE < len(mine) and _place(first + _PAGE),
        }

    def _row(
        self, records: Records, expected: Expected, days: list[date], now: int
    ) -> list[State | None]:
        """Return the state of each day; None where nothing is due, or its time has not begun."""
        new = _Known(None, 0)
        known = {day: self._known.get((id(expected), day), new) for day in days}
        asked = [day for day, one in known.items() if one.until <= now]
        found = records.expected([(expected, day) for day in asked], self._groups, now)
        by_day = {state.due.day: state for state in found}
        if len(self._known) > _MAX_STATES:
            self._known.clear()
        for day in asked:
            state = by_day.get(day)
            known[day] = _Known(state, _until(state, now))
            self._known[id(expected), day] = known[day]
        return [one.state for one in known.values()]


def _until(state: State | None, now: int) -> float:
    """Return until when a state need not be looked up again."""
    if state is not None and state.state == KEPT:
        return float("inf")
    return now + _KEEP if state is not None and state.due.end < now - _SETTLED else now


def _number(text: str, most: int) -> int:
    """Return where a page begins; the beginning for a text that no page has linked to."""
    first = int(text[:9]) if text.isascii() and text.isdecimal() else 0
    return first if first < most else 0


def _place(first: int) -> str:
    return display.link("/expected", **({"from": first} if first > 0 else {}))
