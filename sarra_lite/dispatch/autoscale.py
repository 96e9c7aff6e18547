"""How many connections a sender opens: by round-trip time, then by throughput (decision 0013)."""

from __future__ import annotations

import math
from typing import Final

FEWEST: Final = 2
WHILE_CONNECTING: Final = 4  # while the round-trip time is unknown, if login takes over SLOW_LOGIN
MOST: Final = 8  # sshd accepts 10 logins at once by default (MaxStartups)
SLOW_LOGIN: Final = 0.25  # seconds; nearby hosts take a tenth of a second
_LINE_RATE: Final = 125_000_000  # bytes a second
_SERVER_WINDOW: Final = 2 * 1024 * 1024  # bytes
_PERIOD: Final = 2.0  # seconds over which throughput is measured
_WORTHWHILE: Final = 1.1  # factor by which one more connection must raise the throughput


def connections_for(round_trip: float) -> int:
    """Return how many connections fill a line of 1 Gbit/s at a round-trip time in seconds.

    OpenSSH's server takes 2 MiB a round trip on a connection; one more compensates for pauses.
    """
    return max(FEWEST, min(MOST, math.ceil(_LINE_RATE * round_trip / _SERVER_WINDOW) + 1))


class Autoscaler:
    """Adds one connection at a time while each raises the throughput by a tenth.

    ``settled``: the number of connections will not change any more.  Not safe for threads.
    """

    def __init__(self) -> None:
        """Start without any measurement."""
        self._since: float | None = None
        self._bytes = 0
        self._before: float | None = None
        self._warming_up = False  # the last connection has not reached its speed yet
        self.settled = False

    def count(self, written: int, now: float, connections: int, *, backlog: bool) -> int:
        """Count bytes; return 1 to add a connection, -1 to remove the last one, else 0.

        ``now``: seconds of a monotonic clock.  ``backlog``: tasks wait for a connection; without
        any, the throughput says nothing about the line.
        """
        if self.settled or (rate := self._rate(written, now, backlog=backlog)) is None:
            return 0
        before, self._before = self._before, rate
        helped = before is None or rate >= before * _WORTHWHILE
        self.settled = not helped or connections >= MOST
        if helped:
            return 0 if self.settled else 1
        return -1

    def _rate(self, written: int, now: float, *, backlog: bool) -> float | None:
        """Return bytes/s of every second period; a new connection gets up to speed in the first."""
        if self._since is None or not backlog:
            self._since, self._bytes = now, 0
            return None
        self._bytes += written
        if now - self._since < _PERIOD:
            return None
        rate = self._bytes / (now - self._since)
        self._since = None
        self._warming_up = not self._warming_up
        return None if self._warming_up else rate
