"""Work stealing: an idle connection sends the end of a block that another connection is sending.

Without it, one slow connection delays a whole file: its block is large, and the other connections
have nothing left to send (decision 0015).  The owner of a block sends it from the beginning.  A
helper takes the second half of the bytes that are left, and helpers may take the end of that part
in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sarra_lite.delivery.job import Job

MIN_BYTES: Final = 1024 * 1024  # below, opening the file on another connection costs more


class SharedRange:
    """A byte range of a block that one connection sends, while others may take its end.

    ``finished`` is set when no more writes of a stolen range come; ``succeeded``: all of it is
    written.
    """

    def __init__(self, job: Job, begin: int, length: int, chunk: int) -> None:
        """``chunk``: bytes of one write."""
        self.job = job
        self.begin = begin
        self.length = length
        self.stolen: list[SharedRange] = []
        self.finished = asyncio.Event()
        self.succeeded = False
        self._end = begin + length
        self._chunk = chunk
        self._next = begin

    @property
    def left(self) -> int:
        """Bytes that are neither sent nor stolen."""
        return self._end - self._next

    @property
    def sent(self) -> int:
        """Bytes at the beginning of it that are sent or being sent."""
        return self._next - self.begin

    def claim(self, offset: int, length: int) -> bool:
        """Reserve the next chunk for the owner of the range; False when it was stolen."""
        if offset >= self._end:
            return False
        self._next = min(offset + length, self._end)
        return True

    def steal(self) -> SharedRange | None:
        """Take the second half of the bytes that are left; None when that is too little."""
        kept = -(-self.left // 2 // self._chunk) * self._chunk
        middle = self._next + kept
        if self.left < MIN_BYTES or middle >= self._end:
            return None
        part = SharedRange(self.job, middle, self._end - middle, self._chunk)
        self._end = middle
        self.stolen.append(part)
        return part

    def cancel(self) -> None:
        """Let nobody claim or steal any more of it, nor of its stolen parts."""
        self._end = self._next
        for part in self.stolen:
            part.cancel()


class SharedRanges:
    """The ranges that are being sent, from which idle connections may steal."""

    def __init__(self, on_offer: Callable[[], None]) -> None:
        """``on_offer`` is called when a range was added."""
        self._on_offer = on_offer
        self._ranges: set[SharedRange] = set()

    @contextlib.contextmanager
    def offered(self, shared: SharedRange) -> Iterator[None]:
        """Let other connections steal from a range inside the ``with`` block."""
        self._ranges.add(shared)
        self._on_offer()
        try:
            yield
        finally:
            self._ranges.discard(shared)

    def steal(self) -> SharedRange | None:
        """Return a part of the range with the most bytes left; None when all have too little.

        The caller must set its ``finished`` in the end.
        """
        largest = max(self._ranges, key=lambda one: one.left, default=None)
        return largest.steal() if largest is not None else None
