"""Work stealing: an idle connection sends the end of a block that another connection is sending.

Without it, one slow connection delays a whole file: its block is large, and the other connections
have nothing left to send (decision 0015).  The owner of a block sends it from the beginning.  A
helper takes the second half of the bytes that are left, and helpers may take the end of that part
in turn.  Safe for threads.
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

MIN_BYTES: Final = 1024 * 1024  # below, opening the file on another connection costs more


class SharedRange:
    """A byte range of a block that one connection sends, while others may take its end."""

    def __init__(self, job: Job, begin: int, end: int, chunk: int) -> None:
        """``begin`` and ``end``: offsets in bytes; ``chunk``: bytes of one write."""
        self.job = job
        self.begin = begin
        self.original_end = end
        self.stolen: list[SharedRange] = []
        self._end = end
        self._chunk = chunk
        self._next = begin
        self._lock = threading.Lock()
        self._finished: Future[bool] = Future()

    @property
    def left(self) -> int:
        """Bytes that are neither sent nor stolen."""
        return self._end - self._next

    def claim(self, offset: int, length: int) -> bool:
        """Reserve the next chunk for the owner of the range; False when it was stolen."""
        with self._lock:
            if offset >= self._end:
                return False
            self._next = min(offset + length, self._end)
            return True

    def steal(self) -> SharedRange | None:
        """Take the second half of the bytes that are left; None when that is too little."""
        with self._lock:
            if self.left < MIN_BYTES:
                return None
            kept = -(-self.left // 2 // self._chunk) * self._chunk
            middle = self._next + kept
            if middle >= self._end:
                return None
            part = SharedRange(self.job, middle, self._end, self._chunk)
            self._end = middle
            self.stolen.append(part)
            return part

    def cancel(self) -> None:
        """Let nobody claim or steal any more of it, nor of its stolen parts."""
        with self._lock:
            self._end = self._next
        for part in self.stolen:
            part.cancel()

    def finish(self, *, succeeded: bool) -> None:
        """Tell the owner that no more writes of it come; ``succeeded``: all of it is written."""
        if not self._finished.done():
            self._finished.set_result(succeeded)

    async def wait_finished(self) -> bool:
        """Wait until no write of it is under way; return whether all of it is written."""
        return await asyncio.shield(asyncio.wrap_future(self._finished))


class SharedRanges:
    """The ranges that are being sent, from which idle connections may steal."""

    def __init__(self, on_offer: Callable[[], None]) -> None:
        """``on_offer`` is called when a range was added."""
        self._on_offer = on_offer
        self._ranges: set[SharedRange] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def offered(self, shared: SharedRange) -> Iterator[None]:
        """Let other connections steal from a range inside the ``with`` block."""
        with self._lock:
            self._ranges.add(shared)
        self._on_offer()
        try:
            yield
        finally:
            with self._lock:
                self._ranges.discard(shared)

    def steal(self) -> SharedRange | None:
        """Return a part of the range with the most bytes left; None when all have too little.

        The caller must call ``finish`` on it in the end.
        """
        with self._lock:
            largest = max(self._ranges, key=lambda one: one.left, default=None)
            return largest.steal() if largest is not None else None
