"""Which jobs may run at the same time, and which must wait for an earlier one.  No input or output.

Operations on one path run in the order in which they are added: a file removed and made again must
exist in the end.  An operation on a whole directory (removal, rename) waits for earlier jobs
beneath it, and later jobs beneath it wait for the operation.  Jobs beneath a directory that is to
be made wait for it, so that it has its mode before anything is in it.  Blocks of one file do not
wait for each other.  The order holds within one sender process only.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

Key = TypeVar("Key", bound="Hashable")


class _Entry(NamedTuple):
    paths: tuple[str, ...]
    subtree: bool
    before_children: bool
    concurrent: bool


class PathOrder(Generic[Key]):
    """Jobs in the order of their announcements, each with the earlier ones that it waits for."""

    def __init__(self) -> None:
        """Start without jobs."""
        self._entries: dict[Key, _Entry] = {}
        # Dictionaries for their order; their values are not used.
        self._at_path: defaultdict[str, dict[Key, None]] = defaultdict(dict)
        self._beneath: defaultdict[str, dict[Key, None]] = defaultdict(dict)
        self._blocked_by: dict[Key, set[Key]] = {}
        self._blocking: defaultdict[Key, list[Key]] = defaultdict(list)

    def add(
        self,
        key: Key,
        *paths: str,
        subtree: bool = False,
        before_children: bool = False,
        concurrent: bool = False,
    ) -> bool:
        """Add a job on some paths; return whether it may run at once.

        ``subtree``: it affects everything beneath its paths.  ``before_children``: later jobs
        beneath its paths wait for it.  ``concurrent``: it may run beside other concurrent jobs on
        the same path.
        """
        entry = _Entry(paths, subtree, subtree or before_children, concurrent)
        blocked_by = {other for other in self._conflicts(entry) if other != key}
        self._entries[key] = entry
        for path in paths:
            self._at_path[path][key] = None
            for parent in _parents(path):
                self._beneath[parent][key] = None
        self._blocked_by[key] = blocked_by
        for other in blocked_by:
            self._blocking[other].append(key)
        return not blocked_by

    def done(self, key: Key) -> list[Key]:
        """Remove a job; return those that waited for it and may run now."""
        entry = self._entries.pop(key)
        self._blocked_by.pop(key)
        for path in entry.paths:
            _discard(self._at_path, path, key)
            for parent in _parents(path):
                _discard(self._beneath, parent, key)
        unblocked = []
        for other in self._blocking.pop(key, ()):
            if (blocked_by := self._blocked_by.get(other)) is not None:
                blocked_by.discard(key)
                if not blocked_by:
                    unblocked.append(other)
        return unblocked

    def __len__(self) -> int:
        """Return the number of jobs that are not done."""
        return len(self._entries)

    def _conflicts(self, entry: _Entry) -> Iterator[Key]:
        """Yield the jobs that a new one must wait for."""
        for path in entry.paths:
            for other in self._at_path.get(path, ()):
                if not (entry.concurrent and self._entries[other].concurrent):
                    yield other
            if entry.subtree:
                yield from self._beneath.get(path, ())
            for parent in _parents(path):
                for other in self._at_path.get(parent, ()):
                    if self._entries[other].before_children:
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
