"""What was usual: numbers by hour of the week, and the latest so many numbers."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEK: Final = 168  # hours
WEEKS: Final = 12  # how far back the past goes


class Latest:
    """The latest numbers, of which any share can be asked for."""

    def __init__(self, most: int) -> None:
        """Keep at most so many."""
        self._most = most
        self._order = array("d")
        self._sorted = array("d")
        self._oldest = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._order)

    def add(self, value: float) -> None:
        """Add a number, and forget the oldest if there are too many."""
        if len(self._order) < self._most:
            self._order.append(value)
        else:
            del self._sorted[bisect_left(self._sorted, self._order[self._oldest])]
            self._order[self._oldest] = value
            self._oldest = (self._oldest + 1) % self._most
        insort(self._sorted, value)

    def share(self, part: float) -> float:
        """Return the number that this part of all does not exceed; raise IndexError without any."""
        return at_share(self._sorted, part)


class Weekly:
    """Numbers of hours in which there was one, by hour of the week, of the last weeks."""

    def __init__(self) -> None:
        """Start without any."""
        self._then = array("i", bytes(4 * WEEK * WEEKS))
        self._values = array("f", bytes(4 * WEEK * WEEKS))

    def add(self, hour: int, value: float) -> None:
        """Add the number of an hour, in hours since 1970."""
        place = hour % WEEK * WEEKS + hour // WEEK % WEEKS
        self._then[place], self._values[place] = hour, value

    def near(self, hour: int, beside: int = 1) -> list[float]:
        """Return the numbers at this time of the week and ``beside`` hours before and after it.

        So an hour of summer time, and work that is late, change little.
        """
        oldest = max(1, hour - WEEKS * WEEK - beside)  # 0 where there is none
        found = []
        for number in range(hour - beside, hour + beside + 1):
            first = number % WEEK * WEEKS
            places = slice(first, first + WEEKS)
            for then, value in zip(self._then[places], self._values[places], strict=True):
                if oldest <= then < hour:
                    found.append(value)
        return found


def at_share(values: Sequence[float], part: float) -> float:
    """Return the number of a sorted list that this part of it does not exceed."""
    return values[min(len(values) - 1, int(part * len(values)))]
