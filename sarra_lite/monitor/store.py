"""The history in one SQLite file: what a batch of messages says, and how far the streams were read.

Both are one transaction: killed at any moment, each message counts once.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor import changes, schema
from sarra_lite.monitor.files import HOUR, FileTables
from sarra_lite.monitor.records import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sarra_lite.messages.change import Change
    from sarra_lite.monitor.chains import Ends
    from sarra_lite.monitor.records import Record

_EXPIRED: Final = 10_000  # files without a report that one transaction removes


@dataclass
class Batch:
    """What was read from the streams since the last batch, in order.

    ``offsets``: of each stream the last message.  ``gaps``: stream, first and last offset that the
    stream no longer had, the last one None where it is not known.  ``chains``: the last report of
    each writer of which there are any.  ``changes``: what playbooks have changed.
    """

    records: list[Record] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    gaps: list[tuple[str, int, int | None]] = field(default_factory=list)
    chains: Ends = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


class Store:
    """The store of one monitor; its methods may be called in any thread."""

    def __init__(self, file: Path, retention: int, groups: Mapping[str, str]) -> None:
        """Open it, for ``retention`` days; ``groups`` has the group of each user.

        Raise ConfigError when it cannot be used, or a newer version has written it.
        """
        self.file = file
        self._retention = retention * DAY
        self._groups = groups
        # A thread may still be at work for a coroutine that was cancelled.
        self._lock = threading.Lock()
        self.database = schema.open_store(file)
        self._files = FileTables(self.database, groups)

    @property
    def oldest(self) -> int:
        """Time before which nothing is kept, in milliseconds since 1970."""
        return time.time_ns() // 10**6 - self._retention

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.database.close()

    def offset(self, stream: str) -> int | None:
        """Return the offset of the last message of a stream that was taken."""
        query = "SELECT offset FROM progress WHERE stream = ?"
        with self._lock:
            row = self.database.execute(query, (stream,)).fetchone()
        return None if row is None else int(row[0])

    def chains(self) -> Ends:
        """Return the last report of each writer that was taken."""
        with self._lock:
            rows = self.database.execute("SELECT writer, number, hash FROM chains").fetchall()
        return {writer: (number, last) for writer, number, last in rows}

    def take(self, batch: Batch) -> list[Record]:
        """Store a batch, all or nothing; return the first final report on each file.

        Raise StoreFull when the disk is full, SarraError for any other failure.
        """
        now = time.time_ns() // 10**6
        with self.transaction():
            final = [record for record in batch.records if self._files.take(record, now)]
            self._files.add_hours()
            changes.add(self.database, batch.changes, now)
            for stream, first, last in batch.gaps:
                gap = (stream, first, last, now)
                self.database.execute("INSERT INTO gaps VALUES (?, ?, ?, ?)", gap)
            for progress in batch.offsets.items():
                self.database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", progress)
            if batch.gaps:
                self.database.execute("DELETE FROM chains")  # they begin anew
            ends = [(writer, *end, now) for writer, end in batch.chains.items()]
            self.database.executemany("INSERT OR REPLACE INTO chains VALUES (?, ?, ?, ?)", ends)
        return final

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make what is done inside one transaction; whatever fails, nothing of it is done.

        Raise StoreFull when the disk is full, SarraError for any other failure.
        """
        with self._lock:
            try:
                self.database.execute("BEGIN IMMEDIATE")
                yield self.database
                self.database.execute("COMMIT")
            except sqlite3.Error as error:
                self._undo()
                raise schema.translated(self.file, error) from None
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        schema.roll_back(self.database)
        # What it knows of the tables may have been rolled back.
        self._files = FileTables(self.database, self._groups)

    def expire(self) -> bool:
        """Drop what is older than the retention; return whether there is more to remove.

        Raises as ``take`` does.
        """
        oldest = self.oldest
        with self.transaction():
            for day in [day for day in self._files.days if (day + 1) * DAY <= oldest]:
                schema.drop_day(self.database, day)
            self.database.execute("DELETE FROM hours WHERE hour < ?", (oldest // HOUR,))
            self.database.execute("DELETE FROM latencies WHERE day < ?", (oldest // DAY,))
            self.database.execute("DELETE FROM slow WHERE day < ?", (oldest // DAY,))
            self.database.execute("DELETE FROM gaps WHERE noticed < ?", (oldest,))
            self.database.execute("DELETE FROM chains WHERE seen < ?", (oldest,))
            self.database.execute("DELETE FROM changes WHERE ended < ?", (oldest,))
            self.database.execute("DELETE FROM waits WHERE hour < ?", (oldest // HOUR,))
            self.database.execute("DELETE FROM anomalies WHERE last < ?", (oldest // HOUR,))
            self.database.execute(
                "DELETE FROM directories WHERE user NOT IN (SELECT user FROM hours)"
            )
            removed = self.database.execute(
                "DELETE FROM pending WHERE id IN (SELECT id FROM pending WHERE seen < ? LIMIT ?)",
                (oldest, _EXPIRED),
            ).rowcount
            # It knew of days that are gone.
            self._files = FileTables(self.database, self._groups)
        return removed == _EXPIRED
