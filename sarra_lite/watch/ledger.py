"""Stores in SQLite what sr_post --watch has announced; the only module that uses sqlite3.

A row is written before a name is announced (``record_pending``), and updated when the broker
confirms the announcement (``confirm``).  So the ledger always contains every name that the
destination may have, and which of them are uncertain.  The next run announces the uncertain names
again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from sarra_lite.errors import ConfigError, SarraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_IN_USE: Final = "in use; another sr_post --watch of the same directories runs, stop it first"
_DAMAGED: Final = "damaged, or no ledger of sr_post --watch; move it away, all is announced anew"
# SQLite's errors that the user can resolve; where the reason is empty, SQLite's own text says it.
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: "",
    sqlite3.SQLITE_READONLY: "",
    sqlite3.SQLITE_PERM: "",
}

# Stored names end with a slash, so that a name and everything below it are one range in byte order.
# version: see Entry, with NULL for None.  token: not NULL while an announcement is not confirmed.
# application_id marks the file as a ledger with this table; it is "SRL1" in ASCII.
_APPLICATION_ID: Final = 0x53524C31
_TABLE: Final = f"""
BEGIN EXCLUSIVE;
CREATE TABLE entry (name BLOB PRIMARY KEY NOT NULL, is_dir INTEGER NOT NULL, version TEXT,
                    token INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX versions ON entry (version);
CREATE INDEX unconfirmed ON entry (token) WHERE token IS NOT NULL;
PRAGMA application_id = {_APPLICATION_ID};
COMMIT;
"""
# Ledgers of earlier versions have no such table.  identity: see watch.removals.
_PLACES: Final = """
CREATE TABLE IF NOT EXISTS place (name BLOB PRIMARY KEY NOT NULL, identity TEXT NOT NULL)
STRICT, WITHOUT ROWID
"""
_SELECT: Final = "SELECT name, is_dir, version, token FROM entry WHERE "
_SET_UNCERTAIN: Final = "UPDATE entry SET version = '', token = NULL WHERE "
_IN_RANGE: Final = "name >= ? AND name < ?"
_BATCH: Final = " ORDER BY name DESC LIMIT 500"  # that many are in memory at a time
_COPY_AS_UNCERTAIN: Final = """
INSERT OR REPLACE INTO entry
SELECT CAST(? || substr(name, ?) AS BLOB), is_dir, '', NULL FROM entry WHERE """


class Entry(NamedTuple):
    """What the ledger contains for one name."""

    path: str
    is_dir: bool
    version: str | None  # None: its removal is pending; '': it is unknown what was announced
    confirmed: bool

    @property
    def may_exist(self) -> bool:
        """Whether the destination may have the name after what this run has announced.

        It may if its removal was pending when an earlier run ended.
        """
        return self.version is not None or self.confirmed


class Ledger:
    """The announced names and their versions; a context manager for one process at a time.

    Raises ConfigError when the file is damaged, not a ledger or in use, and SarraError when it
    cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Set the file; it and its directory are created when they are missing."""
        self._path = path
        self._token = 0  # the last one used

    def __enter__(self) -> Self:
        """Open and lock the file, and mark as uncertain what an earlier run left unconfirmed.

        Of a removal it stays known that it was announced.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._path.parent}: {error.strerror}") from None
        with contextlib.ExitStack() as stack, self._translated_errors():
            self._sql = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
            stack.callback(self._sql.close)
            self._prepare()
            self._execute(_SET_UNCERTAIN + "token IS NOT NULL AND version IS NOT NULL")
            self._execute("UPDATE entry SET token = NULL WHERE token IS NOT NULL")
            stack.pop_all()  # keep the file open
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._sql.close()

    def entry(self, path: str) -> Entry | None:
        """Return the entry of a name, if there is one."""
        return next(iter(self._select("name = ?", _key(path))), None)

    def subtree(self, path: str) -> Iterator[Entry]:
        """Yield the entries of a name and of all names below it, children before their directory.

        The caller may change entries during the iteration.
        """
        low, high = _range(path)
        while entries := self._select(_IN_RANGE + _BATCH, low, high):
            yield from entries
            high = _key(entries[-1].path)

    def with_version(self, prefix: str) -> list[str]:
        """Return the names whose version, an ASCII text, begins with ``prefix``."""
        entries = self._select("version BETWEEN ? AND ?", prefix, prefix + "\x7f")
        return [entry.path for entry in entries]

    def record_pending(
        self, path: str, version: str | None, *, is_dir: bool, old: str | None = None
    ) -> int:
        """Record that a version of a name is about to be announced, or with None its removal.

        With ``old``, a rename from there is about to be announced: the removal of ``old`` and of
        all names below it is pending, too, and those below ``path`` are uncertain.

        Return the token for ``confirm`` or ``mark_uncertain``.
        """
        self._token += 1
        if old is not None:
            # A process that is killed between two statements loses no name that was announced.
            bounds = _range(old)
            self._execute(_COPY_AS_UNCERTAIN + _IN_RANGE, _key(path), len(bounds[0]) + 1, *bounds)
            sql = "UPDATE entry SET version = NULL, token = ? WHERE version IS NOT NULL AND "
            self._execute(sql + _IN_RANGE, self._token, *bounds)
        sql = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)"
        self._execute(sql, _key(path), is_dir, version, self._token)
        return self._token

    def confirm(self, token: int) -> None:
        """Record that the broker confirmed an announcement; at any time, in any order.

        An entry does not change if a later announcement of its name is pending.
        """
        self._execute("DELETE FROM entry WHERE token = ? AND version IS NULL", token)
        self._execute("UPDATE entry SET token = NULL WHERE token = ?", token)

    def mark_uncertain(self, token: int) -> None:
        """Record that a change could not be announced; to be called before the next is found.

        The next event on its name, or the next run, finds it again.
        """
        self._execute(_SET_UNCERTAIN + "token = ?", token)

    def places(self) -> list[tuple[str, str]]:
        """Return the roots, and the mount points below them, with what identifies each."""
        return [
            (os.fsdecode(name), identity)
            for name, identity in self._execute("SELECT name, identity FROM place")
        ]

    def record_places(self, places: Mapping[str, str]) -> None:
        """Record the roots, and the mount points below them, in place of those recorded before."""
        with self._translated_errors(), self._sql:
            self._sql.execute("BEGIN")
            self._sql.execute("DELETE FROM place")
            rows = [(os.fsencode(path), identity) for path, identity in places.items()]
            self._sql.executemany("INSERT INTO place VALUES (?, ?)", rows)

    def _prepare(self) -> None:
        """Lock the file, and check that it is a ledger before anything in it is changed."""
        # EXCLUSIVE keeps the lock until close; the kernel releases it when the process is killed.
        self._sql.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._sql.execute("BEGIN EXCLUSIVE")
        (application_id,) = self._sql.execute("PRAGMA application_id").fetchone()
        (tables,) = self._sql.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        self._sql.execute("COMMIT")
        if application_id != _APPLICATION_ID and (application_id or tables):
            raise sqlite3.DatabaseError
        # Each statement is committed at once, but with WAL and NORMAL, SQLite syncs at checkpoints
        # only.  A power failure loses the last commits: if a file that they contain is removed
        # before the next run, its removal is missed.
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            self._sql.executescript(_TABLE)
        self._sql.execute(_PLACES)

    def _select(self, condition: str, *values: bytes | str) -> list[Entry]:
        return [
            Entry(os.fsdecode(name[:-1]) or "/", bool(is_dir), version, token is None)
            for name, is_dir, version, token in self._execute(_SELECT + condition, *values)
        ]

    def _execute(self, sql: str, *values: bytes | str | int | None) -> list[Any]:
        with self._translated_errors():
            return self._sql.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise SarraError, with the file and what to do, instead of SQLite's errors."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF
            if code not in _REASONS:
                raise SarraError(f"{self._path}: {error}") from None
            raise ConfigError(f"{self._path}: {_REASONS[code] or error}") from None


def _key(path: str) -> bytes:
    return os.fsencode(path).rstrip(b"/") + b"/"


def _range(path: str) -> tuple[bytes, bytes]:
    """Return the bounds of the keys of a path and all paths below it.

    In ASCII, 0 is the next character after the slash.
    """
    key = _key(path)
    return key, key[:-1] + b"0"
