"""``sr_monitor --expected``: a calendar of what came in time and what was missed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sarra_lite import process, units
from sarra_lite.errors import EX_FAILED, EX_OK
from sarra_lite.monitor.expected import KEPT, MISSED, OPEN, UNKNOWN, WARNING, Evaluator, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    from sarra_lite.config.expected import Expected
    from sarra_lite.monitor.expected import State

_DAYS: Final = 14  # of the calendar
_MARKS: Final = {KEPT: "+", MISSED: "-", WARNING: "!", OPEN: ".", UNKNOWN: "?"}
_LEGEND: Final = (
    "+ kept  - missed  ! half are missing at three quarters of the time  . open  ? unknown"
)


def show(
    file: Path,
    groups: Mapping[str, str],
    expectations: list[Expected],
    day: date | None,
    *,
    as_json: bool,
) -> int:
    """Print the states of a day, or a calendar of two weeks; return 1 when something was missed.

    Dates are those of each expectation's own time zone.
    """
    now = time.time_ns() // 10**6
    # Somewhere it is tomorrow already.
    last = datetime.fromtimestamp(now / 1000, UTC).date() + timedelta(days=1)
    days = [day] if day else [last - timedelta(days=ago) for ago in range(_DAYS, -1, -1)]
    states = Evaluator(file, groups).days(expectations, days, now)
    if as_json:
        lines = [json.dumps(_entry(state)) for state in states]
    elif day:
        lines = [sentence(state) for state in states]
    else:
        lines = list(_calendar(states, days))
    process.write("".join(f"{line}\n" for line in lines))
    return EX_FAILED if any(state.state == MISSED for state in states) else EX_OK


def _entry(state: State) -> dict[str, Any]:
    expected, due, name, files = state
    return {
        "day": due.day.isoformat(),
        "state": name,
        "user": expected.user,
        "group": expected.group,
        "name": expected.title,
        "match": expected.match,
        "files": files,
        "least": expected.least,
        "begin": due.begin / 1000,
        "end": due.end / 1000,
    }


def _calendar(states: list[State], days: list[date]) -> list[str]:
    """Return a row of marks for each expectation, and a sentence for what needs attention."""
    rows: dict[tuple[str, str], dict[date, str]] = {}
    for state in states:
        of_whom = (state.expected.owner, state.expected.title)
        rows.setdefault(of_whom, {})[state.due.day] = _MARKS[state.state]
    if not rows:
        return []
    lines = [f"{days[0]:%m-%d} to {days[-1]:%m-%d}"]
    for (owner, title), marks in rows.items():
        row = "".join(marks.get(day, " ") for day in days)
        lines.append(f"{row}  {units.printable(f'{owner}, {title}')}")
    lines.append(_LEGEND)
    latest = sorted(states, key=lambda state: state.due.end, reverse=True)
    return lines + [sentence(one) for one in latest if one.state in (MISSED, WARNING)]
