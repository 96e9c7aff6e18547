"""Moves files into the homes where there is none of the same name; what is there stays."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path


def merge(source: Path, target: Path, counts: Counter[str]) -> None:
    """Move what is in a directory into another one."""
    for path in sorted(source.iterdir()):
        there = target / path.name
        if not os.path.lexists(there):
            move(path, there)
            counts["moved"] += 1
        elif is_directory(path) and is_directory(there):
            merge(path, there, counts)
        else:
            counts["left, since there is one of the name"] += 1


def is_directory(path: Path) -> bool:
    """Return whether a path is a directory, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def move(path: Path, there: Path) -> None:
    """Move a file or a tree; a quota may be a reason why it has to be copied."""
    try:
        path.rename(there)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = there.with_name(".restore-part")
        subprocess.run(["rm", "-rf", "--", part], check=True)
        subprocess.run(["cp", "--archive", "--no-target-directory", "--", path, part], check=True)
        part.rename(there)


def main() -> None:
    """Move all, remove the rest, and print how many there were."""
    source, target = map(Path, sys.argv[1:])
    counts: Counter[str] = Counter()
    merge(source, target, counts)
    shutil.rmtree(source)
    for what, count in counts.items():
        print(f"{count} files or directories were {what}")


if __name__ == "__main__":
    main()
