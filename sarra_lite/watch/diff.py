"""What differs between a disk and what was announced of it: names compared with the ledger.

It depends on what is on the disk now, never on which event led here, so it may be asked about any
name at any time, and as often as one likes.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.watch.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to announce.  ``old`` is the former name when it is a renaming."""

    kind: Literal["changed", "removed", "renamed"]
    path: str  # bytes that are no UTF-8 are lone surrogates, as os.fsdecode makes them
    old: str | None
    is_dir: bool
    token: int  # what the ledger knows this announcement by


class FileState(NamedTuple):
    """What is on the disk under a name: a file, a directory or a symbolic link.

    ``version`` is the same when there is nothing new to announce.  The inode is in it because
    another file of the same size may bear the same mtime, as reproducible builds make them.
    """

    version: str
    is_dir: bool
    is_file: bool
    links: int
    size: int
    mtime: float
    ctime: float


def read_state(path: str) -> FileState | None:
    """Return what can be announced under a name; None if nothing, or if we may not look."""
    try:
        at = os.lstat(path)
        target = os.readlink(path) if stat.S_ISLNK(at.st_mode) else ""
    except OSError:
        return None
    is_dir, is_file = stat.S_ISDIR(at.st_mode), stat.S_ISREG(at.st_mode)
    mode = f"{stat.S_IMODE(at.st_mode):o}"
    if target:
        # The ledger keeps versions as text, and a target is bytes.
        version = f"link {os.fsencode(target).hex()}"
    elif is_dir:
        version = f"directory {mode}"
    elif is_file:
        version = f"file {at.st_ino} {at.st_size} {at.st_mtime_ns} {mode}"
    else:
        return None
    return FileState(version, is_dir, is_file, at.st_nlink, at.st_size, at.st_mtime, at.st_ctime)


def is_gone(path: str) -> bool:
    """Tell whether nothing that can be announced is there; in doubt, it is not gone."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode))


class Diff:
    """Compares names with a ledger, and notes in it each change that it yields.

    ``done`` or ``failed`` then tell what became of the change; neither, and the next run of the
    program finds it anew.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Compare with this ledger, which is open."""
        self._ledger = ledger

    def is_known(self, path: str, found: FileState) -> bool:
        """Tell whether this version of the name was announced."""
        entry = self._ledger.entry(path)
        return entry is not None and entry.version == found.version

    def was_announced(self, path: str) -> bool:
        """Tell whether some version of the name was announced."""
        return self._ledger.entry(path) is not None

    def other_names(self, path: str) -> list[str]:
        """Return the other names announced of a file with several: of them no event tells."""
        found = read_state(path)
        if found is None or not found.is_file or found.links == 1:
            return []
        _, inode, *_ = found.version.split()
        return [name for name in self._ledger.with_version(f"file {inode} ") if name != path]

    def compare(self, path: str, found: FileState) -> Iterator[Change]:
        """Yield the change that makes the other side have what was found, or nothing.

        When a directory became something else or the reverse, all that it was goes first.
        """
        entry = self._ledger.entry(path)
        if entry is not None and entry.version == found.version:
            return
        if entry is not None and entry.is_dir != found.is_dir:
            yield from self.removed(path, certain=True)
        token = self._ledger.begin(path, found.version, is_dir=found.is_dir)
        yield Change("changed", path, None, found.is_dir, token)

    def removed(self, path: str, *, certain: bool = False) -> Iterator[Change]:
        """Yield a removal for a name and for each name beneath that is gone, children first.

        ``certain`` says that all of them are, whatever a look through a symbolic link shows.
        """
        for entry in self._ledger.beneath(path):
            if entry.version is not None and (certain or is_gone(entry.path)):
                token = self._ledger.begin(entry.path, None, is_dir=entry.is_dir)
                yield Change("removed", entry.path, None, entry.is_dir, token)

    def renamed(self, old: str, path: str) -> Iterator[Change]:
        """Yield a renaming if it makes the other side have what is here now, or nothing.

        That is so if the other side has the old name in this version for certain, and, as a
        directory replaces nothing, no directory of the new name.
        """
        entry, found = self._ledger.entry(old), read_state(path)
        if entry is None or found is None or not entry.confirmed or entry.version != found.version:
            return
        there = next(self._ledger.beneath(path), None)
        if there is not None and (found.is_dir or there.is_dir or there.path != path):
            return
        token = self._ledger.rename(old, path, found.version, is_dir=found.is_dir)
        yield Change("renamed", path, old, found.is_dir, token)

    def done(self, change: Change) -> None:
        """Record that the announcement of a change is confirmed."""
        self._ledger.confirm(change.path, change.token)

    def failed(self, change: Change) -> None:
        """Record that a change was not announced, so that the next look finds it anew."""
        self._ledger.doubt(change.path, change.token)
