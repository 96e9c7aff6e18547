"""Creates and compares directory trees."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Entry = tuple[str, ...]
_MIB = 1024 * 1024


def write_tree(root: Path) -> None:
    """Write a tree with files, an empty file, directories, links, modes and unusual names."""
    for name in ("a/b", "with blank", "empty dir"):
        (root / name).mkdir(parents=True)
    (root / "a" / "hello.txt").write_text("hello\n")
    (root / "a" / "b" / "empty").touch()
    (root / "a" / "b" / "2 MB").write_bytes(os.urandom(2_000_000))
    (root / "with blank" / "été #1").write_bytes(os.urandom(70_000))
    (root / "a" / "link").symlink_to("hello.txt")
    (root / "dangling").symlink_to("no/where")
    (root / "a" / "hello.txt").chmod(0o640)
    (root / "with blank").chmod(0o750)
    os.utime(root / "a" / "hello.txt", (1_600_000_000, 1_500_000_000))


def write_files(root: Path, count: int, size: int) -> None:
    """Write ``count`` files of ``size`` bytes with equal content into ten directories."""
    content = os.urandom(min(size, _MIB))
    for number in range(count):
        directory = root / f"d{number % 10}"
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / f"f{number}").open("wb") as file:
            for _ in range(max(1, size // _MIB)):
                file.write(content)


def listing(root: Path) -> dict[bytes, Entry]:
    """Return kind, mode, mtime and content digest of each path below a directory.

    A path that is removed meanwhile is left out.
    """
    top = os.fsencode(root)
    entries = {}
    for directory, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(directory, name)  # noqa: PTH118  bytes
            with contextlib.suppress(FileNotFoundError):
                entries[path[len(top) + 1 :]] = _entry(path)
    return entries


def same(left: Path, right: Path) -> bool:
    """Assert that two trees have equal names, content, modes, links and mtimes (in seconds)."""
    a, b = listing(left), listing(right)
    assert a == b, f"{dict(a.items() - b.items())} != {dict(b.items() - a.items())}"
    return True


def _entry(path: bytes) -> Entry:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.fsdecode(os.readlink(path)))
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISDIR(status.st_mode):
        return ("directory", mode)
    with open(path, "rb") as file:  # noqa: PTH123  bytes
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ("file", mode, str(int(status.st_mtime)), digest)
