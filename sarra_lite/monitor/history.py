"""Answers from the store: which files, by user, day, path or code, and what is not reported yet."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sarra_lite.monitor import schema
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.records import DAY, FILE_SENT
from sarra_lite.monitor.schema import suffix

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_SELECT: Final = """
SELECT u.value, g.value, d.value, f.name, t.value, s.value, h.value,
  w.word, w.why, w.connections,
  f.size, f.ended, f.waited, f.took, f.code, f.attempts, f.id
FROM file_{0} f JOIN text_{0} u ON u.id = f.user JOIN text_{0} g ON g.id = f.grp
  JOIN text_{0} d ON d.id = f.dir JOIN text_{0} t ON t.id = f.text
  JOIN text_{0} s ON s.id = f.sender JOIN text_{0} h ON h.id = f.host
  LEFT JOIN slow w ON w.day = ? AND w.file = f.id
WHERE f.id IN (SELECT id FROM file_{0} WHERE {1} ORDER BY id DESC LIMIT ?) ORDER BY f.id DESC
"""
_ANY: Final = "SELECT 1 FROM file_{0} WHERE {1} LIMIT 1"
_USERS: Final = "user IN (SELECT id FROM text_{{0}} WHERE value IN ({0}))"
_GROUP: Final = "grp = (SELECT id FROM text_{0} WHERE value = ?)"
_FAILED: Final = f"code >= 300 AND code <> 304 AND code <> {FILE_SENT}"
_USER: Final = "user = (SELECT id FROM text_{0} WHERE value = ?)"
_DIRECTORY: Final = "dir = (SELECT id FROM text_{0} WHERE value = ?)"
_GIVEN_UP: Final = 7 * DAY  # after this time, nobody waits for a file that is not reported


class Place(NamedTuple):
    """Where an answer ended: a day, and the number of a file in it."""

    day: int
    row: int


class Wanted(NamedTuple):
    """Which files; what is None is not asked for.

    ``day``: days since 1970, of the end.  ``users``: of no others, whatever else is asked for.
    ``failed``: only what failed.  ``since``: ended after this time, in milliseconds since 1970.
    ``before``: only what comes after this Place in the order of answers.
    """

    user: str | None = None
    day: int | None = None
    path: str | None = None
    code: int | None = None
    limit: int = 100
    users: frozenset[str] | None = None
    group: str | None = None
    failed: bool = False
    since: int | None = None
    before: Place | None = None


class Unreported(NamedTuple):
    """How many files of a user have no final report, and when the oldest was announced.

    ``oldest``: milliseconds since 1970; None when all were announced more than a week ago.
    """

    user: str
    state: int
    files: int
    oldest: int | None


class Figures(NamedTuple):
    """What the store has now: files without a final report, and those that failed in a day."""

    unreported: list[Unreported]
    failed: dict[str, int]


def files(file: Path, wanted: Wanted) -> list[dict[str, Any]]:
    """Return the files that are wanted, the latest first; times in seconds since 1970.

    Raise ConfigError when the store cannot be read, or is of another version.
    """
    return page(file, wanted)[0]


def page(file: Path, wanted: Wanted) -> tuple[list[dict[str, Any]], Place | None]:
    """Return what ``files`` returns, and where to go on, None when there are no more files."""
    found: list[dict[str, Any]] = []
    last = None
    with schema.reading(file) as database:
        secret = schema.secret(database)
        for day in reversed(schema.days(database)):
            if not _may_have(wanted, day):
                continue
            for row in _rows(database, wanted, secret, day, wanted.limit + 1 - len(found)):
                if len(found) == wanted.limit:
                    return found, last
                found.append(_entry(day, row[:-1]))
                last = Place(day, row[-1])
    return found, None


def _may_have(wanted: Wanted, day: int) -> bool:
    if wanted.before is not None and day > wanted.before.day:
        return False
    if wanted.since is not None and day < wanted.since // DAY:
        return False
    return wanted.day in (None, day)


def _rows(
    database: sqlite3.Connection, wanted: Wanted, secret: bytes, day: int, limit: int
) -> list[tuple[Any, ...]]:
    """Return the wanted rows of a day."""
    where, values = condition(wanted, secret)
    where = where.format(suffix(day))
    if wanted.before is not None and wanted.before.day == day:
        where, values = f"{where} AND id < ?", [*values, wanted.before.row]
    if wanted.since is not None and wanted.since // DAY == day:
        where, values = f"{where} AND ended >= ?", [*values, wanted.since % DAY]
    # Most days have none, and to prepare the whole query takes ten times as long.
    if database.execute(_ANY.format(suffix(day), where), values).fetchone() is None:
        return []
    return database.execute(_SELECT.format(suffix(day), where), (day, *values, limit)).fetchall()


def condition(wanted: Wanted, secret: bytes) -> tuple[str, list[Any]]:
    """Return a condition for SQL, and its values."""
    terms: list[str] = []
    values: list[Any] = []
    if wanted.path is not None:
        path = wanted.path.encode(errors="surrogateescape")
        directory, name = os.path.split(path)
        terms += ["key = ?", "name = ?", _DIRECTORY]
        values += [schema.path_key(path, secret), name, directory]
    if wanted.users is not None:
        terms.append(_USERS.format(", ".join("?" * len(wanted.users))))
        values += [user.encode(errors="surrogateescape") for user in wanted.users]
    for term, value in ((_USER, wanted.user), (_GROUP, wanted.group)):
        if value is not None:
            terms.append(term)
            values.append(value.encode(errors="surrogateescape"))
    if wanted.failed:
        terms.append(_FAILED)
    if wanted.code is not None:
        # The second term lets SQLite use the index of codes, which has no files that were sent.
        terms.append(
            "code = ?" if wanted.code == FILE_SENT else f"code = ? AND code <> {FILE_SENT}"
        )
        values.append(wanted.code)
    return " AND ".join(terms) or "1", values


def _entry(day: int, row: tuple[Any, ...]) -> dict[str, Any]:
    user, group, directory, name, text, sender, host = map(_decoded, row[:7])
    word, why, connections, size, ended, waited, took, code, attempts = row[7:]
    end = day * DAY + ended
    return {
        "user": user,
        "group": group,
        "path": f"{directory}/{name}" if directory else name,
        "size": size,
        # A user's clock may be ahead.
        "announced": min(end - waited, end) / 1000,
        "begun": (end - took) / 1000,
        "ended": end / 1000,
        "seconds": took / 1000,
        "rate": size * 1000 / took if took and code == FILE_SENT else None,  # bytes a second
        "code": code,
        "text": text,
        "attempts": attempts,
        "sender": sender,
        "host": host,
        "limitedBy": word,
        "why": why,
        "connections": connections,
    }


def _decoded(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def figures(file: Path) -> Figures:
    """Return what the store has now; raise ConfigError as ``files`` does."""
    with schema.reading(file) as database:
        return Figures(unreported(database), failed(database))


def unreported(database: sqlite3.Connection) -> list[Unreported]:
    """Return how many files without a final report each user has, by state."""
    query = (
        "SELECT user, state, count(*), min(CASE WHEN announced >= ? THEN announced END)"
        " FROM pending GROUP BY user, state"
    )
    first = time.time_ns() // 10**6 - _GIVEN_UP
    return [Unreported(*row) for row in database.execute(query, (first,))]


def failed(database: sqlite3.Connection) -> dict[str, int]:
    """Return how many files of each user have failed in this and the 23 hours before."""
    first = time.time_ns() // 10**6 // HOUR - 23
    rows = database.execute(
        "SELECT user, sum(files) FROM hours WHERE hour >= ? AND code >= 300 AND code <> 304"
        " GROUP BY user",
        (first,),
    )
    return {user: int(count) for user, count in rows}


def gaps(database: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return which messages the streams no longer had when they were to be read."""
    rows = database.execute("SELECT stream, first, last, noticed FROM gaps ORDER BY noticed")
    return [dict(zip(("stream", "first", "last", "noticed"), row, strict=True)) for row in rows]
