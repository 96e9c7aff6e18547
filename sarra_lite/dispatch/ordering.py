"""Which jobs may run at the same time, and which must wait for an earlier one.  No input or output.

Operations on one path run in the order in which they are added: a file removed and made again must
exist in the end.  An operation on a whole directory (removal, rename) waits for earlier jobs
beneath it, and later jobs beneath it wait for the operation.  Jobs beneath a directory that is to
be made wait for it, so that it has its mode before anything is in it.  Blocks of one file do not
wait for each other.  The order holds within one sender process only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

Key = TypeVar("Key", bound="Hashable")
# A path: a number for each directory above it, then one for itself.  Numbers, because the names of
# these directories together would be as long as the square of the path's length.  Two paths with
# the same number, which are possible, only wait for each other.
_Path = tuple[int, ...]


@dataclass
class _Entry(Generic[Key]):
    paths: tuple[_Path, ...]
    subtree: bool
    before_children: bool
    concurrent: bool
    blocked_by: set[Key] = field(default_factory=set)
    blocking: list[Key] = field(default_factory=list)


class PathOrder(Generic[Key]):
    """Jobs in the order of their announcements, each with the earlier ones that it waits for."""

    def __init__(self) -> None:
        """Start without jobs."""
        self._entries: dict[Key, _Entry[Key]] = {}
        # Dictionaries for their order; their values are not used.
        self._at_path: defaultdict[int, dict[Key, None]] = defaultdict(dict)
        self._beneath: defaultdict[int, dict[Key, None]] = defaultdict(dict)

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
        numbers = tuple(map(_numbered, paths))
        entry = _Entry[Key](numbers, subtree, subtree or before_children, concurrent)
        entry.blocked_by.update(self._conflicts(entry))
        for other in entry.blocked_by:
            self._entries[other].blocking.append(key)
        self._entries[key] = entry
        for index, path in self._places(entry):
            index[path][key] = None
        return not entry.blocked_by

    def done(self, key: Key) -> list[Key]:
        """Remove a job; return those that waited for it and may run now."""
        entry = self._entries.pop(key)
        for index, path in self._places(entry):
            index[path].pop(key, None)
            if not index[path]:
                del index[path]
        unblocked = []
        for other in entry.blocking:
            waiting = self._entries.get(other)
            # A job that was removed and added again is in the list twice.
            if waiting is not None and key in waiting.blocked_by:
                waiting.blocked_by.remove(key)
                if not waiting.blocked_by:
                    unblocked.append(other)
        return unblocked

    def __len__(self) -> int:
        """Return the number of jobs that are not done."""
        return len(self._entries)

    def _conflicts(self, entry: _Entry[Key]) -> Iterator[Key]:
        """Yield the jobs that a new one must wait for."""
        for *parents, path in entry.paths:
            for other in self._at_path.get(path, ()):
                if not (entry.concurrent and self._entries[other].concurrent):
                    yield other
            if entry.subtree:
                yield from self._beneath.get(path, ())
            for parent in parents:
                for other in self._at_path.get(parent, ()):
                    if self._entries[other].before_children:
                        yield other

    def _places(
        self, entry: _Entry[Key]
    ) -> Iterator[tuple[defaultdict[int, dict[Key, None]], int]]:
        """Yield the indexes that list a job, each with the path there."""
        for *parents, path in entry.paths:
            yield self._at_path, path
            for parent in parents:
                yield self._beneath, parent


def _numbered(path: str) -> _Path:
    root, *names = path.split("/")
    steps = itertools.accumulate(names, lambda above, name: hash((above, name)), initial=hash(root))
    return tuple(steps)
