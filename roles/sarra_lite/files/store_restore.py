"""Puts a store of sr_quota or sr_monitor from a backup in the place of that of now.

What the streams have since the backup is read again by the services.  If the streams are others
than those of the backup, they are read from their beginning.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

DAY: Final = "file_"  # and the date: a table of sr_monitor


def days(store: sqlite3.Connection) -> set[str]:
    """Return the days, as 20261128, of which a store has something."""
    names = [name for (name,) in store.execute("SELECT name FROM sqlite_master")]
    found = {name.removeprefix(DAY) for name in names if name.removeprefix(DAY).isdigit()}
    if "volume" in names:
        rows = store.execute("SELECT DISTINCT day FROM volume")
        found |= {str(day).replace("-", "") for (day,) in rows}
    return found


def check(new: Path, old: Path, *, force: bool) -> None:
    """Exit if the new store is damaged, or the old one has days that the new one lacks.

    Today and yesterday do not count: services read them again from the streams.
    """
    with contextlib.closing(sqlite3.connect(new)) as store:
        if (said := store.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            sys.exit(f"{new}: is damaged: {said}")
        backup = days(store)
    if force or not old.exists():
        return
    with contextlib.closing(sqlite3.connect(f"{old.as_uri()}?mode=ro", uri=True)) as store:
        present = days(store)
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y%m%d}"
    lost = {day for day in present - backup if max(backup, default="") < day < yesterday}
    if lost:
        sys.exit(
            f"{old}: has {len(lost)} days that the backup lacks, from {min(lost)}:"
            " -e restore_stores=true replaces it all the same, -e restore_stores=false leaves it"
        )


def install(new: Path, old: Path, *, same_streams: bool) -> None:
    """Replace the old store; it stays as NAME.before-TIME."""
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as store:
        names = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        if not same_streams:
            for table in names & {"progress", "chains"}:
                store.execute(f"DELETE FROM {table}")  # noqa: S608  one of these two
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    owner = old.parent.stat()
    os.chown(new, owner.st_uid, owner.st_gid)
    new.chmod(0o640)
    if old.exists():
        # The store and its write-ahead log are one: SQLite writes the log into the store here.
        with contextlib.closing(sqlite3.connect(old)) as store:
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        os.link(old, old.with_name(f"{old.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
    for suffix in ("-wal", "-shm"):
        old.with_name(old.name + suffix).unlink(missing_ok=True)
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    new.replace(old)


def main() -> None:
    """Check a store, or put it in place."""
    parser = argparse.ArgumentParser(description="Put a store from a backup in place.")
    parser.add_argument("what", choices=["check", "install"])
    parser.add_argument("new", type=Path)
    parser.add_argument("old", type=Path)
    parser.add_argument("--same-streams", action="store_true")
    parser.add_argument("--force", action="store_true", help="though newer entries are lost")
    given = parser.parse_args()
    if given.what == "check":
        check(given.new, given.old, force=given.force)
    else:
        install(given.new, given.old, same_streams=given.same_streams)


if __name__ == "__main__":
    main()
