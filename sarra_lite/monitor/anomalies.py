"""What was unusual: kept in the store as events, and told in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sarra_lite import units
from sarra_lite.monitor import schema
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.profile import TOGETHER
from sarra_lite.monitor.records import DAY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sarra_lite.monitor.profile import Finding

_PER_DAY: Final = DAY // HOUR
_A_DAY: Final = timedelta(days=1)
_FIND: Final = (
    "SELECT rowid, value FROM anomalies WHERE grp = ? AND user = ? AND kind = ? AND last >= ?"
    " ORDER BY last DESC LIMIT 1"
)
_COLUMNS: Final = ("group", "user", "kind", "first", "last", "score", "value", "expected", "about")
_ALL: Final = (
    "SELECT grp, user, kind, first, last, score, value, expected, about FROM anomalies WHERE {}"
    " ORDER BY last DESC, first DESC, score DESC LIMIT ?"
)
_SENTENCES: Final = {
    "volume": "sent {value} in an hour; at most {expected} were expected",
    "count": "had {value} files in an hour; at most {expected} were expected",
    "failures": "had failures of {value} of the files; at most {expected} were expected",
    "rate": "was sent at {value}; at least {expected} was expected",
    "directory": "wrote to {about}, where nothing was before and new directories are rare",
    "hours": "had {value} files at a time of the week without work before",
    "stuck": "had a file without progress for {value}; at most {expected} was expected",
}


class Event(NamedTuple):
    """Whose anomalies there are now, for metrics; ``user`` is empty for those of a group."""

    group: str
    user: str
    kind: str


def judged(database: sqlite3.Connection) -> int:
    """Return the last hour that was judged, in hours since 1970; -1 before the first."""
    row = database.execute("SELECT hour FROM judged").fetchone()
    return -1 if row is None else int(row[0])


def keep(
    database: sqlite3.Connection,
    hour: int,
    waits: Mapping[str, int],
    found: Iterable[tuple[int, tuple[str, str], Finding]],
) -> None:
    """Write that the hours up to this one are judged, and what was found in them.

    ``waits``: seconds that the oldest file of a user has waited.  What goes on within a day is one
    event.
    """
    database.execute("DELETE FROM judged")
    database.execute("INSERT INTO judged VALUES (?)", (hour,))
    rows = ((hour, user, seconds) for user, seconds in waits.items())
    database.executemany("INSERT OR REPLACE INTO waits VALUES (?, ?, ?)", rows)
    for then, who, finding in found:
        _keep(database, then, who, finding)


def _keep(database: sqlite3.Connection, hour: int, who: tuple[str, str], finding: Finding) -> None:
    kind, score, value, expected, about = finding
    row = database.execute(_FIND, (*who, kind, hour - TOGETHER)).fetchone()
    values = (value, expected, about.encode(errors="surrogateescape"))
    if row is None:
        insert = "INSERT INTO anomalies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        database.execute(insert, (*who, kind, hour, hour, score, *values))
        return
    number, worst = row
    update = "UPDATE anomalies SET last = ?, score = max(score, ?) WHERE rowid = ?"
    database.execute(update, (hour, score, number))
    if value < worst if kind == "rate" else value > worst:
        update = "UPDATE anomalies SET value = ?, expected = ?, about = ? WHERE rowid = ?"
        database.execute(update, (*values, number))


def now(file: Path) -> list[Event]:
    """Return what was unusual in the last hour that was judged."""
    with schema.reading(file) as database:
        query = "SELECT grp, user, kind FROM anomalies WHERE last >= ?"
        rows = database.execute(query, (max(0, judged(database)),))
        return [Event(*row) for row in rows]


def judged_until(file: Path) -> int | None:
    """Return until when hours were judged, in seconds since 1970; None before the first.

    Raise ConfigError as ``events`` does.
    """
    with schema.reading(file) as database:
        hour = judged(database)
    return None if hour < 0 else (hour + 1) * (HOUR // 1000)


def events(
    file: Path,
    user: str | None = None,
    day: int | None = None,
    limit: int = 100,
    *,
    users: frozenset[str] | None = None,
) -> list[dict[str, Any]]:
    """Return what was unusual, the latest first; times in seconds since 1970.

    ``user``: only of this one; ``day``: only what was going on then, in days since 1970; ``users``:
    of no others, and of no groups.  Raise ConfigError when the store cannot be read, or is of
    another version.
    """
    terms, values = ["1"], list[Any]()
    if user is not None:
        terms.append("user = ?")
        values.append(user)
    if users is not None:
        where, names = schema.of_users(users)
        terms.append(f"user <> '' AND {where}")
        values += names
    if day is not None:
        terms.append("first < ? AND last >= ?")
        values += [(day + 1) * _PER_DAY, day * _PER_DAY]
    with schema.reading(file) as database:
        rows = database.execute(_ALL.format(" AND ".join(terms)), (*values, limit))
        return [_entry(row) for row in rows]


def _entry(row: tuple[Any, ...]) -> dict[str, Any]:
    entry = dict(zip(_COLUMNS, row, strict=True))
    entry["about"] = entry["about"].decode(errors="surrogateescape")
    entry["first"] *= HOUR // 1000
    entry["last"] = (entry["last"] + 1) * (HOUR // 1000)  # its end
    return entry


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _rate(value: float) -> str:
    return f"{units.show_size(value)}/s"


def _duration(value: float) -> str:
    return f"{value / 3600:.1f} hours"


_SHOWN: Final = {
    "volume": units.show_size,
    "count": _count,
    "failures": _share,
    "rate": _rate,
    "directory": _count,
    "hours": _count,
    "stuck": _duration,
}


def told(entry: Mapping[str, Any]) -> str:
    """Return what was unusual by an event of ``events``, with nothing that moves a cursor."""
    show = _SHOWN[entry["kind"]]
    said = _SENTENCES[entry["kind"]].format(
        value=show(entry["value"]),
        expected=show(entry["expected"]),
        about=entry["about"] or "the base directory",
    )
    return units.printable(said)


def sentence(entry: Mapping[str, Any]) -> str:
    """Return an event of ``events`` as a plain sentence, with nothing that moves a cursor."""
    who = f"user {entry['user']}" if entry["user"] else f"group {entry['group']}"
    first, last = (datetime.fromtimestamp(entry[key], UTC) for key in ("first", "last"))
    until = f"{last:%H:%M}" if last - first < _A_DAY else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {until} {units.printable(who)} {told(entry)}."
