"""When a file is complete: at once, or after it stayed the same for long enough."""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.watch.diff import read_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.watch.diff import Change, Diff, FileState

# Before Linux 6.13 files are stamped with a clock that ticks each 1 to 10 ms: what is written twice
# within a tick has one mtime.  We look when the tick is over, so one version is one content.
_TICK: Final = 0.02


class _Waiting(NamedTuple):
    """A file to look at again at some time, and what was found when the wait began."""

    at: float
    version: str | None  # None: it is complete, whatever is found then
    may_be_open: bool  # if it changed it is being written, and will be closed


class CompletionTracker:
    """Yields the changes of files that are complete, now or when they are ``due``.

    Files that are not yet are the only ones that --watch remembers.
    """

    def __init__(self, comparison: Diff, settle: float, patience: float) -> None:
        """Believe a file after ``settle`` unchanged seconds, after ``patience`` if perhaps open."""
        self._comparison = comparison
        self._settle = max(settle, _TICK)
        self._patience = max(patience, self._settle)
        self._files: dict[str, _Waiting] = {}
        self._order: list[tuple[float, str]] = []  # may hold times that are no longer so

    def closed(self, path: str) -> Iterator[Change]:
        """Look at a file closed after writing, or at what was renamed to this name."""
        for name in [path, *self._comparison.other_names(path)]:
            yield from self._closed(name)

    def created(self, path: str) -> Iterator[Change]:
        """Look at a new name: of a link, or of a file that is closed later, or never."""
        if (found := self._news(path)) is None:
            return
        if not found.is_file:
            self._files.pop(path, None)
            yield from self._comparison.compare(path, found)
        elif found.links > 1 or found.ctime != found.mtime:
            self._wait(path, self._settle, found.version)
        elif found.size:
            # Linked in and its other name removed at once, or being written: time tells.
            self._wait(path, self._patience, found.version, may_be_open=True)

    def touched(self, path: str) -> None:
        """Look at a file whose mode or times were set; a new one will yet be closed."""
        for name in [path, *self._comparison.other_names(path)]:
            found = self._news(name)
            if found and name not in self._files and self._comparison.was_announced(name):
                self._wait(name, self._settle, found.version)

    def listed(self, path: str) -> Iterator[Change]:
        """Look at a name that was found, however it came there."""
        if (found := self._news(path)) is None or path in self._files:
            return
        if found.is_file and time.time() - max(found.ctime, found.mtime) < self._settle:
            self._wait(path, self._settle, found.version)
        else:
            yield from self._comparison.compare(path, found)

    def due(self) -> Iterator[Change]:
        """Look at the files whose time has come."""
        now = time.monotonic()
        while self._order and self._order[0][0] <= now:
            at, path = heapq.heappop(self._order)
            waiting = self._files.get(path)
            if waiting is not None and waiting.at == at:
                del self._files[path]
                yield from self._look_again(path, waiting)

    def until_due(self) -> float:
        """Return how many seconds may pass until ``due`` is to be called."""
        return max(0.0, self._order[0][0] - time.monotonic()) if self._order else float("inf")

    def moved(self, old: str, path: str) -> None:
        """Follow what was renamed, and with a directory all beneath."""
        self._files.pop(old, None)
        for name in [name for name in self._files if name.startswith(old + "/")]:
            self._remember(path + name[len(old) :], self._files.pop(name))

    def _closed(self, path: str) -> Iterator[Change]:
        self._files.pop(path, None)
        if found := self._news(path):
            if found.is_file and 0 <= time.time() - found.ctime < _TICK:
                self._wait(path, _TICK, None)
            else:
                yield from self._comparison.compare(path, found)

    def _look_again(self, path: str, waiting: _Waiting) -> Iterator[Change]:
        if waiting.version is None:
            yield from self._closed(path)
        elif found := self._news(path):
            if found.version == waiting.version or not found.is_file:
                yield from self._comparison.compare(path, found)
            elif not waiting.may_be_open:
                self._wait(path, self._settle, found.version)

    def _news(self, path: str) -> FileState | None:
        """Return what is on the disk if it is not what was announced."""
        found = read_state(path)
        return None if found is None or self._comparison.is_known(path, found) else found

    def _wait(
        self, path: str, seconds: float, version: str | None, *, may_be_open: bool = False
    ) -> None:
        self._remember(path, _Waiting(time.monotonic() + seconds, version, may_be_open))

    def _remember(self, path: str, waiting: _Waiting) -> None:
        self._files[path] = waiting
        heapq.heappush(self._order, (waiting.at, path))
