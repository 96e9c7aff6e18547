"""Yields the changes below watched directories, for sr_post --watch.

An inotify event only selects names to check; a change is a difference between the disk and the
ledger.  So late or repeated events do no harm, dropped events are made good by listing everything,
and changes made while no process watched are found by the same comparison at the next start.

A file is complete when it is closed after writing or renamed to its name.  A file found by listing,
or a new hard link, is complete when nothing has changed it for ``settle`` seconds.  A file under a
temporary name (``watch.temporary``) is passed over until it is renamed.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Self

from sarra_lite import units
from sarra_lite.errors import SarraError
from sarra_lite.runtime import log
from sarra_lite.watch import removals
from sarra_lite.watch.completion import CompletionTracker
from sarra_lite.watch.diff import Diff
from sarra_lite.watch.inotify import WatchedDirectories

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from sarra_lite.watch.diff import Change
    from sarra_lite.watch.inotify import Event
    from sarra_lite.watch.ledger import Ledger

_MISSING: Final = (FileNotFoundError, NotADirectoryError)


class Watcher:
    """Yields the changes to announce below some directories; a context manager.

    The caller reports the result of each change to the ledger, by ``confirm`` or
    ``mark_uncertain``.  A change without a result is found again by the next run.
    """

    def __init__(
        self,
        roots: Sequence[str],
        ledger: Ledger,
        settle: float,
        *,
        settle_if_open: float = 60.0,
        ceiling: removals.Ceiling | None = None,
        renames: bool = True,
    ) -> None:
        """Watch directories, given by absolute paths, and compare them with an open ledger.

        ``settle`` and ``settle_if_open``: see CompletionTracker.  ``ceiling``: of the names that
        may be missing at the start; None accepts that whatever is missing was removed.
        ``renames``: yield renames, not new names and removals.
        """
        names = {root.rstrip("/") or "/" for root in roots}
        self._roots = [
            root for root in sorted(names) if names.isdisjoint(map(str, PurePath(root).parents))
        ]
        self._ledger = ledger
        self._ceiling = ceiling
        self._places: dict[str, str] = {}
        self._diff = Diff(ledger, renames=renames)
        self._settle = (settle, settle_if_open)
        self._deadline = 0.0  # when changes() must return control, in monotonic seconds
        self._found = False  # whether the present call of changes() has yielded one

    def __enter__(self) -> Self:
        """Start to collect events; raise ConfigError at the system's limit of inotify users."""
        self._start()
        self._stream = self._run()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._stream.close()
        self._directories.close()

    def changes(self, timeout: float) -> Iterator[Change]:
        """Yield changes for ``timeout`` seconds, or until no other change follows at once.

        Raises SarraError when a watched directory itself is gone, ConfigError at the system's limit
        of watches, or when what is missing may be absent only (``watch.removals``).
        """
        self._deadline = time.monotonic() + timeout
        self._found = False
        for change in self._stream:
            if change is not None:
                self._found = True
                yield change
            if time.monotonic() >= self._deadline:
                return

    def _start(self) -> None:
        self._directories = WatchedDirectories()
        self._tracker = CompletionTracker(self._diff, *self._settle)

    def _run(self) -> Generator[Change | None]:
        """Yield changes without end, and None at each point where ``changes`` may return."""
        yield from self._list_all(self._missing_at_start)
        while True:
            if self._found:
                self._deadline = 0.0
            wait = min(self._deadline - time.monotonic(), self._tracker.seconds_until_due())
            for event in self._directories.events(max(0.0, wait)):
                yield from self._handle(event)
                yield None
            yield from self._tracker.due_changes()
            self._check_roots()
            yield None

    def _handle(self, event: Event) -> Iterator[Change | None]:
        if event.old is not None:
            yield from self._diff.renamed(event.old, event.path)
            # What that rename did not cover is announced name by name.
            yield from self._diff.removed(event.old)
        match event.kind:
            case "overflow":
                log.warning("more happened than the system remembers; listing everything again")
                self._directories.close()
                self._start()
                yield from self._list_all(self._missing_after_overflow)
            case "directory_gone":
                if event.path in self._roots:
                    raise _root_gone(event.path)
            case _ if event.is_dir:
                yield from self._handle_directory(event)
            case "created":
                yield from self._tracker.created(event.path)
            case "complete":
                yield from self._tracker.closed(event.path)
            case "attributes_changed":
                self._tracker.attributes_changed(event.path)
            case "removed":
                yield from self._diff.removed(event.path)

    def _handle_directory(self, event: Event) -> Iterator[Change | None]:
        if event.kind == "attributes_changed" and not self._diff.unannounced_state(event.path):
            return
        yield from self._list(event.path)
        # Names recorded below an earlier directory of this name may be missing now.
        yield from self._diff.removed(event.path)

    def _list_all(self, any_missing: Callable[[], bool]) -> Iterator[Change | None]:
        """Watch and compare everything on the disk, then everything in the ledger.

        Where nothing is missing, the ledger need not be compared a second time.
        """
        self._places = {}
        for root in self._roots:
            yield from self._list(root)
        self._check_roots()
        if any_missing():
            for root in self._roots:
                yield from self._diff.removed(root)
        self._ledger.record_places(self._places)

    def _missing_at_start(self) -> bool:
        if self._ceiling is None:
            return True
        return removals.check_start(self._ledger, self._roots, self._places, self._ceiling)

    def _missing_after_overflow(self) -> bool:
        """Return True: names may be missing, and the events on many of them are what overflowed."""
        removals.check_places(self._ledger, self._places)
        return True

    def _list(self, top: str) -> Iterator[Change | None]:
        """Compare a directory and everything below it.

        Each directory is watched before it is listed, so that no new name is missed.
        """
        directories = [top]
        while directories:
            path = directories.pop()
            if path in self._roots or os.path.ismount(path):
                self._places[path] = removals.identity(path) or ""
            readable = self._watch(path)
            is_link = os.path.islink(path)  # noqa: PTH114  any bytes
            if not is_link:
                yield from self._tracker.listed(path)
            yield None
            if not readable or (is_link and path not in self._roots):
                continue
            with contextlib.suppress(*_MISSING), os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.path)
                    else:
                        yield from self._tracker.listed(entry.path)
                        yield None

    def _watch(self, path: str) -> bool:
        """Watch a directory; return whether it may be listed, and log a warning if not."""
        try:
            self._directories.add(path, follow=path in self._roots)
        except _MISSING:
            return False
        except OSError as error:
            log.warning("%s: not watched: %s", units.printable(path), error.strerror)
            return False
        return True

    def _check_roots(self) -> None:
        for root in self._roots:
            if not os.path.isdir(root):  # noqa: PTH112  any bytes
                raise _root_gone(root)


def _root_gone(path: str) -> SarraError:
    return SarraError(f"{units.printable(path)}: the watched directory was removed or renamed")
