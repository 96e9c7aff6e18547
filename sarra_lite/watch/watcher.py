"""What is completed, changed, renamed or removed below directories, for --watch.

An event only says where to look; what is announced is the difference between the disk and the
ledger.  So events may be late, doubled or lost (then everything is listed), and what happened
while nobody watched is found by the same comparison.

A file is complete when it is closed after writing or renamed to its name.  One that we come upon
otherwise, by listing or linked in, is complete when nothing changed it for ``settle`` seconds.
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

_VANISHED: Final = (FileNotFoundError, NotADirectoryError)


class Watcher:
    """Yields what is to be announced below some directories; a context manager.

    Each change is told with ``done`` or ``failed`` what became of it; with neither, the next run
    finds it anew.
    """

    def __init__(
        self, roots: Sequence[str], ledger: Ledger, settle: float, *, patience: float = 60.0
    ) -> None:
        """Watch directories, given by absolute paths, against an open ledger.

        A new file that is never closed may have been linked in and its other name removed, or is
        still being written: it is complete when nothing changed it for ``patience`` seconds.
        """
        self._roots = _outermost(roots)
        self._ledger = ledger
        self._comparison = Diff(ledger)
        self._settling = CompletionTracker(self._comparison, settle, patience)
        self._closed_to_us: set[str] = set()  # directories that may not be read
        self._until = 0.0

    def __enter__(self) -> Self:
        """Begin to collect events; ConfigError when the system allows no more watchers."""
        self._directories = WatchedDirectories()
        self._stream = self._run()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching; what is not done is found by the next run."""
        self._stream.close()
        self._directories.close()

    def changes(self, timeout: float) -> Iterator[Change | None]:
        """Yield changes while there are any; after at most ``timeout`` quiet seconds, None.

        Raises SarraError when a watched directory itself is gone, ConfigError when the system
        allows no more watches.
        """
        self._until = time.monotonic() + timeout
        for change in self._stream:
            if change is not None:
                yield change
                self._until = time.monotonic() + timeout
            elif time.monotonic() >= self._until:
                self._ledger.commit()
                yield None
                return

    def done(self, change: Change) -> None:
        """Record that the announcement of a change is confirmed; at any time, in any order."""
        self._comparison.done(change)

    def failed(self, change: Change) -> None:
        """Record that a change could not be announced; call it before asking for the next.

        The next event on its name, or the next run, finds it anew.
        """
        self._comparison.failed(change)

    def _run(self) -> Generator[Change | None]:
        """Yield changes for ever, and None whenever there is time to look elsewhere."""
        yield from self._list_all()
        while True:
            self._ledger.commit()
            wait = min(self._until - time.monotonic(), self._settling.until_due())
            for event in self._directories.events(max(0.0, wait)):
                yield from self._look(event)
                yield None
            yield from self._settling.due()
            self._check_roots()
            yield None

    def _look(self, event: Event) -> Iterator[Change | None]:
        if event.kind == "overflow":
            log.warning("more happened than the system remembers; listing everything again")
            yield from self._list_all()
        elif event.kind == "lost":
            self._check_root(event.path, lost=True)
        else:
            if event.old is not None:
                yield from self._renamed(event.old, event.path)
            look = self._look_at_directory if event.is_dir else self._look_at_file
            yield from look(event)

    def _renamed(self, old: str, path: str) -> Iterator[Change]:
        """Yield a renaming if it says it all; the rest is told name by name."""
        self._settling.moved(old, path)
        yield from self._comparison.renamed(old, path)
        yield from self._comparison.removed(old)

    def _look_at_directory(self, event: Event) -> Iterator[Change | None]:
        if event.kind == "touched":
            found = read_state(event.path)
            if found and found.is_dir and not self._comparison.is_known(event.path, found):
                yield from self._list(event.path)
            return
        if event.kind in {"created", "complete"}:
            yield from self._list(event.path)
        # Even if it is there (again), something of what was in it may be gone.
        yield from self._comparison.removed(event.path)

    def _look_at_file(self, event: Event) -> Iterator[Change]:
        match event.kind:
            case "removed":
                yield from self._comparison.removed(event.path)
            case "complete":
                yield from self._settling.closed(event.path)
            case "created":
                yield from self._settling.created(event.path)
            case "touched":
                self._settling.touched(event.path)

    def _list_all(self) -> Iterator[Change | None]:
        """Watch all there is; compare all there is and all there was."""
        self._directories.begin_anew()
        for root in self._roots:
            yield from self._list(root)
        self._check_roots()
        self._directories.remove_old()
        for root in self._roots:
            yield from self._comparison.removed(root)

    def _list(self, top: str) -> Iterator[Change | None]:
        """Compare a directory and all beneath: first watch, then list, so nothing is missed."""
        directories = [top]
        while directories:
            path = directories.pop()
            readable = self._watch(path)
            found = read_state(path)
            if found is None or not (found.is_dir or path in self._roots):
                continue
            if found.is_dir:
                yield from self._comparison.compare(path, found)
            yield None
            if readable:
                yield from self._list_one(path, directories)

    def _list_one(self, path: str, directories: list[str]) -> Iterator[Change | None]:
        with contextlib.suppress(*_VANISHED), os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
                else:
                    yield from self._settling.listed(entry.path)
                    yield None

    def _watch(self, path: str) -> bool:
        """Watch a directory; return whether it may be listed."""
        try:
            self._directories.add(path, follow=path in self._roots)
        except _VANISHED:
            return False
        except OSError as error:
            if path not in self._closed_to_us:
                self._closed_to_us.add(path)
                log.warning("%s: not watched: %s", units.printable(path), error.strerror)
            return False
        self._closed_to_us.discard(path)
        return True

    def _check_roots(self) -> None:
        for root in self._roots:
            self._check_root(root, lost=not os.path.isdir(root))  # noqa: PTH112  any bytes

    def _check_root(self, path: str, *, lost: bool) -> None:
        if lost and path in self._roots:
            raise SarraError(
                f"{units.printable(path)}: the watched directory was removed or renamed"
            )


def _outermost(roots: Sequence[str]) -> list[str]:
    """Return the roots without those beneath another."""
    kept: list[str] = []
    for root in sorted({root.rstrip("/") or "/" for root in roots}):
        if not any(root.startswith(other.rstrip("/") + "/") for other in kept):
            kept.append(root)
    return kept
