"""What operators' playbooks have changed, as the stream of reports told it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from sarra_lite import units
from sarra_lite.messages.change import Change, sentence
from sarra_lite.monitor import schema
from sarra_lite.monitor.records import DAY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path


def add(database: sqlite3.Connection, changes: Iterable[Change], now: int) -> None:
    """Keep changes, each once; one of a later time than ``now``, in milliseconds, is of now."""
    rows = [
        (one.id, max(0, min(int(one.time * 1000), now)), msgspec.json.encode(one))
        for one in changes
    ]
    database.executemany("INSERT OR IGNORE INTO changes VALUES (?, ?, ?)", rows)


def entries(file: Path, day: int | None = None, limit: int = 100) -> list[Change]:
    """Return what was changed, the latest first; ``day``: days since 1970.

    Raise ConfigError when the store cannot be read, or is of another version.
    """
    first, end = (0, 2**62) if day is None else (day * DAY, (day + 1) * DAY)
    query = "SELECT entry FROM changes WHERE ended >= ? AND ended < ? ORDER BY ended DESC LIMIT ?"
    with schema.reading(file) as database:
        rows = database.execute(query, (first, end, limit)).fetchall()
    return [msgspec.json.decode(entry, type=Change) for (entry,) in rows]


def line(change: Change) -> str:
    """Return a change for people: when, who from where, and what."""
    when = datetime.fromtimestamp(change.time, UTC)
    who = units.printable(f"{change.who}@{change.host}")
    return f"{when:%Y-%m-%d %H:%M:%S} {who:<20} {units.printable(sentence(change))}"
