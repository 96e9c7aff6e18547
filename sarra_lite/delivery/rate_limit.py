"""Rate limit of a sender (option ``limit``), shared by all its connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BURST: Final = 0.1  # seconds: after a pause, at most so much unused rate is sent at once
_MIN_CHUNK: Final = 1024  # bytes


class RateLimit:
    """Limits the bytes a second that all connections of a process send together."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``rate``: bytes a second; 0 is unlimited."""
        self.rate = rate
        self._clock = clock
        self._next_free = clock()

    def chunk_bytes(self, most: int) -> int:
        """Return the bytes to send in one write: those of a tenth of a second, at most ``most``."""
        return min(most, max(_MIN_CHUNK, self.rate // 10)) if self.rate else most

    def reserve(self, count: int) -> float:
        """Reserve the right to send ``count`` bytes; return the seconds to wait before sending."""
        if not self.rate:
            return 0.0
        now = self._clock()
        begin = max(self._next_free, now - _BURST)
        self._next_free = begin + count / self.rate
        return max(0.0, begin - now)
