"""Which directories the kernel watches for us, and what it tells; alone knows inotify."""

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
    from collections.abc import Iterator

# EXCL_UNLINK: closing a file whose name was removed says nothing of a new file of that name.
_MASK: Final = (
    flags.CREATE
    | flags.CLOSE_WRITE
    | flags.ATTRIB
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
    | flags.EXCL_UNLINK
)
_KINDS: Final[dict[int, Literal["lost", "created", "complete", "touched", "removed"]]] = {
    flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT: "lost",
    flags.CREATE: "created",
    flags.CLOSE_WRITE | flags.MOVED_TO: "complete",
    flags.ATTRIB: "touched",
    flags.DELETE | flags.MOVED_FROM: "removed",
}
_PARTNER: Final = 0.03  # seconds; the kernel queues both halves of a renaming within microseconds
_LIMITS: Final = {
    errno.ENOSPC: "too many directories to watch; raise fs.inotify.max_user_watches (sysctl)",
    errno.EMFILE: "too many watching programs; raise fs.inotify.max_user_instances (sysctl),"
    " or the limit of open files",
}


class Event(NamedTuple):
    """Something happened under a name; by the time it is told, more may have happened.

    ``overflow``: events were lost; ``lost``: a watched directory is removed, renamed or unmounted.
    """

    kind: Literal["overflow", "lost", "created", "complete", "touched", "removed"]
    path: str
    is_dir: bool
    old: str | None = None  # its former name, when it was renamed within what is watched


class WatchedDirectories:
    """The directories that the kernel watches for us, and their names now."""

    def __init__(self) -> None:
        """Watch none yet; ConfigError when the system allows no more watchers."""
        try:
            self._inotify = INotify()
        except OSError as error:
            raise ConfigError(_LIMITS.get(error.errno or 0, str(error))) from None
        self._paths: dict[int, str] = {}  # by watch descriptor
        self._fresh: set[int] = set()  # added since begin_anew

    def close(self) -> None:
        """Watch no directory any more."""
        self._inotify.close()

    def add(self, path: str, *, follow: bool) -> None:
        """Watch a directory, or follow it to this name; OSError if it cannot be."""
        try:
            descriptor = self._inotify.add_watch(path, _MASK | (not follow) * flags.DONT_FOLLOW)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ConfigError(f"{units.printable(path)}: {_LIMITS[errno.ENOSPC]}") from None
        self._paths[descriptor] = path
        self._fresh.add(descriptor)

    def begin_anew(self) -> None:
        """Begin to add all directories again."""
        self._fresh.clear()

    def remove_old(self) -> None:
        """Watch no longer what was not added since ``begin_anew``: it has left our tree."""
        self._forget(self._paths.keys() - self._fresh)

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what happened, after waiting for something to happen.

        Directories that are renamed or leave are followed or left as their event is yielded.
        """
        raw = self._read(seconds)
        arriving = {event.cookie for event in raw if event.mask & flags.MOVED_TO}
        leaving: dict[int, tuple[str, int]] = {}
        for event in raw:
            if event.mask & flags.Q_OVERFLOW:
                yield Event("overflow", "", is_dir=True)
            elif (path := self._path(event)) is None:
                continue
            elif event.mask & flags.MOVED_FROM and event.cookie in arriving:
                leaving[event.cookie] = (path, event.mask)
            else:
                old, _ = leaving.pop(event.cookie, (None, 0))
                yield self._event(path, event.mask, old)
        # Where these went is not in our tree any more.
        for path, mask in leaving.values():
            yield self._event(path, mask, None)

    def _event(self, path: str, mask: int, old: str | None) -> Event:
        is_dir = bool(mask & flags.ISDIR)
        if is_dir and old is not None:
            self._move(old, path)
        elif is_dir and mask & flags.MOVED_FROM:
            self._forget(self._beneath(path))
        kind = next(kind for bits, kind in _KINDS.items() if mask & bits)
        return Event(kind, path, is_dir, old)

    def _path(self, raw: Any) -> str | None:
        """Return what an event is about; None if that is not, or no longer, in our tree."""
        directory = self._paths.get(raw.wd)
        if raw.mask & flags.IGNORED:
            self._paths.pop(raw.wd, None)
            self._fresh.discard(raw.wd)
            return None
        if directory is None or not raw.name:
            return directory
        return f"{directory.rstrip('/')}/{raw.name}"

    def _read(self, seconds: float) -> list[Any]:
        """Wait; a renaming whose second half is not there yet is waited for, but not for long."""
        events = list(self._inotify.read(math.ceil(seconds * 1000)))
        give_up = time.monotonic() + _PARTNER
        while _is_half(events) and (left := give_up - time.monotonic()) > 0:
            events += self._inotify.read(math.ceil(left * 1000))
        return events

    def _move(self, old: str, path: str) -> None:
        """Follow a directory and those beneath to a new name."""
        for descriptor in self._beneath(old):
            self._paths[descriptor] = path + self._paths[descriptor][len(old) :]

    def _beneath(self, path: str) -> set[int]:
        return {
            descriptor
            for descriptor, name in self._paths.items()
            if name == path or name.startswith(path + "/")
        }

    def _forget(self, descriptors: set[int]) -> None:
        for descriptor in descriptors:
            del self._paths[descriptor]
            self._fresh.discard(descriptor)
            with contextlib.suppress(OSError):  # the directory may be gone, and its watch with it
                self._inotify.rm_watch(descriptor)


def _is_half(events: list[Any]) -> bool:
    """Tell whether a name left, and where it went is not told."""
    left = {event.cookie for event in events if event.mask & flags.MOVED_FROM}
    return not left <= {event.cookie for event in events if event.mask & flags.MOVED_TO}
