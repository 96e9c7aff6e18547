"""Tables of the store, one pair for each day, and the version of their schema."""

from __future__ import annotations

import functools
import secrets
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sarra_lite.errors import ConfigError, SarraError
from sarra_lite.monitor import steps
from sarra_lite.monitor.records import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMEOUT: Final = 10.0  # seconds for a lock that another process holds
_MAX_WAL: Final = 64 << 20  # bytes that the write-ahead log keeps on disk
_FILES: Final = "file_"

# ``ended`` is in milliseconds of the day, ``waited`` milliseconds from the announcement to it.
# Most files are sent: the index of codes leaves these out.
_DAY: Final = """
CREATE TABLE text_{0} (id INTEGER PRIMARY KEY, value BLOB NOT NULL UNIQUE);
CREATE TABLE file_{0} (
  id INTEGER PRIMARY KEY, key INTEGER NOT NULL, user INTEGER NOT NULL, grp INTEGER NOT NULL,
  dir INTEGER NOT NULL, name BLOB NOT NULL, size INTEGER NOT NULL, ended INTEGER NOT NULL,
  waited INTEGER NOT NULL, took INTEGER NOT NULL, code INTEGER NOT NULL, text INTEGER NOT NULL,
  attempts INTEGER NOT NULL, sender INTEGER NOT NULL, host INTEGER NOT NULL
);
CREATE INDEX file_{0}_key ON file_{0} (key);
CREATE INDEX file_{0}_user ON file_{0} (user);
CREATE INDEX file_{0}_code ON file_{0} (code) WHERE code <> 201;
"""


class StoreFull(SarraError):
    """The disk of the store has no room; what was to be stored was not, and may be later."""


def open_store(file: Path) -> sqlite3.Connection:
    """Open the store, make it or bring it to this version; transactions are begun by hand.

    Raise ConfigError when it cannot be used, or is of a newer version.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        database = connect(file)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            _migrate(file, database)
        except BaseException:
            database.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{file}: cannot keep history: {error}; see stateDir") from None
    return database


def connect(file: Path) -> sqlite3.Connection:
    """Return a connection to a store that exists, which any thread may use, one at a time."""
    database = sqlite3.connect(
        file, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    # With a write-ahead log, a power failure may take the last transactions, but whole ones.
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA journal_size_limit = {_MAX_WAL}")
    return database


def _connect_to_read(file: Path) -> sqlite3.Connection:
    """Return a connection that makes no store where there is none."""
    address = f"{file.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(
        address, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False, uri=True
    )


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a store that exists, to read what it has at this moment; nothing is written to it.

    Raise ConfigError when it cannot be read, or is of another version.
    """
    try:
        with closing(_connect_to_read(file)) as database:
            database.execute("PRAGMA query_only = ON")
            database.execute("BEGIN")  # the tables of a day may be dropped meanwhile
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version < len(steps.STEPS):
                raise ConfigError(f"{file}: is of version {version}: start sr_monitor first")
            _check_not_newer(file, version)
            yield database
    except sqlite3.Error as error:
        raise ConfigError(f"{file}: cannot read the history: {error}; see stateDir") from None


def _check_not_newer(file: Path, version: int) -> None:
    if version > len(steps.STEPS):
        raise ConfigError(
            f"{file}: is of version {version}, this sr_monitor knows {len(steps.STEPS)}:"
            " install the newer sarra_lite, or set another stateDir"
        )


def _migrate(file: Path, database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    _check_not_newer(file, version)
    for step in steps.STEPS[version:]:
        run_script(database, step)
    if version == 0:
        database.execute("INSERT INTO secret VALUES (?)", (secrets.token_bytes(16),))
    database.execute(f"PRAGMA user_version = {len(steps.STEPS)}")
    database.execute("COMMIT")


def run_script(database: sqlite3.Connection, script: str) -> None:
    """Execute statements inside the current transaction, which executescript() would commit."""
    for statement in script.split(";\n"):
        database.execute(statement)


def days(database: sqlite3.Connection) -> list[int]:
    """Return the days that have tables, as days since 1970, the oldest first."""
    rows = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB ? ORDER BY name",
        (f"{_FILES}[0-9]*",),
    )
    dates = (datetime.strptime(f"{name[len(_FILES) :]}Z", "%Y%m%d%z") for (name,) in rows)
    return [int(date.timestamp()) * 1000 // DAY for date in dates]


def add_day(database: sqlite3.Connection, day: int) -> None:
    """Make the tables of a day."""
    run_script(database, _DAY.format(suffix(day)))


def drop_day(database: sqlite3.Connection, day: int) -> None:
    """Remove all of a day; the space is used again."""
    run_script(database, "DROP TABLE file_{0};\nDROP TABLE text_{0};\n".format(suffix(day)))


def secret(database: sqlite3.Connection) -> bytes:
    """Return what ``path_key`` needs."""
    return bytes(database.execute("SELECT value FROM secret").fetchone()[0])


def path_key(path: bytes, secret: bytes) -> int:
    """Return the number by which the tables of a day find a path; others may have the same.

    The secret keeps users from choosing names that all have the same.
    """
    digest = blake2b(path, digest_size=4, key=secret).digest()
    return int.from_bytes(digest, "big", signed=True)


@functools.lru_cache(400)
def suffix(day: int) -> str:
    """Return what the names of a day's tables end with: 20261128."""
    return f"{datetime.fromtimestamp(day * DAY // 1000, UTC):%Y%m%d}"


def of_users(users: frozenset[str] | None) -> tuple[str, list[Any]]:
    """Return a condition on the column user, and its values; an empty set means nobody."""
    if users is None:
        return "1", []
    return f"user IN ({', '.join('?' * len(users))})", sorted(users)


def roll_back(database: sqlite3.Connection) -> None:
    """End the current transaction without effect, also one that SQLite has ended itself."""
    with suppress(sqlite3.Error):
        database.execute("ROLLBACK")


def translated(file: Path, error: sqlite3.Error) -> SarraError:
    """Return what to raise for an error of SQLite: StoreFull where room on the disk helps."""
    # A full disk is told as SQLITE_FULL, or by some file systems as an error of writing.
    code = getattr(error, "sqlite_errorcode", 0)
    full = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)
    kind = StoreFull if code in (*full, sqlite3.SQLITE_IOERR_SHMSIZE) else SarraError
    return kind(f"{file}: cannot keep history: {error}")
