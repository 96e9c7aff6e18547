"""Whether somebody works at hours, or writes to a directory, at which he never did."""

from __future__ import annotations

import math
import re
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor.past import WEEK, WEEKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Directories that are kept of a user; of one who makes more, none is unusual.
MOST_DIRECTORIES: Final = 5000
#: Of directories, so deep are they told from each other.
DEPTH: Final = 6
_NEW: Final = 50  # new ones in a directory that are remembered
_SETTLED: Final = 150  # hours of work, in which everything is new
_AT_FIRST: Final = 0.1  # what something new counts then
_WORKED: Final = 3000  # hours of work that count
_DIGITS: Final = re.compile(r"\d+")
_DAY: Final = 24
_NEAR: Final = 2  # hours before and after a time of day that are like it
_PAUSE: Final = 2  # hours
_CAUGHT_UP: Final = 6  # hours after which nothing waits any more
_KEPT: Final = WEEKS * WEEK  # hours


class Hours:
    """The hours of the week at which a user has worked."""

    def __init__(self) -> None:
        """Start without any."""
        self._worked: deque[int] = deque()
        self._by_hour = [0] * WEEK
        self._explained = 0

    def judge(self, hour: int, *, behind: bool) -> float:
        """Return a score for an hour with work; then take it as past.

        ``behind``: files were waiting, so their sender was away, and it may be any hour now.
        The score is the negative natural logarithm of the probability that he never worked at
        such an hour before if all were alike; 0 where he did, or where he just goes on.
        """
        while self._worked and self._worked[0] <= hour - _KEPT:
            self._by_hour[self._worked.popleft() % WEEK] -= 1
        if behind:
            self._explained = hour + _CAUGHT_UP
        goes_on = bool(self._worked) and hour - self._worked[-1] <= _PAUSE
        score = 0.0 if goes_on or hour < self._explained else self._rarity(hour)
        self._worked.append(hour)
        self._by_hour[hour % WEEK] += 1
        return score

    def _rarity(self, now: int) -> float:
        if any(self._by_hour[(now + beside) % WEEK] for beside in (-1, 0, 1)):
            return 0.0
        # Days begin half a day before this time of day, wherever the user's night is.
        days = {(hour - now + _DAY // 2) // _DAY for hour in self._worked}
        same_day = sum(day % 7 == 0 for day in days)
        same_time = {
            (hour - now + _DAY // 2) // _DAY
            for hour in self._worked
            if abs((hour - now + _DAY // 2) % _DAY - _DAY // 2) <= _NEAR
        }
        by_day = at_most(same_day, len(days), 1 / 7)
        by_time = at_most(len(same_time), len(days), (2 * _NEAR + 1) / _DAY)
        return -math.log(min(by_day, by_time))


def at_most(seen: int, days: int, chance: float) -> float:
    """Return the probability that something that often happens happens so seldom in some days."""
    expected = days * chance
    term = total = math.exp(-expected)
    for number in range(1, seen + 1):
        term *= expected / number
        total += term
    return min(1.0, total)


class Directories:
    """The directories that a user has written to, and how often there is a new one in each."""

    def __init__(self) -> None:
        """Start without any."""
        # In which of the user's hours of work a directory was first seen, and new ones in it.
        self._first: dict[str, int] = {"": 0}
        self._new: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_NEW))
        self._worked = 0

    def judge(self, directories: Iterable[str]) -> tuple[float, str]:
        """Return the highest score of an hour's directories, and which one; take them as past.

        The score is the decimal logarithm of the hours of work for each new directory where this
        one is, with the square of their number; 0 if it is known.
        """
        self._worked += 1
        found = max(map(self._judge, directories), default=(0.0, ""))
        return found if len(self._first) < MOST_DIRECTORIES else (0.0, "")

    def _judge(self, directory: str) -> tuple[float, str]:
        score, parent = 0.0, ""
        for path in ancestors(directory):
            if path not in self._first:
                if not score:
                    score = self._rarity(parent)
                    self._new[parent].append(self._worked)
                if len(self._first) < MOST_DIRECTORIES:
                    self._first[path] = self._worked
            parent = path
        return score, directory

    def _rarity(self, parent: str) -> float:
        """Return the score of something new in a known directory."""
        known = self._worked - self._first.get(parent, self._worked)
        recent = sum(
            1.0 if then > _SETTLED else _AT_FIRST
            for then in self._new[parent]
            if then > self._worked - _WORKED
        )
        return math.log10((min(known, _WORKED) + 1) / (recent + 1) ** 2)


def ancestors(directory: str) -> Iterator[str]:
    """Yield the directories above one, and itself, without numbers: today is like yesterday."""
    path = ""
    for part in _DIGITS.sub("#", directory).split("/")[:DEPTH]:
        path = f"{path}/{part}" if path else part
        yield path
