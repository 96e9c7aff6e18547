"""Whether an hour has more files or bytes than is usual at this time of the week."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Final

from sarra_lite.monitor.past import Latest, Weekly, at_share

_ENOUGH: Final = 6  # hours near this time of the week
_LEAST: Final = 12  # hours of work, before which nothing is known
_HIGH: Final = 0.75  # of what there was near this time of the week
_ANY_HIGH: Final = 0.9  # of what there was at any time
_ANY: Final = 300
_ABOVE: Final = 600
_TAIL: Final = 0.95  # of how much more there was than expected
_SURE: Final = 2.0  # logarithm: what matters even where hours are alike
_ALIKE: Final = 0.2  # logarithm: no hours are more alike
_UNKNOWN: Final = 1.5  # logarithm, of how much more there may be
_LEVEL: Final = 10  # hours of work, of which half make the new level
_TOGETHER: Final = 6  # hours that are judged together
_CHANCE: Final = 0.6  # 0.5 would be right for hours that have nothing to do with each other
_FORGET: Final = 0.8  # what is owed after an hour of work
_SILENCE: Final = 96  # hours after which nothing is owed


class Amount:
    """The past of one number, files or bytes."""

    def __init__(self, least: float) -> None:
        """``least`` is so little that less is as much."""
        self._least = least
        self._weekly = Weekly()
        self._any = Latest(_ANY)
        self._above = Latest(_ABOVE)
        self._level: deque[float] = deque(maxlen=_LEVEL)
        self._run: deque[tuple[int, float]] = deque()
        self._owed = 0.0
        self._last: int | None = None

    def judge(self, hour: int, value: float) -> tuple[float, float]:
        """Return a score, and what was expected at most; then take the hour as past."""
        number = math.log(value + self._least)
        score, expected = 0.0, value
        if len(self._any) >= _LEAST:
            self._owe(hour)
            high = self._usual(hour)
            owed = self._with_owed(high)
            level = max(0.0, median(self._level)) if len(self._level) == _LEVEL else 0.0
            spread = self._above.share(_TAIL) if len(self._above) >= _LEAST else _UNKNOWN
            score = self._together(hour, (number - owed - level) / (_SURE + max(_ALIKE, spread)))
            expected = math.exp(owed + level) - self._least
            self._level.append(number - high)
            self._above.add(number - owed)
            self._owed = max(0.0, self._owed - max(0.0, value - math.exp(high))) * _FORGET
        self._weekly.add(hour, number)
        self._any.add(number)
        self._last = hour
        return score, max(0.0, expected)

    def _together(self, hour: int, score: float) -> float:
        """Return the highest score of the hours up to this one, of which each was above."""
        while self._run and self._run[0][0] <= hour - _TOGETHER:
            self._run.popleft()
        self._run.append((hour, score))
        total, highest = 0.0, score
        for number, (_, one) in enumerate(reversed(self._run), start=1):
            if one <= 0:
                break
            total += one
            highest = max(highest, total / number**_CHANCE)
        return highest

    def _usual(self, hour: int) -> float:
        """Return the logarithm of what there is at most at this time of the week."""
        near = sorted(self._weekly.near(hour))
        return at_share(near, _HIGH) if len(near) >= _ENOUGH else self._any.share(_ANY_HIGH)

    def _owe(self, hour: int) -> None:
        """Expect later what did not come in the hours since the last one."""
        if self._last is None or hour - self._last > _SILENCE:
            self._owed = 0.0
            return
        for silent in range(self._last + 1, hour):
            near = sorted(self._weekly.near(silent, beside=0))
            if len(near) >= _ENOUGH:
                self._owed += math.exp(at_share(near, 0.5))

    def _with_owed(self, number: float) -> float:
        return math.log(math.exp(number) + self._owed)
