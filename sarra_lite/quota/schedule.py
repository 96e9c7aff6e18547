"""When the grants of a group are due, and how many bytes each is worth."""

from __future__ import annotations

from typing import Final

from sarra_lite.config.quota import GRANTS_PER_SECOND as PER_SECOND

_MAX_LATE: Final = 20  # grants


class Schedule:
    """Gives out grants at a rate, whatever the pauses between two calls of ``due``.

    What was missed in a pause is given later, but no more than one second's worth: a process that
    was suspended must not fill the queue of those that waited meanwhile at once.
    """

    def __init__(self, rate: int, now: float) -> None:
        """``rate`` in bytes a second, from ``now`` (monotonic seconds) on."""
        self._rate = rate
        self._begin = now
        self._given = 0  # grants, with those that were dropped

    def due(self, now: float) -> list[int]:
        """Return the bytes of each grant that is due and was not returned before."""
        count = int((now - self._begin) * PER_SECOND)
        first = max(self._given, count - _MAX_LATE)
        self._given = max(self._given, count)
        return [self._sum(number + 1) - self._sum(number) for number in range(first, count)]

    def _sum(self, count: int) -> int:
        """Return the bytes of the first ``count`` grants: rounding does not add up."""
        return count * self._rate // PER_SECOND
