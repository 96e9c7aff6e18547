"""Which directories each user has written to, and since when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor.habits import DEPTH, MOST_DIRECTORIES

if TYPE_CHECKING:
    import sqlite3

_DIGITS: Final = re.compile(rb"[0-9]+")
_MAX_SEEN: Final = 100_000  # directories that are kept in memory


class DirectoryTable:
    """Writes directories at their first file; after a rollback another one is needed."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Use the transaction that the caller has begun."""
        self._database = database
        self._seen: set[tuple[str, bytes]] = set()
        self._full: set[str] = set()  # users

    def add(self, user: str, directory: bytes, hour: int) -> None:
        """Note that a user has written to a directory in an hour since 1970.

        Of users who have too many, no more are noted.
        """
        if (user, directory) in self._seen or user in self._full:
            return
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add((user, directory))
        inserted = self._database.execute(
            "INSERT OR IGNORE INTO directories VALUES (?, ?, ?)", (user, shape(directory), hour)
        ).rowcount
        if inserted:
            query = "SELECT count(*) FROM directories WHERE user = ?"
            (count,) = self._database.execute(query, (user,)).fetchone()
            if count >= MOST_DIRECTORIES:
                self._full.add(user)


def shape(directory: bytes) -> bytes:
    """Return the upper part of a directory without numbers: that of today is as yesterday's."""
    return _DIGITS.sub(b"#", b"/".join(directory.split(b"/", DEPTH)[:DEPTH]))
