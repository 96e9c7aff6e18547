"""Watches directories with inotify(7); the only module that uses it.

The kernel reports a watch descriptor and a name in that directory.  This module keeps the current
path of each watched directory, follows renames, and reports events with complete paths.
"""

from __future__ import annotations

import contextlib
import errno
import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from inotify_simple import INotify, flags  # type: ignore[import-untyped]

from sarra_lite import units
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_Kind = Literal[
    "overflow", "directory_gone", "created", "complete", "attributes_changed", "removed"
]
_KINDS: Final[dict[int, _Kind]] = {
    flags.Q_OVERFLOW: "overflow",
    flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT: "directory_gone",
    flags.CREATE: "created",
    flags.CLOSE_WRITE | flags.MOVED_TO: "complete",
    flags.ATTRIB: "attributes_changed",
    flags.DELETE | flags.MOVED_FROM: "removed",
}
# EXCL_UNLINK: without it, closing a removed file would be reported for a new file of that name.
_MASK: Final = sum(_KINDS) | flags.ONLYDIR | flags.EXCL_UNLINK
# Milliseconds to wait for the second event of a rename; the kernel queues both within microseconds.
_RENAME_WAIT: Final = 20
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

    def events(self, seconds: float) -> Iterator[Event]:
        """Wait up to ``seconds`` for events, and yield them; nothing follows an overflow.

        The paths of directories below a renamed one change when its event is yielded.
        """
        raw_events = self._inotify.read(math.ceil(seconds * 1000), read_delay=_RENAME_WAIT)
        # Both events of a rename have the same cookie.  They are reported as one, at the first.
        arrivals = {raw.cookie: raw for raw in raw_events if raw.mask & flags.MOVED_TO}
        for raw in raw_events:
            path, is_dir = self._path(raw), bool(raw.mask & flags.ISDIR)
            if path is None or (raw.mask & flags.MOVED_TO and raw.cookie not in arrivals):
                continue
            arrival = arrivals.pop(raw.cookie, None) if raw.mask & flags.MOVED_FROM else None
            new = None if arrival is None else self._path(arrival)
            if is_dir and raw.mask & flags.MOVED_FROM:
                self._move(path, new)
            kind = next(kind for bits, kind in _KINDS.items() if raw.mask & bits)
            yield Event(kind, path, is_dir) if new is None else Event("complete", new, is_dir, path)
            if kind == "overflow":
                return

    def _path(self, raw: Any) -> str | None:
        """Return the path of an event; None if its directory is not watched any more."""
        if raw.mask & flags.Q_OVERFLOW:
            return ""
        if raw.mask & flags.IGNORED:  # the kernel has removed the watch
            self._paths.pop(raw.wd, None)
            return None
        directory = self._paths.get(raw.wd)
        if directory is None or not raw.name:
            return directory
        return f"{directory.rstrip('/')}/{raw.name}"

    def _move(self, old: str, new: str | None) -> None:
        """Set the new paths of the directories in a subtree; with None, stop watching them."""
        for descriptor, path in list(self._paths.items()):
            if not f"{path}/".startswith(f"{old}/"):
                continue
            if new is not None:
                self._paths[descriptor] = new + path[len(old) :]
                continue
            del self._paths[descriptor]
            # The kernel removes the watch of a deleted directory by itself.
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(descriptor)
