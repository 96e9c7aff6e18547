"""Compares disk and ledger.  Any method may be called for any name, at any time and repeatedly."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sarra_lite.watch.temporary import is_temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.watch.ledger import Entry, Ledger


_REMOVE: Final = frozenset({"remove"})
_RENAME: Final = frozenset({"rename"})


class Change(NamedTuple):
    """One change to announce.  ``old`` is the former name when ``kind`` is "renamed".

    ``events``: what it is, as the option ``events`` names it; several where that is not known.
    """

    kind: Literal["changed", "removed", "renamed"]
    path: str  # decoded by os.fsdecode: bytes that are not UTF-8 are lone surrogates
    old: str | None
    is_dir: bool
    token: int  # identifies this announcement in the ledger
    events: frozenset[str]


class FileState(NamedTuple):
    """The state of a file, directory or symbolic link on the disk.

    Two states with the same ``version`` need no new announcement.  The version of a file contains
    its inode, because another file may have the same size and mtime, as in reproducible builds.
    """

    version: str
    is_dir: bool
    is_file: bool
    status: os.stat_result


def read_state(path: str) -> FileState | None:
    """Return the state of a name; None if it is missing, not accessible, special or temporary."""
    try:
        status = os.lstat(path)
        if is_temporary(path, is_dir=stat.S_ISDIR(status.st_mode), size=status.st_size):
            return None
        kind, mode = stat.S_IFMT(status.st_mode), f"{stat.S_IMODE(status.st_mode):o}"
        match kind:
            case stat.S_IFDIR:
                version = f"directory {mode}"
            case stat.S_IFREG:
                version = f"file {status.st_ino} {status.st_size} {status.st_mtime_ns} {mode}"
            case stat.S_IFLNK:
                # The ledger stores versions as text, and a link's target may be any bytes.
                version = f"link {os.fsencode(os.readlink(path)).hex()}"
            case _:
                return None
    except OSError:
        return None
    return FileState(version, kind == stat.S_IFDIR, kind == stat.S_IFREG, status)


def is_gone(path: str) -> bool:
    """Return whether a name is missing or a special file; False when that cannot be determined."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode))


class Diff:
    """Yields the changes to announce, each after it was recorded in the ledger as pending."""

    def __init__(self, ledger: Ledger, *, renames: bool) -> None:
        """Compare with an open ledger; without ``renames``, ``renamed`` yields nothing."""
        self._ledger = ledger
        self._renames = renames

    def unannounced_state(self, path: str) -> FileState | None:
        """Return the state of a name on the disk if that version was not announced, else None."""
        state, entry = read_state(path), self._ledger.entry(path)
        return None if state and entry and entry.version == state.version else state

    def was_announced(self, path: str) -> bool:
        """Return whether any version of the name was announced."""
        return self._ledger.entry(path) is not None

    def all_names(self, path: str) -> list[str]:
        """Return a name, and the other announced hard links: inotify reports only the one used."""
        state = read_state(path)
        if state is None or not state.is_file or state.status.st_nlink == 1:
            return [path]
        links = self._ledger.with_version(f"file {state.status.st_ino} ")
        return [path, *(name for name in links if name != path)]

    def changed(self, path: str, state: FileState) -> Iterator[Change]:
        """Yield the change to ``state``, which was not announced.

        When a directory was replaced by something else or the reverse, the removal of the old
        entry and of everything below it comes first.
        """
        entry = self._ledger.entry(path)
        if entry is not None and entry.is_dir != state.is_dir:
            yield from self.removed(path, all_gone=True)
            entry = None
        token = self._ledger.record_pending(path, state.version, is_dir=state.is_dir)
        yield Change("changed", path, None, state.is_dir, token, _events(entry, state))

    def removed(self, path: str, *, all_gone: bool = False) -> Iterator[Change]:
        """Yield a removal for a name and each name below it that is gone, children first.

        With ``all_gone`` the disk is not checked: a symbolic link that replaced a directory could
        make the old names appear to exist.
        """
        for entry in self._ledger.subtree(path):
            if entry.may_exist and (all_gone or is_gone(entry.path)):
                token = self._ledger.record_pending(entry.path, None, is_dir=entry.is_dir)
                yield Change("removed", entry.path, None, entry.is_dir, token, _REMOVE)

    def renamed(self, old: str, path: str) -> Iterator[Change]:
        """Yield a rename if the destination can reach the present state by it, else nothing.

        The destination must have confirmed the old name in this version.  A rename cannot replace
        a directory, nor can a directory replace a file, so these are not yielded either.  The names
        below a directory must be announced again: senders can no longer read the files that were
        announced by their former names.
        """
        if not self._renames:
            return
        entry, state = self._ledger.entry(old), read_state(path)
        if entry is None or state is None or not entry.confirmed or entry.version != state.version:
            return
        present = (entry for entry in self._ledger.subtree(path) if entry.may_exist)
        replaced = next(present, None)
        if replaced and (state.is_dir or replaced.is_dir or replaced.path != path):
            return
        token = self._ledger.record_pending(path, state.version, is_dir=state.is_dir, old=old)
        yield Change("renamed", path, old, state.is_dir, token, _RENAME)


def _events(entry: Entry | None, state: FileState) -> frozenset[str]:
    """Return which events a change from what was announced to ``state`` may be."""
    if not (state.is_dir or state.is_file):
        return frozenset({"link"})
    created = "mkdir" if state.is_dir else "create"
    if entry is None or entry.version is None:
        return frozenset({created})
    if not entry.version:
        return frozenset({created, "modify", "attributes"})
    # A version ends with the mode.
    same_content = entry.version.rpartition(" ")[0] == state.version.rpartition(" ")[0]
    return frozenset({"attributes" if same_content else "modify"})
