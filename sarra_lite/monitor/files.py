"""Writes the tables of files: pending ones with their progress, final ones by day, sums by hour.

All of it happens in the transaction that the caller has begun.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor import schema
from sarra_lite.monitor.directories import DirectoryTable
from sarra_lite.monitor.latency import duration_class
from sarra_lite.monitor.records import DAY, FILE_SENT
from sarra_lite.monitor.schema import suffix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from sarra_lite.monitor.records import Outcome, Record

WAITING, RUNNING, RETRYING = range(3)  # states of a file that has no final report
HOUR: Final = 3_600_000  # milliseconds
_MAX_TEXTS: Final = 200_000  # ids of texts that are kept in memory

_ADD_FILE: Final = (
    "INSERT INTO file_{0} (key, user, grp, dir, name, size, ended, waited, took, code, text,"
    " attempts, sender, host) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIND: Final = (
    "SELECT id, code, dir, user FROM file_{0} WHERE key = ? AND name = ? AND ended - waited = ?"
)
_HOUR_OF: Final = (
    "SELECT f.ended, t.value FROM file_{0} f JOIN text_{0} t ON t.id = f.grp WHERE f.id = ?"
)
_CORRECT: Final = "UPDATE file_{0} SET code = ?, text = ?, size = ?, took = ? WHERE id = ?"
_DROP_OLDER: Final = "DELETE FROM pending WHERE user = ? AND path = ? AND announced < ?"
_ADD_PENDING: Final = (
    "INSERT INTO pending (id, user, path, announced, size, seen, state, done, attempts)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)"
)
# A report may come twice, so no more than the file's size is done.
_ADD_PROGRESS: Final = (
    "UPDATE pending SET state = ?, done = min(max(done + ?, ?), size), attempts = max(attempts, ?),"
    " begun = min(ifnull(begun, ?), ?), moved = max(ifnull(moved, 0), ?), code = ?, text = ?,"
    " sender = ?, host = ?, word = ifnull(?, word), why = ifnull(?, why),"
    " connections = ifnull(?, connections) WHERE id = ?"
)
_ADD_SLOW: Final = "INSERT OR REPLACE INTO slow VALUES (?, ?, ?, ?, ?)"
# SQLite adds what exceeds 64 bits as inexact numbers, so no sum exceeds 2**62.
_ADD_HOUR: Final = (
    "INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " files = files + excluded.files,"
    " bytes = min(bytes + excluded.bytes, 4611686018427387904),"
    " took = min(took + excluded.took, 4611686018427387904)"
)

_ADD_WAITS: Final = (
    "INSERT INTO latencies VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " files = files + excluded.files"
)


class FileTables:
    """What is written of files; after a rollback another one is needed."""

    def __init__(self, database: sqlite3.Connection, groups: Mapping[str, str]) -> None:
        """``groups`` has the group of each user."""
        self.days = schema.days(database)
        self._database = database
        self._groups = groups
        self._secret = schema.secret(database)
        self._directories = DirectoryTable(database)
        self._texts: dict[tuple[int, bytes], int] = {}
        # Files, bytes and milliseconds, by hour, user, group and code.
        self._hours: defaultdict[tuple[int, str, str, int], list[int]]
        self._hours = defaultdict(lambda: [0, 0, 0])
        # Files that were sent, by day, user, group and class of their latency.
        self._waits: Counter[tuple[int, str, str, int]] = Counter()

    def take(self, record: Record, now: int) -> bool:
        """Write one record; return whether it is the first final report on its file.

        Of a file that failed by one report, and arrived by another, the second one counts, too.
        """
        ident = self._ident(record)
        pending = self._database.execute(
            "SELECT size, begun, attempts FROM pending WHERE id = ?", (ident,)
        ).fetchone()
        key = schema.path_key(record.path, self._secret)
        known = None if pending else self._find(record, key)
        outcome = record.outcome
        if outcome is None or record.block or not outcome.final:
            if known is None:
                self._note(ident, record, now, is_new=pending is None)
            return False
        # Older announcements of the path that nobody has reported: this report settles them, too.
        self._database.execute(_DROP_OLDER, (record.user, record.path, record.announced))
        if known is not None:
            return self._correct(record, outcome, *known)
        if pending is not None:
            self._database.execute("DELETE FROM pending WHERE id = ?", (ident,))
            record, outcome = _completed(record, outcome, *pending)
        self._add_file(record, outcome, key)
        return True

    def _ident(self, record: Record) -> int:
        """Return a number for user, path and time of an announcement."""
        name = b"%b\0%b\0%d" % (record.user.encode(), record.path, record.announced)
        digest = blake2b(name, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big", signed=True)

    def _note(self, ident: int, record: Record, now: int, *, is_new: bool) -> None:
        """Write that a file is announced, or a report that is not its last."""
        if is_new:
            values = (ident, record.user, record.path, record.announced, record.size, now, WAITING)
            self._database.execute(_ADD_PENDING, values)
        if (outcome := record.outcome) is None:
            return
        running = record.block or outcome.under_way
        state, begun = RUNNING if running else RETRYING, outcome.ended - outcome.took
        moved = outcome.ended if running else 0
        written = outcome.written if outcome.under_way else 0
        progress = (state, outcome.done, written, outcome.attempts, begun, begun, moved)
        told = (outcome.code, outcome.text, outcome.sender, outcome.host)
        slow = outcome[-3:] if outcome.under_way else (None, None, None)
        self._database.execute(_ADD_PROGRESS, (*progress, *told, *slow, ident))

    def _find(self, record: Record, key: int) -> tuple[int, int, int] | None:
        """Return day, id and code of a file that has its final report; None if it has none."""
        directory, name = os.path.split(record.path)
        # A clock of one host may be ahead of another's by some of a day.
        first = min(record.announced // DAY - 1, self.days[-1]) if self.days else 0
        for day in reversed(self.days):
            if day < first:
                break
            wanted = (key, name, record.announced - day * DAY)
            found = self._database.execute(_FIND.format(suffix(day)), wanted).fetchall()
            for row, code, *ids in found:
                if ids == [self._text(day, directory), self._text(day, record.user.encode())]:
                    return day, row, code
        return None

    def _correct(self, record: Record, outcome: Outcome, day: int, row: int, code: int) -> bool:
        """Write that a file arrived of which an earlier report says that it failed."""
        if not outcome.arrived or code < 300 or code == 304:  # noqa: PLR2004  as HTTP's
            return False
        ended, group = self._database.execute(_HOUR_OF.format(suffix(day)), (row,)).fetchone()
        text = self._text(day, outcome.text.encode())
        values = (outcome.code, text, record.size, outcome.took, row)
        self._database.execute(_CORRECT.format(suffix(day)), values)
        self._add_slow(day, row, outcome)
        hour = (day * DAY + ended) // HOUR
        self._hours[hour, record.user, group.decode(), code][0] -= 1
        self._sum(hour, record, outcome, group.decode())
        return True

    def _add_file(self, record: Record, outcome: Outcome, key: int) -> None:
        day, ended = divmod(outcome.ended, DAY)
        if day not in self.days:
            schema.add_day(self._database, day)
            self.days = sorted([*self.days, day])
        directory, name = os.path.split(record.path)
        group = self._groups.get(record.user, "")
        values = (
            key,
            self._text(day, record.user.encode()),
            self._text(day, group.encode()),
            self._text(day, directory),
            name,
            record.size,
            ended,
            outcome.ended - record.announced,
            outcome.took,
            outcome.code,
            self._text(day, outcome.text.encode()),
            outcome.attempts,
            self._text(day, outcome.sender.encode()),
            self._text(day, outcome.host.encode()),
        )
        row = self._database.execute(_ADD_FILE.format(suffix(day)), values).lastrowid
        self._add_slow(day, row, outcome)
        self._sum(outcome.ended // HOUR, record, outcome, group)
        if outcome.code == FILE_SENT:
            self._directories.add(record.user, directory, outcome.ended // HOUR)

    def _add_slow(self, day: int, row: int | None, outcome: Outcome) -> None:
        """Write what limited a file, if that is known."""
        if outcome.why:
            self._database.execute(_ADD_SLOW, (day, row, *outcome[-3:]))

    def _sum(self, hour: int, record: Record, outcome: Outcome, group: str) -> None:
        sums = self._hours[hour, record.user, group, outcome.code]
        sums[0] += 1
        sums[1] += record.size if outcome.code == FILE_SENT else 0
        sums[2] += outcome.took
        if outcome.code == FILE_SENT:
            each = duration_class(outcome.ended - record.announced)
            self._waits[hour * HOUR // DAY, record.user, group, each] += 1

    def add_hours(self) -> None:
        """Write the sums of what was written since the last call."""
        rows = ((*key, *sums) for key, sums in self._hours.items())
        self._database.executemany(_ADD_HOUR, rows)
        self._hours.clear()
        waits = ((*key, files) for key, files in self._waits.items())
        self._database.executemany(_ADD_WAITS, waits)
        self._waits.clear()

    def _text(self, day: int, value: bytes) -> int:
        """Return the id of a text in the tables of a day."""
        if (known := self._texts.get((day, value))) is not None:
            return known
        table = f"text_{suffix(day)}"
        query = f"SELECT id FROM {table} WHERE value = ?"  # noqa: S608
        row = self._database.execute(query, (value,)).fetchone()
        if row is None:
            insert = f"INSERT INTO {table} (value) VALUES (?)"  # noqa: S608
            ident = self._database.execute(insert, (value,)).lastrowid or 0
        else:
            ident = int(row[0])
        if len(self._texts) >= _MAX_TEXTS:
            self._texts.clear()
        self._texts[day, value] = ident
        return ident


def _completed(
    record: Record, outcome: Outcome, size: int, begun: int | None, attempts: int
) -> tuple[Record, Outcome]:
    """Return a final report with what was known before: when it was begun, how often it failed."""
    took = outcome.took if begun is None else max(outcome.took, outcome.ended - begun)
    outcome = outcome._replace(took=took, attempts=max(outcome.attempts, attempts))
    return record._replace(size=record.size or size, outcome=outcome), outcome
