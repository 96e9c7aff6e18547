"""Limits how much of xlog the reports of one user take, so that they push out nobody's history.

A user's count of bytes grows with each report and falls by the limit a day.  Counts are saved in a
file, so that a restart forgives nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime, units
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAY: Final = 86400.0  # seconds
_SUMMARY: Final = 3600.0  # seconds between two summaries on one user
_SAVE: Final = 60.0  # seconds


class UserShares:
    """Counts bytes by user; ``take`` says whether another report may be copied."""

    def __init__(self, limit: int, file: Path) -> None:
        """``limit``: bytes a day of one user, 0 for none.  Read the counts saved in ``file``."""
        self._limit = limit
        self._file = file
        self._counts: dict[str, tuple[float, float]] = {}  # bytes, and when they were counted
        self._dropped: dict[str, tuple[int, int]] = {}  # reports and bytes since the last summary
        self._told: dict[str, float] = {}  # when the last summary was due
        try:
            read = json.loads(file.read_text())
            self._counts = {user: (float(n), float(at)) for user, (n, at) in read.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("%s: counting anew: %s", file, error)

    def take(self, user: str, size: int) -> bool:
        """Count a report of ``size`` bytes; return False when the user is beyond the limit."""
        if not self._limit:
            return True
        now = time.time()
        count, since = self._counts.get(user, (0.0, now))
        count = max(0.0, count - max(0.0, now - since) * self._limit / _DAY)
        if count + size > self._limit:
            reports, total = self._dropped.get(user, (0, 0))
            self._dropped[user] = reports + 1, total + size
            return False
        self._counts[user] = count + size, now
        return True

    def summaries(self) -> Iterator[tuple[str, str]]:
        """Yield user and text on reports that were not copied, for each user once an hour."""
        now = time.monotonic()
        for user, (reports, size) in list(self._dropped.items()):
            if now - self._told.get(user, -_SUMMARY) >= _SUMMARY:
                self._told[user] = now
                del self._dropped[user]
                text = (
                    f"not copied: {reports} reports of {user}, {units.show_size(size)}, beyond"
                    f" {units.show_size(self._limit)} a day (maxUserShare);"
                    " the user's own stream has them"
                )
                yield user, text

    async def keep_saved(self, stop: asyncio.Event) -> None:
        """Save the counts once a minute, and at the end."""
        while not await runtime.wait_for_any(_SAVE, stop):
            await asyncio.to_thread(self.save)

    def save(self) -> None:
        """Save the counts; log a warning when that fails."""
        if not self._limit:
            return
        text = json.dumps(self._counts)
        fresh = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(text)
            fresh.replace(self._file)
        except OSError as error:
            log.warning("%s: not saved: %s", self._file, error.strerror)
