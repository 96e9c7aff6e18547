"""Scores of the detector of sr_monitor, of a plain threshold, and of STL, for the same year.

STL (season and trend by local regression) is of statsmodels.  It decomposes the whole year of a
user at once, so that, unlike the others, it knows what comes after an hour.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from bench.anomaly_kinds import LEARNING
from bench.anomaly_year import FIRST, HOURS, Hour, User
from sarra_lite.monitor.habits import ancestors
from sarra_lite.monitor.past import WEEK
from sarra_lite.monitor.profile import Profile, Sums

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Score, user and hour, for each kind.
Scores = dict[str, list[tuple[float, str, int]]]
_LEAST: Final = {"failures": 0.03, "hours": 0.1}  # scores that matter to no limit are left out
_ROBUST: Final = {"robust": True, "seasonal_jump": 5, "trend_jump": 20, "low_pass_jump": 20}


def detector(users: Iterable[User]) -> Scores:
    """Return the scores of sr_monitor's own detector, which knows only what was before."""
    found: Scores = defaultdict(list)
    for user in users:
        profile = Profile()
        for hour in sorted(user.hours):
            for finding in profile.score(FIRST + hour, sums(user.hours[hour])):
                _keep(found, finding.kind, finding.score, user.name, hour)
    return found


def sums(hour: Hour) -> Sums:
    """Return an hour as the detector gets it."""
    return Sums(hour.sent, hour.failed, int(hour.bytes), hour.took, hour.oldest, hour.directories)


def threshold(users: Iterable[User]) -> Scores:
    """Return how many standard deviations an hour is from the mean of all before it."""
    found: Scores = defaultdict(list)
    for user in users:
        past: dict[str, _Mean] = defaultdict(_Mean)
        worked: set[int] = set()
        known: set[str] = set()
        for number in sorted(user.hours):
            for kind, value in numbers(user.hours[number]).items():
                share = kind == "failures"
                score = value if share else past[kind].deviations(value)
                _keep(found, kind, score, user.name, number)
            if not user.hours[number].sent:
                continue
            _keep(found, "hours", number % WEEK not in worked, user.name, number)
            worked.add(number % WEEK)
            new = set(user.hours[number].directories) - known
            _keep(found, "directory", bool(new), user.name, number)
            known |= new
    return found


def numbers(hour: Hour) -> dict[str, float]:
    """Return what can be measured in an hour; a low rate is a high number."""
    files = hour.sent + hour.failed
    found = {"stuck": math.log1p(hour.oldest)}
    if files:
        found |= {"count": math.log1p(files), "volume": math.log1p(hour.bytes)}
        found["failures"] = hour.failed / files if files >= 5 else 0.0
    if hour.bytes > 0 and hour.took > 5:
        found["rate"] = -math.log(hour.bytes / hour.took)
    return found


class _Mean:
    """Mean and standard deviation of what came so far."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def deviations(self, value: float) -> float:
        """Return by how many standard deviations a number is higher, and count it."""
        deviation = math.sqrt(self._squares / self._count) if self._count > 1 else 0.0
        score = (value - self._mean) / deviation if deviation else 0.0
        self._count += 1
        change = value - self._mean
        self._mean += change / self._count
        self._squares += change * (value - self._mean)
        return score


def seasonal(users: Iterable[User]) -> Scores:
    """Return what STL leaves over, in units of what it usually leaves over in hours of work.

    Hours without work have the median of the others, since a logarithm of nothing would make all
    else look alike.  Of "hours", the score is by how much less work is usual at this time.
    """
    from statsmodels.tsa.seasonal import STL  # noqa: PLC0415  it takes seconds

    found: Scores = defaultdict(list)
    for user in users:
        for kind, there in _series(user).items():
            fitted = STL(_filled(kind, there), period=WEEK, seasonal=13, **_ROBUST).fit()
            left = [float(fitted.resid[number]) for number in there]
            usual = statistics.median(map(abs, left)) * 1.4826
            spread = max(usual, statistics.pstdev(left) / 20, 1e-6)
            for number, rest in zip(there, left, strict=True):
                score = rest if kind == "hours" else rest / spread
                _keep(found, kind, score, user.name, number)
    return found


def _series(user: User) -> dict[str, dict[int, float]]:
    """Return each number of each hour that has it."""
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    known: set[str] = set()
    for number in sorted(user.hours):
        for kind, value in numbers(user.hours[number]).items():
            found[kind][number] = value
        if user.hours[number].sent:
            new = {path for one in user.hours[number].directories for path in ancestors(one)}
            found["directory"][number] = float(len(new - known))
            known |= new
            found["hours"][number] = 1.0
    return found


def _filled(kind: str, there: dict[int, float]) -> list[float]:
    usual = 0.0 if kind == "hours" else statistics.median(there.values())
    return [there.get(number, usual) for number in range(HOURS)]


def _keep(found: Scores, kind: str, score: float, user: str, hour: int) -> None:
    if hour >= LEARNING and score > _LEAST.get(kind, 0.5):
        found[kind].append((score, user, hour))
