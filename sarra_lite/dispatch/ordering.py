"""Which jobs may run side by side, and which must wait for an earlier one.  Pure.

Two operations on one name must happen in the order in which they were announced: a file removed and
made again must exist in the end.  An operation on a directory as a whole (its removal, its
renaming) must wait for what was announced beneath it, and the other way round.  What is beneath a
directory that is to be made waits for it, so that a private one is private before anything is in
it.  Blocks of one file do not disturb each other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

Key = TypeVar("Key", bound="Hashable")


class _Entry(NamedTuple):
    paths: tuple[str, ...]
    whole: bool
    first: bool
    shared: bool


class PathOrder(Generic[Key]):
    """Jobs in the order of their announcement, each with those it has to wait for."""

    def __init__(self) -> None:
        """No jobs."""
        self._entries: dict[Key, _Entry] = {}
        self._on: defaultdict[str, dict[Key, None]] = defaultdict(dict)
        self._below: defaultdict[str, dict[Key, None]] = defaultdict(dict)
        self._waits: dict[Key, set[Key]] = {}
        self._holds_up: defaultdict[Key, list[Key]] = defaultdict(list)

    def add(
        self,
        key: Key,
        *paths: str,
        whole: bool = False,
        first: bool = False,
        shared: bool = False,
    ) -> bool:
        """Enter a job on some paths; True when it may run at once.

        ``whole``: it concerns all that is beneath its paths, too.  ``first``: what comes later
        beneath its paths waits for it.  ``shared``: others that are shared may work on the same
        path meanwhile.
        """
        entry = _Entry(paths, whole, whole or first, shared)
        waits = {other for other in self._rivals(entry) if other != key}
        self._entries[key] = entry
        for path in paths:
            self._on[path][key] = None
            for parent in _parents(path):
                self._below[parent][key] = None
        self._waits[key] = waits
        for other in waits:
            self._holds_up[other].append(key)
        return not waits

    def done(self, key: Key) -> list[Key]:
        """Take a job out; return those that may run now and could not before."""
        entry = self._entries.pop(key)
        self._waits.pop(key)
        for path in entry.paths:
            _discard(self._on, path, key)
            for parent in _parents(path):
                _discard(self._below, parent, key)
        freed = []
        for other in self._holds_up.pop(key, ()):
            if (waits := self._waits.get(other)) is not None:
                waits.discard(key)
                if not waits:
                    freed.append(other)
        return freed

    def __len__(self) -> int:
        """Number of jobs entered and not done."""
        return len(self._entries)

    def _rivals(self, entry: _Entry) -> Iterator[Key]:
        for path in entry.paths:
            for other in self._on.get(path, ()):
                if not (entry.shared and self._entries[other].shared):
                    yield other
            if entry.whole:
                yield from self._below.get(path, ())
            for parent in _parents(path):
                for other in self._on.get(parent, ()):
                    if self._entries[other].first:
                        yield other


def _parents(path: str) -> Iterator[str]:
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def _discard(index: defaultdict[str, dict[Key, None]], path: str, key: Key) -> None:
    keys = index[path]
    keys.pop(key, None)
    if not keys:
        del index[path]
