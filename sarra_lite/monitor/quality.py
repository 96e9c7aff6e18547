"""Whether files fail more often, are sent more slowly, or wait longer than is usual."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from typing import Final

from sarra_lite.monitor.past import WEEK, WEEKS, Latest

_LEAST: Final = 12  # hours
_WORST: Final = 0.98  # of the shares of all hours
_WORST_RATE: Final = 0.96  # of the rates of all hours
_LEAST_SPREAD: Final = 0.3  # logarithm, of rates
_RATES: Final = 150  # hours with files of a similar size
_SUMMED: Final = 24  # hours over which rare failures add up
_DEVIATIONS: Final = 2.0
_STEP: Final = 2.5
_LEAST_WAIT: Final = 3600.0  # seconds; less is nothing
_FEW: Final = 5  # files, of which a share says nothing
_MORE: Final = 0.15  # share by which the worst may grow in an hour
_A_LITTLE: Final = 0.05  # share
_FADES: Final = 0.999  # what an hour counts after the next
_LEAST_SECONDS: Final = 5.0  # of transfers in an hour; the rate of less says nothing


class Failures:
    """The past of one user's share of files that failed."""

    def __init__(self) -> None:
        """Start without any."""
        self._shares = Latest(600)
        self._files = 0.0
        self._failed = 0.0
        self._recent: deque[tuple[int, int, int]] = deque()

    def judge(self, hour: int, failed: int, files: int) -> tuple[float, float]:
        """Return a score, and the share that was expected at most; then take the hour as past.

        The score is by how much the share is higher, in this hour or the last day: as far as that
        cannot be chance.
        """
        while self._recent and self._recent[0][0] <= hour - _SUMMED:
            self._recent.popleft()
        self._recent.append((hour, failed, files))
        usual = (self._failed + 1) / (self._files + 100)
        worst = usual
        if len(self._shares) >= _LEAST:
            worst = max(usual, self._shares.share(_WORST))
        score = 0.0
        if failed:
            sums = [sum(column) for column in list(zip(*self._recent, strict=True))[1:]]
            score = max(least_share(failed, files), least_share(sums[0], sums[1])) - worst
        # What is unusual becomes usual only step by step.
        if files >= _FEW:
            self._shares.add(min(failed / files, worst + _MORE))
        self._files = self._files * _FADES + files
        self._failed = self._failed * _FADES + min(failed, files * max(_A_LITTLE, worst))
        return score, worst


def least_share(failed: int, files: int) -> float:
    """Return the share that failed at least, but for chance: the lower limit of Wilson's."""
    share, square = failed / files, _DEVIATIONS**2
    middle = share + square / (2 * files)
    around = _DEVIATIONS * math.sqrt(share * (1 - share) / files + square / (4 * files**2))
    return (middle - around) / (1 + square / files)


class Rate:
    """The past of one user's bytes a second, compared for files of a similar size."""

    def __init__(self) -> None:
        """Start without any."""
        self._rates: defaultdict[int, Latest] = defaultdict(lambda: Latest(_RATES))

    def judge(self, files: int, size: int, seconds: float) -> tuple[float, float, float]:
        """Return a score, the rate and the one that was expected at least; take the hour as past.

        The score is by how much less it is, in units of how much less it often is.
        """
        if not files or not size or seconds < _LEAST_SECONDS:
            return 0.0, 0.0, 0.0
        rate = math.log(size / seconds)
        known = self._rates[int(math.log2(size / files))]
        score, expected = 0.0, rate
        if len(known) >= _LEAST:
            middle = known.share(0.5)
            spread = max(_LEAST_SPREAD, middle - known.share(1 - _WORST_RATE))
            score = (middle - rate) / spread
            expected = middle - spread
        known.add(rate)
        return score, math.exp(rate), math.exp(expected)


class Waiting:
    """The past of how long the oldest file of a user had waited, when others arrived."""

    def __init__(self) -> None:
        """Start without any."""
        self._longest: deque[tuple[int, float]] = deque()
        self._last = 0.0

    def judge(self, hour: int, oldest: float) -> tuple[float, float]:
        """Return a score, and how long was expected at most; then take the hour as past.

        ``oldest`` is in seconds.  The score is how many times longer it is.  A file that waits for
        a day counts once, and one alone changes nothing.
        """
        while self._longest and self._longest[0][0] <= hour - WEEK * WEEKS:
            self._longest.popleft()
        waits = sorted(seconds for _, seconds in self._longest)
        longest = max([_LEAST_WAIT, *waits[-2:-1]])
        if oldest < self._last and self._last > _LEAST_WAIT:
            # What is unusual becomes usual only step by step.
            self._longest.append((hour, min(self._last, _STEP * longest)))
        self._last = oldest
        return oldest / longest, longest
