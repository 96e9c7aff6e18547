"""Watches directories with inotify(7); the only module that uses it.

The kernel reports a watch descriptor and a name in that directory.  This module keeps the current
path of each watched directory, follows renames, and reports events with complete paths.
"""

from __future__ import annotations

import contextlib
import errno
import math
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from inotify_simple import INotify, flags  # type: ignore[import-untyped]

from sarra_lite import units
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Kind = Literal[
    "overflow", "directory_gone", "created", "complete", "attributes_changed", "removed"
]
_KINDS: Final[dict[int, _Kind]] = {
    flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT: "directory_gone",
    flags.CREATE: "created",
    flags.CLOSE_WRITE | flags.MOVED_TO: "complete",
    flags.ATTRIB: "attributes_changed",
    flags.DELETE | flags.MOVED_FROM: "removed",
}
# EXCL_UNLINK: without it, closing a removed file would be reported for a new file of that name.
_MASK: Final = sum(_KINDS) | flags.ONLYDIR | flags.EXCL_UNLINK
# Seconds to wait for the second event of a rename; the kernel queues both within microseconds.
_RENAME_WAIT: Final = 0.03
_LIMITS: Final = {
    errno.ENOSPC: "too many directories to watch; raise fs.inotify.max_user_watches (sysctl)",
    errno.EMFILE: "too many watching programs; raise fs.inotify.max_user_instances (sysctl),"
    " or the limit of open files",
}


class Event(NamedTuple):
    """An event on one path; the disk may have changed again since.

    ``overflow``: the kernel's queue was full and events were dropped.
    ``directory_gone``: a watched directory itself was removed, renamed or unmounted.
    ``complete``: a file was closed after writing, or anything was renamed to this path.
    """

    kind: _Kind
    path: str
    is_dir: bool
    old: str | None = None  # the former path, if that was in a watched directory, too


class WatchedDirectories:
    """The set of directories that the kernel watches, with their current paths."""

    def __init__(self) -> None:
        """Open inotify without watches; raise ConfigError at a limit of the system."""
        try:
            self._inotify = INotify()
        except OSError as error:
            raise ConfigError(_LIMITS.get(error.errno or 0, str(error))) from None
        self._paths: dict[int, str] = {}  # by watch descriptor
        self._stale: set[int] = set()  # not added again since mark_stale

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()

    def add(self, path: str, *, follow: bool) -> None:
        """Watch a directory, or set the new path of one that is watched.

        ``follow``: watch the target of a symbolic link.  Raises ConfigError at the system's limit
        of watches, else OSError.
        """
        try:
            descriptor = self._inotify.add_watch(path, _MASK | (not follow) * flags.DONT_FOLLOW)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ConfigError(f"{units.printable(path)}: {_LIMITS[errno.ENOSPC]}") from None
        self._paths[descriptor] = path
        self._stale.discard(descriptor)

    def mark_stale(self) -> None:
        """Mark all directories as stale until they are added again."""
        self._stale = set(self._paths)

    def remove_stale(self) -> None:
        """Stop watching directories that are still stale: they are no longer in a watched tree."""
        self._remove(self._paths.keys() & self._stale)

    def events(self, seconds: float) -> Iterator[Event]:
        """Wait up to ``seconds`` for events, and yield them.

        The paths of directories below a renamed one change when its event is yielded.
        """
        raw_events = self._read(seconds)
        arrivals = _cookies(raw_events, flags.MOVED_TO)
        departures: dict[int, tuple[str, int]] = {}
        for raw in raw_events:
            if raw.mask & flags.Q_OVERFLOW:
                yield Event("overflow", "", is_dir=True)
            elif (path := self._path(raw)) is None:
                continue
            elif raw.mask & flags.MOVED_FROM and raw.cookie in arrivals:
                departures[raw.cookie] = (path, raw.mask)
            else:
                old, _ = departures.pop(raw.cookie, (None, 0))
                yield self._event(path, raw.mask, old)
        # Their new names are in directories that are no longer watched.
        for path, mask in departures.values():
            yield self._event(path, mask, None)

    def _event(self, path: str, mask: int, old: str | None) -> Event:
        """Return the event; update the set when a directory was renamed or left the tree."""
        is_dir = bool(mask & flags.ISDIR)
        if is_dir and old is not None:
            for descriptor in self._subtree(old):
                self._paths[descriptor] = path + self._paths[descriptor][len(old) :]
        elif is_dir and mask & flags.MOVED_FROM:
            self._remove(self._subtree(path))
        kind = next(kind for bits, kind in _KINDS.items() if mask & bits)
        return Event(kind, path, is_dir, old)

    def _path(self, raw: Any) -> str | None:
        """Return the path of an event; None if its directory is not watched any more."""
        if raw.mask & flags.IGNORED:  # the kernel has removed the watch
            self._paths.pop(raw.wd, None)
            return None
        directory = self._paths.get(raw.wd)
        if directory is None or not raw.name:
            return directory
        return f"{directory.rstrip('/')}/{raw.name}"

    def _read(self, seconds: float) -> list[Any]:
        """Wait for events, then shortly for the second event of each rename."""
        events = list(self._inotify.read(math.ceil(seconds * 1000)))
        deadline = time.monotonic() + _RENAME_WAIT
        while (left := deadline - time.monotonic()) > 0 and not (
            _cookies(events, flags.MOVED_FROM) <= _cookies(events, flags.MOVED_TO)
        ):
            events += self._inotify.read(math.ceil(left * 1000))
        return events

    def _subtree(self, path: str) -> list[int]:
        """Return the watch descriptors of a directory and all directories below it."""
        return [wd for wd, name in self._paths.items() if f"{name}/".startswith(f"{path}/")]

    def _remove(self, descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            del self._paths[descriptor]
            # The kernel removes the watch of a deleted directory by itself.
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(descriptor)


def _cookies(events: list[Any], flag: int) -> set[int]:
    """Return the cookies of the events with a flag; both events of a rename have the same."""
    return {event.cookie for event in events if event.mask & flag}
