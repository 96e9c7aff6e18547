"""Prints a consistent copy of an SQLite file, which another process may be writing meanwhile."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

ABANDONED: Final = 86400.0  # seconds, of a copy by a run that was killed


def main() -> None:
    """Copy the file that is the argument to standard output."""
    source = Path(sys.argv[1]).resolve()
    if not source.is_file():
        sys.exit(f"{source} is not there")
    beside = source.parent.parent
    for left in beside.glob(".backup-*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".backup-") as directory:
        copy = Path(directory) / source.name
        with (
            contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as store,
            contextlib.closing(sqlite3.connect(copy)) as new,
        ):
            store.backup(new)
        with copy.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
