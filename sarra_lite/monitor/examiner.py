"""Judges each hour of the store, of each user and group, once it is over.

The past is read from the store after a start, then only what is new.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.monitor import anomalies, schema
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.profile import Profile, Sums
from sarra_lite.monitor.records import DAY, FILE_SENT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from sarra_lite.monitor.profile import Finding
    from sarra_lite.monitor.store import Store

_GRACE: Final = 300_000  # milliseconds that reports on an hour may take
_FORGOTTEN: Final = 7 * DAY  # a file that has waited for longer is not new
_UNCHANGED: Final = 304

_WAITS: Final = (
    "SELECT user, min(max(announced, ifnull(moved, 0))) FROM pending WHERE announced > ?"
    " GROUP BY user"
)
_SUMS: Final = (
    "SELECT hour, user, grp, code, files, bytes, took FROM hours WHERE hour > ? AND hour <= ?"
    " ORDER BY hour"
)


class Who(NamedTuple):
    """A user, or a group of which ``user`` is empty."""

    group: str
    user: str


class Examiner:
    """Judges the hours of one store; its method may be called in any thread, one at a time."""

    def __init__(self, store: Store, groups: Mapping[str, str], most: int) -> None:
        """``groups`` has the group of each user; no more than ``most`` users are judged."""
        self._store = store
        self._groups = groups
        self._most = most
        self._profiles: dict[Who, Profile] = {}
        # A thread may still be at work for a coroutine that was cancelled.
        self._lock = threading.Lock()
        self._last = -1  # hour up to which the profiles know the past

    def examine(self) -> int | None:
        """Judge the hours that are over; return the last one, None if it was judged before.

        Raise StoreFull or SarraError as ``Store.take`` does.
        """
        now = time.time_ns() // 10**6
        hour = (now - _GRACE) // HOUR - 1
        with self._lock:
            if hour <= self._last:
                return None
            try:
                self._examine(hour, now)
            except BaseException:
                # What the profiles know of may not be written.
                self._profiles, self._last = {}, -1
                raise
            self._last = hour
        return hour

    def _examine(self, hour: int, now: int) -> None:
        """Judge the hours up to this one, and write what was found."""
        with closing(schema.connect(self._store.file)) as database:
            database.execute("BEGIN")
            judged = anomalies.judged(database)
            waits = self._waits(database, now) if hour > judged else {}
            found = [
                (then, who, finding)
                for then, sums in self._hours(database, hour, waits)
                for who, total in sums.items()
                for finding in self._judge(then, who, total)
                if then > judged
            ]
        if hour > judged:
            with self._store.transaction() as writing:
                anomalies.keep(writing, hour, waits, found)

    def _judge(self, hour: int, who: Who, sums: Sums) -> list[Finding]:
        if who not in self._profiles:
            if len(self._profiles) >= self._most:
                return []
            self._profiles[who] = Profile(group=not who.user)
        return self._profiles[who].judge(hour, sums)

    def _waits(self, database: sqlite3.Connection, now: int) -> dict[str, int]:
        """Return how many seconds the oldest file of each user has waited without progress."""
        rows = database.execute(_WAITS, (now - _FORGOTTEN,))
        return {user: max(0, now - since) // 1000 for user, since in rows}

    def _hours(
        self, database: sqlite3.Connection, last: int, waits: Mapping[str, int]
    ) -> Iterator[tuple[int, dict[Who, Sums]]]:
        """Yield the sums of users and groups for each hour that is not known yet, in order."""
        span = (self._last, last)
        waited = database.execute(
            "SELECT hour, user, oldest FROM waits WHERE hour > ? AND hour <= ? ORDER BY hour", span
        )
        made = database.execute(
            "SELECT hour, user, path FROM directories WHERE hour > ? AND hour <= ? ORDER BY hour",
            span,
        )
        rows = heapq.merge(
            database.execute(_SUMS, span),
            waited,
            made,
            ((last, user, oldest) for user, oldest in waits.items()),
            key=lambda row: row[0],
        )
        for hour, of_hour in groupby(rows, key=lambda row: row[0]):
            yield hour, self._summed(of_hour)

    def _summed(self, rows: Iterator[tuple[object, ...]]) -> dict[Who, Sums]:
        """Return the sums of an hour, of each user and of each group."""
        totals: defaultdict[Who, _Total] = defaultdict(_Total)
        for _, user, *values in rows:
            name = str(user)
            group = str(values[0]) if len(values) > 1 else self._groups.get(name, "")
            for who in (Who(group, name), Who(group, "")) if group else (Who("", name),):
                totals[who].add(values)
        return {who: total.sums() for who, total in totals.items()}


class _Total:
    """Adds what rows say."""

    def __init__(self) -> None:
        self.sent = self.failed = self.bytes = self.took = self.oldest = 0
        self.directories: list[str] = []

    def add(self, values: list[object]) -> None:
        """Add a row: sums of one code, seconds that a file waited, or a new directory."""
        match values:
            case [_, int(code), int(files), int(size), int(took)]:
                if code == FILE_SENT:
                    self.sent += files
                    self.bytes += size
                    self.took += took
                elif code >= 300 and code != _UNCHANGED:  # noqa: PLR2004  HTTP's classes
                    self.failed += files
            case [int(oldest)]:
                self.oldest = max(self.oldest, oldest)
            case [bytes(path)]:
                self.directories.append(path.decode(errors="surrogateescape"))

    def sums(self) -> Sums:
        """Return what was added."""
        took = self.took / 1000
        # A correction of an earlier hour may leave less than nothing.
        counts = max(0, self.sent), max(0, self.failed), max(0, self.bytes)
        return Sums(*counts, took, self.oldest, self.directories)
