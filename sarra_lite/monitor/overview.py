"""Answers about many files at once: what has no final report, and sums by user and by hour.

All functions take ``users``: the only users whose files count, None for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.monitor import schema
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.records import FILE_SENT

if TYPE_CHECKING:
    from pathlib import Path

Users = frozenset[str] | None

_PENDING: Final = (
    "SELECT user, path, announced, size, state, done, begun, attempts, code, text, sender, host,"
    " word, why, connections FROM pending WHERE {0} ORDER BY announced, id LIMIT ?"
)
# The signs keep SQLite from reading all hours, by the index of users, to group them.
_SUMS: Final = (
    "SELECT user, grp, sum(CASE WHEN code = ? THEN files ELSE 0 END), sum(bytes),"
    " sum(CASE WHEN code >= 300 AND code <> 304 THEN files ELSE 0 END), max(hour)"
    " FROM hours WHERE hour >= ? AND {0} GROUP BY +user, +grp ORDER BY 4 DESC, user LIMIT ?"
)
_HOURS: Final = (
    "SELECT hour, sum(bytes), sum(files) FROM hours WHERE hour >= ? AND {0} GROUP BY hour"
)
_CODES: Final = (
    "SELECT code, sum(files) FROM hours WHERE hour >= ? AND code >= 300 AND code <> 304 AND {0}"
    " GROUP BY code HAVING sum(files) > 0 ORDER BY 2 DESC"
)


class Unfinished(NamedTuple):
    """A file without a final report; times are in milliseconds since 1970, sizes in bytes."""

    user: str
    path: str
    announced: int
    size: int
    state: int
    done: int
    begun: int | None
    attempts: int
    code: int | None
    text: str | None
    sender: str | None
    host: str | None
    limited_by: str | None
    why: str | None
    connections: str | None


class Sums(NamedTuple):
    """What a user has sent; ``last`` is the hour of his last report, since 1970."""

    user: str
    group: str
    sent: int
    bytes: int
    failed: int
    last: int


class Totals(NamedTuple):
    """Bytes and files by hour since 1970, and failures by code."""

    hours: dict[int, tuple[int, int]]
    codes: dict[int, int]


def unfinished(
    file: Path, users: Users, limit: int, *, state: int | None = None, path: str | None = None
) -> list[Unfinished]:
    """Return files without a final report, the oldest first; raise ConfigError as ``files``."""
    where, values = schema.of_users(users)
    if state is not None:
        where, values = f"{where} AND state = ?", [*values, state]
    if path is not None:
        name = path.encode(errors="surrogateescape")
        where, values = f"{where} AND path = ?", [*values, name]
    with schema.reading(file) as database:
        rows = database.execute(_PENDING.format(where), (*values, limit)).fetchall()
    return [Unfinished(user, _decoded(path), *rest) for user, path, *rest in rows]


def sums(file: Path, users: Users, first: int, limit: int) -> list[Sums]:
    """Return what each user has sent since an hour, who has sent most first."""
    where, values = schema.of_users(users)
    with schema.reading(file) as database:
        query = _SUMS.format(where)
        rows = database.execute(query, (FILE_SENT, first, *values, limit)).fetchall()
    return [Sums(*row) for row in rows]


def totals(file: Path, users: Users, first: int) -> Totals:
    """Return sums by hour and by code since an hour."""
    where, values = schema.of_users(users)
    with schema.reading(file) as database:
        hours = database.execute(_HOURS.format(where), (first, *values)).fetchall()
        codes = database.execute(_CODES.format(where), (first, *values)).fetchall()
    return Totals({hour: (size, count) for hour, size, count in hours}, dict(codes))


def hour_of(milliseconds: int) -> int:
    """Return the number of an hour since 1970."""
    return milliseconds // HOUR


def _decoded(value: bytes) -> str:
    return value.decode(errors="surrogateescape")
