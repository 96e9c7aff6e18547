"""What each page shows: the values of its template, from what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from starlette.exceptions import HTTPException

from sarra_lite.monitor.files import RETRYING, RUNNING, WAITING
from sarra_lite.monitor.history import Place, Wanted
from sarra_lite.monitor.records import DAY
from sarra_lite.web import display
from sarra_lite.web.records import PAGE, STATES, Records

Query = dict[str, str]
Content = Callable[[Records, Query], dict[str, Any]]

_MAX_NUMBER: Final = 2**62
_PLOT_HOURS: Final = 48
# Of the page Now, in this order; each changes by itself while the page is open.
_PARTS: Final = ("problem", "alarm", "counts", "attention", "underway", "volume")


def now(records: Records, _query: Query) -> dict[str, Any]:
    """Return what is not finished, and what needs attention."""
    first, totals = records.totals(_PLOT_HOURS)
    return {
        "template": "now.html",
        "parts": _PARTS,
        "problem": False,
        "failed": records.failed(),
        "late": records.late(),
        "running": records.unfinished(RUNNING),
        "retrying": records.unfinished(RETRYING),
        "waiting": records.unfinished(WAITING),
        "states": STATES,
        "plot": display.volume_plot(first, _PLOT_HOURS, totals.hours),
        "codes": totals.codes,
    }


def history(records: Records, query: Query) -> dict[str, Any]:
    """Return one page of what is asked for."""
    problems: list[str] = []
    asked = {key: query.get(key) for key in ("user", "group", "path", "code", "day")}
    wanted = Wanted(
        user=asked["user"],
        group=asked["group"],
        path=asked["path"],
        code=_code(asked["code"], problems),
        day=_day(asked["day"], problems),
        before=_place(query.get("before")),
        limit=PAGE,
    )
    files, rest = ([], None) if problems else records.history(wanted)
    return {
        "template": "history.html",
        "asked": asked,
        "problems": problems,
        "files": files,
        "older": rest and display.link("/history", **asked, before=f"{rest.day}-{rest.row}"),
        "newest": "before" in query and display.link("/history", **asked),
    }


def file(records: Records, query: Query) -> dict[str, Any]:
    """Return all that is known of a path."""
    user, path = query.get("user", ""), query.get("path", "")
    current, done = records.of_path(user, path)
    if not current and not done:
        # The same for a file of others and for one that nobody has.
        raise HTTPException(404, "Nothing is known of this file, or it is not yours.")
    return {
        "template": "file.html",
        "user": user,
        "path": path,
        "current": current,
        "done": done,
        "states": STATES,
    }


def _code(text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) == 3:  # noqa: PLR2004  as 201
        return int(text)
    problems.append("A code has three digits, like 507.")
    return None


def _day(text: str | None, problems: list[str]) -> int | None:
    """Return a day as days since 1970."""
    if text is None:
        return None
    try:
        return int(datetime.strptime(f"{text}Z", "%Y-%m-%d%z").timestamp()) * 1000 // DAY
    except ValueError:
        problems.append("A day is written like 2026-11-28.")
        return None


def _place(text: str | None) -> Place | None:
    """Return where a page begins; nothing for a text that no page has linked to."""
    day, _, row = (text or "").partition("-")
    if not (day + row).isascii() or not day.isdecimal() or not row.isdecimal():
        return None
    place = Place(int(day[:20]), int(row[:20]))
    return place if max(place) < _MAX_NUMBER else None
