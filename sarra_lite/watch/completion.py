"""Decides when a file is complete: at once, or after it did not change for long enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.watch.diff import Change, Diff

# Seconds.  Before Linux 6.13 file times come from a clock that advances every 1 to 10 ms, so two
# writes within one tick get the same mtime.  After the tick each mtime stands for one content.
_CLOCK_TICK: Final = 0.02


class _Delayed(NamedTuple):
    """When to check a file again, and its version when the delay began."""

    due: float  # monotonic seconds
    version: str | None  # None: at the due time the file counts as complete, even if changed
    may_be_open: bool  # if the version differs then, a program is writing and will close the file


class CompletionTracker:
    """Yields the changes of complete files; keeps in memory only the files to check again."""

    def __init__(self, diff: Diff, settle: float, settle_if_open: float) -> None:
        """Set how long a file must not change to be complete, in seconds.

        ``settle_if_open`` is for a new file that a program may still have open for writing.
        """
        self._diff = diff
        self._settle = max(settle, _CLOCK_TICK)
        self._settle_if_open = max(settle_if_open, self._settle)
        self._delayed: dict[str, _Delayed] = {}

    def closed(self, path: str) -> Iterator[Change]:
        """Check a file that was closed after writing, or anything that was renamed to ``path``."""
        for name in self._diff.all_names(path):
            yield from self._complete(name)

    def created(self, path: str) -> Iterator[Change]:
        """Check a new name: a link, or a file that may be closed later or never."""
        self._delayed.pop(path, None)
        if (state := self._diff.unannounced_state(path)) is None:
            return
        if not state.is_file:
            yield from self._diff.changed(path, state)
        elif state.status.st_nlink > 1 or state.status.st_ctime != state.status.st_mtime:
            self._delay(path, self._settle, state.version)
        elif state.status.st_size:
            # Either a program is writing the file (a close will follow), or it is a hard link
            # whose other name is already removed (none will).
            self._delay(path, self._settle_if_open, state.version, may_be_open=True)

    def attributes_changed(self, path: str) -> None:
        """Delay the check of an announced file whose mode or times changed."""
        for name in self._diff.all_names(path):
            state = self._diff.unannounced_state(name)
            if state and self._diff.was_announced(name):
                self._delay(name, self._settle, state.version)

    def listed(self, path: str) -> Iterator[Change]:
        """Check a name that was found by listing its directory."""
        if (state := self._diff.unannounced_state(path)) is None:
            return
        changed = max(state.status.st_ctime, state.status.st_mtime)
        if state.is_file and (path in self._delayed or time.time() - changed < self._settle):
            self._delay(path, self._settle, state.version)
        else:
            yield from self._diff.changed(path, state)

    def due_changes(self) -> Iterator[Change]:
        """Check the delayed files that are due."""
        now = time.monotonic()
        for path in [path for path, delayed in self._delayed.items() if delayed.due <= now]:
            delayed = self._delayed.pop(path)
            if delayed.version is None:
                yield from self._complete(path)
            elif state := self._diff.unannounced_state(path):
                if state.version == delayed.version or not state.is_file:
                    yield from self._diff.changed(path, state)
                elif not delayed.may_be_open:
                    self._delay(path, self._settle, state.version)

    def seconds_until_due(self) -> float:
        """Return the seconds until ``due_changes`` must be called; infinity if nothing waits."""
        due = min((delayed.due for delayed in self._delayed.values()), default=float("inf"))
        return max(0.0, due - time.monotonic())

    def _complete(self, path: str) -> Iterator[Change]:
        self._delayed.pop(path, None)
        if state := self._diff.unannounced_state(path):
            if state.is_file and 0 <= time.time() - state.status.st_ctime < _CLOCK_TICK:
                self._delay(path, _CLOCK_TICK, None)
            else:
                yield from self._diff.changed(path, state)

    def _delay(
        self, path: str, seconds: float, version: str | None, *, may_be_open: bool = False
    ) -> None:
        """Check a name again later, unless that is to be done already."""
        if path not in self._delayed:
            self._delayed[path] = _Delayed(time.monotonic() + seconds, version, may_be_open)
