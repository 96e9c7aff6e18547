"""Mounts disks so small that they fill up, or that can be made read-only."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab import LabError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(directory: Path, size: int, *, names: int = 0) -> Iterator[Path]:
    """Mount a memory disk of so many bytes at the directory, which is made when missing.

    `names`: how many files may be on it; 0: any number.
    """
    if os.geteuid() != 0:
        raise Unavailable("a small disk needs root, who alone may mount")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        _run(
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={size},nr_inodes={names},mode=0755",
            "lab",
            str(directory),
        )
    except LabError as error:  # root of a container
        raise Unavailable(f"a small disk needs the right to mount: {error}") from None
    try:
        yield directory
    finally:
        # Lazily, since a server that still has a file open would keep it and all tests after it.
        _run("umount", "--lazy", str(directory))


def remount_read_only(directory: Path) -> None:
    """Make the small disk refuse every write; fails while a file on it is open for writing."""
    _run("mount", "-o", "remount,ro", str(directory))


def grow(directory: Path, size: int) -> None:
    """Give a small disk, mounted at the directory, so many bytes."""
    _run("mount", "-o", f"remount,size={size}", str(directory))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
