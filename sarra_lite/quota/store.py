"""Bytes by day and user, disk space, and how far reports were read, in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.errors import ConfigError, SarraError
from sarra_lite.messages.usage import Disk
from sarra_lite.quota.volumes import MOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sarra_lite.messages.usage import Disks

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS volume (day TEXT, user TEXT, bytes INTEGER, PRIMARY KEY (day, user));
CREATE TABLE IF NOT EXISTS progress (stream TEXT PRIMARY KEY, offset INTEGER);
CREATE TABLE IF NOT EXISTS disk (kind TEXT, name TEXT, used INTEGER, most INTEGER);
CREATE TABLE IF NOT EXISTS disk_told (time REAL);
"""

#: Seconds for which disk space is known after it was told.
FRESH: Final = 300.0

Counts = dict[tuple[str, str], int]  # bytes by day (2026-11-27) and user


class Kept(NamedTuple):
    """What a store has; ``disks`` is None when nobody has told them of late."""

    counts: Counts
    disks: Disks | None


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

    def keep_disks(self, disks: Disks, now: float) -> None:
        """Keep disk space in place of what was told before; ``now`` in seconds since 1970.

        Raises SarraError as ``add`` does.
        """
        try:
            with closing(self._open()) as database, database:
                database.execute("DELETE FROM disk")
                database.execute("DELETE FROM disk_told")
                rows = [(*who, *disk) for who, disk in disks.items()]
                database.executemany("INSERT INTO disk VALUES (?, ?, ?, ?)", rows)
                database.execute("INSERT INTO disk_told VALUES (?)", (now,))
        except sqlite3.Error as error:
            raise SarraError(f"{self._file}: cannot keep disk space: {error}") from None

    def kept(self, since: str) -> Kept:
        """Return bytes by day and user since a day or month, and disk space."""
        with closing(self._open()) as database:
            return _kept(database, since)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=10)


def read(file: Path, since: str) -> Kept:
    """Return what ``Store.kept`` does, of the store of another process; write nothing to it.

    Raise ConfigError when it cannot be read.
    """
    address = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, timeout=10, uri=True)) as database:
            return _kept(database, since)
    except sqlite3.Error as error:
        raise ConfigError(f"{file}: cannot read volumes: {error}") from None


def _kept(database: sqlite3.Connection, since: str) -> Kept:
    rows = database.execute("SELECT day, user, bytes FROM volume WHERE day >= ?", (since,))
    counts = {(day, user): int(count) for day, user, count in rows}
    fresh = time.time() - FRESH
    if database.execute("SELECT 1 FROM disk_told WHERE time > ?", (fresh,)).fetchone() is None:
        return Kept(counts, None)
    rows = database.execute("SELECT kind, name, used, most FROM disk")
    return Kept(counts, {(kind, name): Disk(used, most) for kind, name, used, most in rows})
