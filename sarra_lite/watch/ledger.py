"""What sr_post --watch announced, kept over restarts; alone knows sqlite3.

A row is written before a name is announced (``begin``, ``rename``) and completed when the broker
has confirmed (``confirm``).  So at any time the ledger knows every name that the other side may
have, and which of them are not certain: the next run announces those anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from sarra_lite.errors import ConfigError, SarraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COMMIT_AFTER: Final = 0.5  # seconds
_CHUNK: Final = 500  # rows in memory while a tree is gone through

# EXCLUSIVE holds the lock until close, and the kernel frees it when a process is killed.
_LOCK: Final = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE")
# WAL with NORMAL syncs at checkpoints only.  A killed process loses what was not committed: it is
# announced twice, never missed.  A power failure loses the last commits, too; only who removes a
# file before we run again, that was announced in the last moments, has its removal missed.
_SETTINGS: Final = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")
# Names end with a slash here: so a name and all beneath it are one range in the order of bytes.
# version '': may have been announced, in a version not known; NULL: its removal is announced.
# token: set while an announcement is not confirmed.  application_id is "SRL1": ours, this layout.
_MARK: Final = 0x53524C31
_TABLES: Final = """
BEGIN EXCLUSIVE;
CREATE TABLE entry (name BLOB PRIMARY KEY NOT NULL, is_dir INTEGER NOT NULL, version TEXT,
                    token INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX versions ON entry (version);
CREATE INDEX unconfirmed ON entry (token) WHERE token IS NOT NULL;
CREATE TABLE renaming (token INTEGER PRIMARY KEY, old BLOB NOT NULL, new BLOB NOT NULL,
                       is_dir INTEGER NOT NULL) STRICT;
PRAGMA application_id = 0x53524C31;
COMMIT;
"""
_BENEATH: Final = """
SELECT name, is_dir, version, token FROM entry WHERE name >= ? AND name < ?
ORDER BY name DESC LIMIT ?"""
_DOUBT: Final = "UPDATE entry SET version = '', token = NULL WHERE name >= ? AND name < ?"
_MOVE: Final = """
UPDATE entry SET name = CAST(? || substr(name, ?) AS BLOB) WHERE name >= ? AND name < ?"""
_MOVE_RENAMING: Final = """
UPDATE renaming SET new = CAST(? || substr(new, ?) AS BLOB) WHERE new >= ? AND new < ?"""
_COPY_DOUBTED: Final = """
INSERT OR IGNORE INTO entry
SELECT CAST(? || substr(name, ?) AS BLOB), is_dir, '', NULL FROM entry
WHERE name >= ? AND name < ?"""


class Entry(NamedTuple):
    """What is known of one name; a version of None means that its removal is being announced."""

    path: str
    is_dir: bool
    version: str | None
    confirmed: bool


class Ledger:
    """The names announced and their versions; a context manager, for one process at a time.

    Raises ConfigError when the file is damaged, not ours or in use, SarraError when it cannot be
    written.
    """

    def __init__(self, path: Path) -> None:
        """Keep the ledger in this file; its directory is made when it is missing."""
        self._path = path
        self._since: float | None = None  # when the open transaction began
        self._token = 0  # the last one given

    def __enter__(self) -> Self:
        """Open, lock, and doubt what an earlier run announced without being confirmed."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._path.parent}: {error.strerror}") from None
        with self._translated():
            self._sql = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            with self._translated():
                self._prepare()
            self._doubt_unconfirmed()
        except SarraError:
            self._sql.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._sql.close()

    def entry(self, path: str) -> Entry | None:
        """Return what is known of a name."""
        rows = self._do("SELECT name, is_dir, version, token FROM entry WHERE name = ?", _key(path))
        return _entry(*rows[0]) if rows else None

    def beneath(self, path: str) -> Iterator[Entry]:
        """Yield a name and all beneath it that is known, children before their directory.

        Entries may be changed meanwhile.
        """
        low, high = _range(path)
        while rows := self._do(_BENEATH, low, high, _CHUNK):
            for row in rows:
                yield _entry(*row)
            high = rows[-1][0]

    def with_version(self, prefix: str) -> list[str]:
        """Return the names whose version begins so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = self._do("SELECT name FROM entry WHERE version >= ? AND version < ?", prefix, end)
        return [os.fsdecode(name[:-1]) for (name,) in rows]

    def begin(self, path: str, version: str | None, *, is_dir: bool) -> int:
        """Note that a version of a name, or with None its removal, is going to be announced.

        Returns the token to confirm it with.
        """
        self._token += 1
        sql = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)"
        self._write(sql, _key(path), is_dir, version, self._token)
        # Not left for later: lost after the announcement, it would make us miss a removal.
        self.commit()
        return self._token

    def rename(self, old: str, new: str, version: str, *, is_dir: bool) -> int:
        """Note that a renaming is going to be announced; all beneath has its new name at once.

        What was known of the new name is forgotten, what is not confirmed is doubted.
        Returns the token to confirm it with.
        """
        there, here = _key(new), _key(old)
        self._write("DELETE FROM entry WHERE name >= ? AND name < ?", *_range(new))
        self._write(_DOUBT + " AND token IS NOT NULL", *_range(old))
        self._write(_MOVE, there, len(here) + 1, *_range(old))
        self._write(_MOVE_RENAMING, there, len(here) + 1, *_range(old))
        sql = "INSERT INTO renaming VALUES (?, ?, ?, ?)"
        self._write(sql, self._token + 1, here, there, is_dir)
        return self.begin(new, version, is_dir=is_dir)

    def confirm(self, path: str, token: int) -> None:
        """Record that an announcement is confirmed; it has no effect if a later one began."""
        self._write("DELETE FROM renaming WHERE token = ?", token)
        sql = "DELETE FROM entry WHERE name = ? AND token = ? AND version IS NULL"
        self._write(sql, _key(path), token)
        sql = "UPDATE entry SET token = NULL WHERE name = ? AND token = ?"
        self._write(sql, _key(path), token)
        self._commit_in_time()

    def doubt(self, path: str, token: int) -> None:
        """Record that an announcement was not made: what the other side has is not known.

        Of a renaming, both names and all beneath are doubted.
        """
        sql = "UPDATE entry SET version = '', token = NULL WHERE name = ? AND token = ?"
        self._write(sql, _key(path), token)
        self._undo(token)
        self._commit_in_time()

    def commit(self) -> None:
        """Make what was recorded outlive this process."""
        if self._since is not None:
            self._since = None
            self._do("COMMIT")

    def _commit_in_time(self) -> None:
        if self._since is not None and time.monotonic() > self._since + _COMMIT_AFTER:
            self.commit()

    def _prepare(self) -> None:
        """Lock the file, then see that it is ours before anything in it is changed."""
        for statement in _LOCK:
            self._sql.execute(statement)
        (mark,) = self._sql.execute("PRAGMA application_id").fetchone()
        (tables,) = self._sql.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        self._sql.execute("COMMIT")
        if mark != _MARK and (mark or tables):
            raise sqlite3.DatabaseError
        for statement in _SETTINGS:
            self._sql.execute(statement)
        if not tables:
            self._sql.executescript(_TABLES)

    def _doubt_unconfirmed(self) -> None:
        for (token,) in self._do("SELECT token FROM renaming ORDER BY token DESC"):
            self._undo(token)
        self._write("UPDATE entry SET version = '', token = NULL WHERE token IS NOT NULL")
        self.commit()

    def _undo(self, token: int) -> None:
        """Doubt both names of a renaming and all beneath: the other side has one or the other."""
        sql = "SELECT old, new, is_dir FROM renaming WHERE token = ?"
        for old, new, is_dir in self._do(sql, token):
            inside = (new, _end(new))
            self._write(_COPY_DOUBTED, old, len(new) + 1, *inside)
            self._write("INSERT OR IGNORE INTO entry VALUES (?, ?, '', NULL)", old, is_dir)
            self._write(_DOUBT, *inside)
            self._write("DELETE FROM renaming WHERE token = ?", token)

    def _write(self, sql: str, *values: bytes | str | int | None) -> None:
        if self._since is None:
            self._do("BEGIN")
            self._since = time.monotonic()
        self._do(sql, *values)

    def _do(self, sql: str, *values: bytes | str | int | None) -> list[Any]:
        with self._translated():
            return self._sql.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _meaning(self._path, error) from None


def _meaning(path: Path, error: sqlite3.Error) -> SarraError:
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            why = "in use; another sr_post --watch of the same directories runs, stop it first"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            why = "damaged, or no ledger of sr_post --watch; move it away, all is announced anew"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            why = str(error)
        case _:
            return SarraError(f"{path}: {error}")
    return ConfigError(f"{path}: {why}")


def _key(path: str) -> bytes:
    return os.fsencode(path).rstrip(b"/") + b"/"


def _end(key: bytes) -> bytes:
    """Return the first name after all beneath: 0 comes after / in ASCII."""
    return key[:-1] + b"0"


def _range(path: str) -> tuple[bytes, bytes]:
    key = _key(path)
    return key, _end(key)


def _entry(name: bytes, is_dir: int, version: str | None, token: int | None) -> Entry:
    return Entry(os.fsdecode(name[:-1]) or "/", bool(is_dir), version, token is None)
