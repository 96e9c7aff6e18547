"""Bytes by day and user, and how far the stream of reports was read, in one SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from sarra_lite.errors import ConfigError, SarraError
from sarra_lite.quota.volumes import MOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS volume (day TEXT, user TEXT, bytes INTEGER, PRIMARY KEY (day, user));
CREATE TABLE IF NOT EXISTS progress (stream TEXT PRIMARY KEY, offset INTEGER);
"""

Counts = dict[tuple[str, str], int]  # bytes by day (2026-11-27) and user


class Store:
    """Each method opens the file by itself, so it may be called in any thread."""

    def __init__(self, file: Path) -> None:
        """Create the file unless it exists; raise ConfigError when it cannot be used."""
        self._file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database:
                database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{file}: cannot keep volumes: {error}; see stateDir") from None

    def add(self, counts: Mapping[tuple[str, str], int], stream: str, offset: int) -> None:
        """Add bytes, and note the offset of the last report of them, both or neither.

        Raises SarraError when the disk is full, or the like.
        """
        try:
            with closing(self._open()) as database, database:
                database.executemany(
                    "INSERT INTO volume VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET bytes = min(bytes + excluded.bytes, ?)",
                    [(*who, min(count, MOST), MOST) for who, count in counts.items()],
                )
                database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (stream, offset))
        except sqlite3.Error as error:
            raise SarraError(f"{self._file}: cannot keep volumes: {error}") from None

    def offset(self, stream: str) -> int | None:
        """Return the offset of the last report that was counted."""
        with closing(self._open()) as database:
            row = database.execute(
                "SELECT offset FROM progress WHERE stream = ?", (stream,)
            ).fetchone()
        return None if row is None else int(row[0])

    def counts(self, since: str) -> Counts:
        """Return the bytes by day and user since a day or month."""
        with closing(self._open()) as database:
            return _counts(database, since)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=10)


def read_counts(file: Path, since: str) -> Counts:
    """Return what ``Store.counts`` does, of the store of another process; write nothing to it.

    Raise ConfigError when it cannot be read.
    """
    address = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, timeout=10, uri=True)) as database:
            return _counts(database, since)
    except sqlite3.Error as error:
        raise ConfigError(f"{file}: cannot read volumes: {error}") from None


def _counts(database: sqlite3.Connection, since: str) -> Counts:
    rows = database.execute("SELECT day, user, bytes FROM volume WHERE day >= ?", (since,))
    return {(day, user): int(count) for day, user, count in rows}
