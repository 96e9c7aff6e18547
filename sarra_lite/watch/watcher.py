"""Yields the changes below watched directories, for sr_post --watch.

An inotify event only selects names to check; a change is a difference between the disk and the
ledger.  So late or repeated events do no harm, dropped events are made good by listing everything,
and changes made while no process watched are found by the same comparison at the next start.

A file is complete when it is closed after writing or renamed to its name.  A file found by listing,
or a new hard link, is complete when nothing has changed it for ``settle`` seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Final, Self

from sarra_lite import units
from sarra_lite.errors import SarraError
from sarra_lite.watch.completion import CompletionTracker
from sarra_lite.watch.diff import Change, Diff, read_state
from sarra_lite.watch.inotify import WatchedDirectories

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from sarra_lite.watch.inotify import Event
    from sarra_lite.watch.ledger import Ledger

__all__ = ["Change", "Watcher"]

log = logging.getLogger("sarra_lite")

_MISSING: Final = (FileNotFoundError, NotADirectoryError)


class Watcher:
    """Yields the changes to announce below some directories; a context manager.

    The caller reports the result of each change by ``done`` or ``failed``.  A change without a
    result is found again by the next run.
    """

    def __init__(
        self, roots: Sequence[str], ledger: Ledger, settle: float, *, settle_if_open: float = 60.0
    ) -> None:
        """Watch directories, given by absolute paths, and compare them with an open ledger.

        ``settle`` and ``settle_if_open``: see CompletionTracker.
        """
        self._roots = _outermost(roots)
        self._ledger = ledger
        self._diff = Diff(ledger)
        self._tracker = CompletionTracker(self._diff, settle, settle_if_open)
        self._unreadable: set[str] = set()  # directories whose warning was logged
        self._deadline = 0.0  # when changes() must return control, in monotonic seconds

    def __enter__(self) -> Self:
        """Start to collect events; raise ConfigError at the system's limit of inotify users."""
        self._directories = WatchedDirectories()
        self._stream = self._run()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._stream.close()
        self._directories.close()

    def changes(self, timeout: float) -> Iterator[Change | None]:
        """Yield changes as they occur; yield None and end after ``timeout`` seconds without one.

        Raises SarraError when a watched directory itself is gone, ConfigError at the system's
        limit of watches.
        """
        self._deadline = time.monotonic() + timeout
        for change in self._stream:
            if change is not None:
                yield change
                self._deadline = time.monotonic() + timeout
            elif time.monotonic() >= self._deadline:
                self._ledger.commit()
                yield None
                return

    def done(self, change: Change) -> None:
        """Record that the announcement of a change is confirmed; at any time, in any order."""
        self._ledger.confirm(change.token)

    def failed(self, change: Change) -> None:
        """Record that a change could not be announced; to be called before the next is taken.

        The next event on its name, or the next run, finds it again.
        """
        self._ledger.mark_uncertain(change.token)

    def _run(self) -> Generator[Change | None]:
        """Yield changes without end, and None at each point where ``changes`` may return."""
        yield from self._list_all()
        while True:
            self._ledger.commit()
            wait = min(self._deadline - time.monotonic(), self._tracker.seconds_until_due())
            for event in self._directories.events(max(0.0, wait)):
                yield from self._handle(event)
                yield None
            yield from self._tracker.due_changes()
            self._check_roots()
            yield None

    def _handle(self, event: Event) -> Iterator[Change | None]:
        if event.kind == "overflow":
            log.warning("more happened than the system remembers; listing everything again")
            yield from self._list_all()
        elif event.kind == "directory_gone":
            if event.path in self._roots:
                raise _root_gone(event.path)
        else:
            if event.old is not None:
                self._tracker.renamed(event.old, event.path)
                yield from self._diff.renamed(event.old, event.path)
                # What that rename did not cover is announced name by name.
                yield from self._diff.removed(event.old)
            handle = self._handle_directory if event.is_dir else self._handle_file
            yield from handle(event)

    def _handle_directory(self, event: Event) -> Iterator[Change | None]:
        if event.kind == "attributes_changed":
            state = self._diff.unannounced_state(event.path)
            if state and state.is_dir:
                yield from self._list(event.path)
            return
        if event.kind in {"created", "complete"}:
            yield from self._list(event.path)
        # Names recorded below an earlier directory of this name may be missing now.
        yield from self._diff.removed(event.path)

    def _handle_file(self, event: Event) -> Iterator[Change]:
        match event.kind:
            case "removed":
                yield from self._diff.removed(event.path)
            case "complete":
                yield from self._tracker.closed(event.path)
            case "created":
                yield from self._tracker.created(event.path)
            case "attributes_changed":
                self._tracker.attributes_changed(event.path)

    def _list_all(self) -> Iterator[Change | None]:
        """Watch and compare everything on the disk, then everything in the ledger."""
        self._directories.mark_stale()
        for root in self._roots:
            yield from self._list(root)
        self._check_roots()
        self._directories.remove_stale()
        for root in self._roots:
            yield from self._diff.removed(root)

    def _list(self, top: str) -> Iterator[Change | None]:
        """Compare a directory and everything below it.

        Each directory is watched before it is listed, so that no new name is missed.
        """
        directories = [top]
        while directories:
            path = directories.pop()
            readable = self._watch(path)
            state = read_state(path)
            if state is None or not (state.is_dir or path in self._roots):
                continue
            if state.is_dir:
                yield from self._diff.compare(path, state)
            yield None
            if not readable:
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
            if path not in self._unreadable:
                self._unreadable.add(path)
                log.warning("%s: not watched: %s", units.printable(path), error.strerror)
            return False
        self._unreadable.discard(path)
        return True

    def _check_roots(self) -> None:
        for root in self._roots:
            if not os.path.isdir(root):  # noqa: PTH112  any bytes
                raise _root_gone(root)


def _root_gone(path: str) -> SarraError:
    return SarraError(f"{units.printable(path)}: the watched directory was removed or renamed")


def _outermost(roots: Sequence[str]) -> list[str]:
    """Return the roots that are not below another root."""
    kept: list[str] = []
    for root in sorted({root.rstrip("/") or "/" for root in roots}):
        if not any(root.startswith(other.rstrip("/") + "/") for other in kept):
            kept.append(root)
    return kept
