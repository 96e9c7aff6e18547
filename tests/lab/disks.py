"""Mounts disks that are small or away, for tests of a destination that is full or sick."""

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
    """Mount a memory disk of ``size`` bytes at a directory, which is created if necessary.

    ``names`` is the largest number of files on it; 0 means any number.
    """
    if os.geteuid() != 0:
        raise Unavailable("a small disk needs root, because only root may mount")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        options = f"size={size},nr_inodes={names},mode=0755"
        _run("mount", "-t", "tmpfs", "-o", options, "lab", str(directory))
    except LabError as error:  # root in a container without the capability
        raise Unavailable(f"a small disk needs the right to mount: {error}") from None
    try:
        yield directory
    finally:
        # --lazy, because umount fails while a server has a file open, and later tests would too.
        _run("umount", "--lazy", str(directory))


@contextmanager
def disconnected(directory: Path) -> Iterator[None]:
    """Let every access to a directory fail with ENOTCONN, as on a host that lost its file system.

    It is a FUSE mount whose server has ended.
    """
    if os.geteuid() != 0:
        raise Unavailable("a file system that is away needs root, because only root may mount")
    try:
        fuse = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        raise Unavailable(f"no file system that is away without FUSE: {error}") from None
    try:
        options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
        _run("mount", "-i", "-t", "fuse", "-o", options, "lab", str(directory), pass_fds=(fuse,))
    except LabError as error:
        raise Unavailable(f"a file system that is away needs the right to mount: {error}") from None
    finally:
        os.close(fuse)
    try:
        yield
    finally:
        _run("umount", "--lazy", str(directory))


def remount_read_only(directory: Path) -> None:
    """Remount a small disk read-only; LabError while a file on it is open for writing."""
    _run("mount", "-o", "remount,ro", str(directory))


def grow(directory: Path, size: int) -> None:
    """Change the size of a small disk to ``size`` bytes."""
    _run("mount", "-o", f"remount,size={size}", str(directory))


def _run(*command: str, pass_fds: tuple[int, ...] = ()) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=pass_fds)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
