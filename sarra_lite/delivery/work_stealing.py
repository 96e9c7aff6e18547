"""The end of a block may be sent by connections that have nothing to do.  Safe for threads.

One slow connection would otherwise hold up a whole file: its blocks are large, and the others have
nothing left to send.  Who has a block sends from its beginning, who helps takes the second half of
what is left, again and again, and of a part that is being sent others may take the end as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sarra_lite.delivery.job import Job

LEAST: Final = 1024 * 1024  # bytes left, below which opening the file again costs more


class Range:
    """Bytes of a block that one connection sends, unless others take some from the end."""

    def __init__(self, job: Job, begin: int, end: int, step: int) -> None:
        """``begin`` and ``end``: offsets in bytes; ``step``: bytes that are sent at once."""
        self.job = job
        self.begin = begin
        self.whole_end = end
        self.parts: list[Range] = []
        self._end = end
        self._step = step
        self._next = begin
        self._lock = threading.Lock()
        self._ended: Future[bool] = Future()

    @property
    def left(self) -> int:
        """Bytes that are not sent, nor given to others."""
        return self._end - self._next

    def claim(self, offset: int, length: int) -> bool:
        """Whether who has the range is to send this, the next of it; no other gets it then."""
        with self._lock:
            if offset >= self._end:
                return False
            self._next = min(offset + length, self._end)
            return True

    def split(self) -> Range | None:
        """Give away the second half of what is left; None when that is too little."""
        with self._lock:
            if self.left < LEAST:
                return None
            kept = -(-self.left // 2 // self._step) * self._step
            middle = self._next + kept
            if middle >= self._end:
                return None
            part = Range(self.job, middle, self._end, self._step)
            self._end = middle
            self.parts.append(part)
            return part

    def recall(self) -> None:
        """Have nothing more of it sent, by nobody."""
        with self._lock:
            self._end = self._next
        for part in self.parts:
            part.recall()

    def end(self, *, well: bool) -> None:
        """Say that nothing of it is under way any more, and whether all of it is written."""
        if not self._ended.done():
            self._ended.set_result(well)

    async def ended(self) -> bool:
        """Wait until nothing of it is under way; whether all of it is written."""
        return await asyncio.shield(asyncio.wrap_future(self._ended))


class Pool:
    """What is being sent, for those who have nothing to do."""

    def __init__(self, offered: Callable[[], None]) -> None:
        """``offered`` is called when there is something that others may take a part of."""
        self._offered = offered
        self._ranges: set[Range] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def offering(self, mine: Range) -> Iterator[None]:
        """Let others take parts of a range meanwhile."""
        with self._lock:
            self._ranges.add(mine)
        self._offered()
        try:
            yield
        finally:
            with self._lock:
                self._ranges.discard(mine)

    def take(self) -> Range | None:
        """Return a part, of the range that has the most left; None when all have too little.

        Who takes it must say in the end what came of it.
        """
        with self._lock:
            most = max(self._ranges, key=lambda one: one.left, default=None)
            return most.split() if most is not None else None
