"""How fast a sender may send."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_CREDIT: Final = 0.1  # seconds not used that may be made up for
_LEAST: Final = 1024  # bytes at once


class RateLimit:
    """Bytes a second that all lanes of a process send together; they may ask from any thread."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``rate``: bytes a second; 0 is no limit."""
        self._rate = rate
        self._clock = clock
        self._free = clock()
        self._lock = threading.Lock()

    def step(self, most: int) -> int:
        """Return how many bytes to send at once, at most so many: a tenth of a second's."""
        return min(most, max(_LEAST, self._rate // 10)) if self._rate else most

    def spend(self, count: int) -> float:
        """Take the right to send so many bytes; return the seconds to wait before."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            begin = max(self._free, now - _CREDIT)
            self._free = begin + count / self._rate
            return max(0.0, begin - now)
