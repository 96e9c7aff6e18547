"""Rate limit of a sender (options ``limit`` and ``grants``), shared by all its connections."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery.stopwatch import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.grants import Grants
    from sarra_lite.delivery.stopwatch import Stopwatch

_BURST: Final = 0.1  # seconds: after a pause, at most so much unused rate is sent at once
_MIN_CHUNK: Final = 1024  # bytes


class RateLimit:
    """Limits the bytes a second that all connections of a process send together."""

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        grants: Grants | None = None,
    ) -> None:
        """``rate``: bytes a second; 0 is unlimited.  ``grants``: what is taken to send, too."""
        self.rate = rate
        self.grants = grants
        self._clock = clock
        self._next_free = clock()

    @property
    def unlimited(self) -> bool:
        """Whether nothing ever waits."""
        return not self.rate and self.grants is None

    async def wait(self, count: int, watch: Stopwatch) -> None:
        """Return when ``count`` bytes may be sent; ``watch`` is told what is waited for."""
        if self.grants is not None:
            watch.switch(Phase.QUOTA)
            await self.grants.take(count)
        if seconds := self.reserve(count):
            watch.switch(Phase.LIMIT)
            await asyncio.sleep(seconds)

    def chunk_bytes(self, most: int) -> int:
        """Return the bytes to send in one write: those of a tenth of a second, at most ``most``."""
        most = most if self.grants is None else self.grants.chunk_bytes(most)
        return min(most, max(_MIN_CHUNK, self.rate // 10)) if self.rate else most

    def reserve(self, count: int) -> float:
        """Reserve the right to send ``count`` bytes; return the seconds to wait before sending."""
        if not self.rate:
            return 0.0
        now = self._clock()
        begin = max(self._next_free, now - _BURST)
        self._next_free = begin + count / self.rate
        return max(0.0, begin - now)
