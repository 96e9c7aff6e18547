"""How many connections a sender has: as many as the distance wants, and more while that helps."""

from __future__ import annotations

import math
from typing import Final

LEAST: Final = 2
EARLY: Final = 4  # before the distance is known, where logging in takes long
MOST: Final = 8  # sshd lets 10 log in at once
LATE: Final = 0.25  # seconds that logging in takes to a host far away; near by it is a tenth
_RATE: Final = 125_000_000  # bytes a second
_SERVER_WINDOW: Final = 2 * 1024 * 1024  # bytes
_PERIOD: Final = 2.0  # seconds over which a rate is measured
_HELPS: Final = 1.1  # times the rate before, for one connection more to be worth it


def wanted(round_trip: float) -> int:
    """Return how many connections fill a line of 1 Gbit/s at this distance, in seconds.

    OpenSSH's server takes 2 MiB a round trip on a connection; one more makes up for what is idle.
    """
    return max(LEAST, min(MOST, math.ceil(_RATE * round_trip / _SERVER_WINDOW) + 1))


class Autoscaler:
    """Tries one connection more as long as each brings a tenth more bytes a second.

    Told of bytes that are written, and the time in seconds of one clock; not safe for threads.
    ``settled``: nothing will be tried any more.
    """

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._since: float | None = None
        self._bytes = 0
        self._before: float | None = None
        self._warm = False  # whether the last connection has come to its speed
        self.settled = False

    def moved(self, count: int, now: float, connections: int, *, waiting: bool) -> int:
        """Return 1 when one more connection is to be tried, -1 when the last did not help, or 0.

        ``waiting``: there is work that no connection has taken; without it no rate means anything.
        """
        if self.settled or (rate := self._rate(count, now, waiting=waiting)) is None:
            return 0
        before, self._before = self._before, rate
        helped = before is None or rate >= before * _HELPS
        self.settled = not helped or connections >= MOST
        if helped:
            return 0 if self.settled else 1
        return -1

    def _rate(self, count: int, now: float, *, waiting: bool) -> float | None:
        """Return bytes a second at the end of a period that counts."""
        if self._since is None or not waiting:
            self._since, self._bytes = now, 0
            return None
        self._bytes += count
        if now - self._since < _PERIOD:
            return None
        rate = self._bytes / (now - self._since)
        self._since = None
        self._warm = not self._warm
        return None if self._warm else rate
