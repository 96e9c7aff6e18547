"""Grants that a sender holds, and the transfers that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN_CHUNK: Final = 64 * 1024  # bytes


class Grants:
    """Lets transfers send as many bytes as the grants that were taken are worth, in their order.

    A grant is taken, and acknowledged, only when a transfer needs it.  ``wanted`` is set while a
    transfer waits.  ``unlimited``: while it is true, nothing waits.
    """

    def __init__(self) -> None:
        """Hold none."""
        self.wanted = asyncio.Event()
        self.last_used = time.monotonic()
        self.waiting_since = 0.0
        self.unlimited = False
        self._balance = 0  # bytes of the grants taken that were not sent
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._worth = 0  # bytes of the last grant

    def chunk_bytes(self, most: int) -> int:
        """Return the bytes to send in one write, at most ``most``."""
        return min(most, max(_MIN_CHUNK, self._worth))

    async def take(self, count: int) -> None:
        """Return when ``count`` bytes may be sent."""
        if not self._waiting and self._pay(count):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        if not self.wanted.is_set():
            self.waiting_since = time.monotonic()
            self.wanted.set()
        try:
            await turn
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove((count, turn))
            self.settle()

    def add(self, count: int, acknowledge: Callable[[], None]) -> None:
        """Hold a grant of ``count`` bytes, and let go on what it suffices for."""
        self._worth = count
        self._held.append((count, acknowledge))
        self.settle()

    def drop_held(self) -> None:
        """Forget the grants that were not taken: the broker has them again."""
        self._held.clear()

    def settle(self) -> None:
        """Let go on all that may."""
        while self._waiting and self._pay(self._waiting[0][0]):
            turn = self._waiting.popleft()[1]
            if not turn.done():
                turn.set_result(None)
        if not self._waiting:
            self.wanted.clear()

    def _pay(self, count: int) -> bool:
        self.last_used = time.monotonic()
        while self._balance < count and self._held:
            worth, acknowledge = self._held.popleft()
            self._balance += worth
            acknowledge()
        if self._balance < count and not self.unlimited:
            return False
        self._balance = max(0, self._balance - count)
        return True
