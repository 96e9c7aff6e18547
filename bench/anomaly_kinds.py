"""What is unusual: 1,000 anomalies of seven kinds and of different strengths, put into a year.

Strengths are drawn evenly on a logarithmic scale, from barely more than what is usual to obvious.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.anomaly_year import HOURS, Hour, let_wait, log_uniform, poisson, sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.anomaly_year import User

KINDS: Final = ("volume", "count", "failures", "rate", "directory", "hours", "stuck")
COUNT: Final = 1000
LEARNING: Final = 8 * 7 * 24  # hours at the beginning without anomalies
_APART: Final = 48  # hours between two anomalies of a user
_HISTORY: Final = 12 * 7 * 24  # hours in which something was never done before
_LEAST_FAILED: Final = 5  # files; fewer are no anomaly
_LEAST_SECONDS: Final = 60.0  # of slow transfers


class Anomaly(NamedTuple):
    """What was put in: hours since the beginning, the last one included; ``strength`` by kind."""

    kind: str
    user: str
    first: int
    last: int
    strength: float


def inject(users: list[User], seed: int) -> list[Anomaly]:
    """Change the hours of the users, and return what was put in."""
    chance = random.Random(f"{seed}/anomalies")
    found: list[Anomaly] = []
    taken: set[tuple[str, int]] = set()
    for number in range(COUNT):
        kind = KINDS[number % len(KINDS)]
        anomaly = None
        while anomaly is None:
            user = chance.choice(users)
            hour = chance.randrange(LEARNING, HOURS - 100)
            if (user.name, hour // _APART) in taken:
                continue
            anomaly = _PUT[kind](chance, user, hour)
        found.append(anomaly)
        around = range(anomaly.first // _APART - 1, anomaly.last // _APART + 2)
        taken.update((user.name, block) for block in around)
    return found


def _working(user: User, first: int, length: int) -> Iterator[Hour]:
    """Yield the hours from ``first`` on in which something was sent."""
    for number in range(first, first + length):
        if (hour := user.hours.get(number)) is not None and hour.sent:
            yield hour


def _more(chance: random.Random, user: User, first: int, kind: str) -> Anomaly | None:
    """Send larger files, or more of them which are small."""
    if not any(_working(user, first, 1)):
        return None
    length, factor = chance.randint(1, 6), log_uniform(chance, 5, 100)
    for hour in _working(user, first, length):
        usual = max(hour.sent, user.files / 2)
        if kind == "volume":
            more = factor * usual * math.exp(user.size + user.spread**2 / 2)
            hour.took += more / user.bandwidth
            hour.bytes += more
        else:
            more = poisson(chance, factor * usual)
            hour.took += more * user.latency
            hour.sent += more
            hour.bytes += more * chance.uniform(100, 10_000)
    return Anomaly(kind, user.name, first, first + length - 1, factor)


def _volume(chance: random.Random, user: User, first: int) -> Anomaly | None:
    return _more(chance, user, first, "volume")


def _count(chance: random.Random, user: User, first: int) -> Anomaly | None:
    return _more(chance, user, first, "count")


def _failures(chance: random.Random, user: User, first: int) -> Anomaly | None:
    """Let a share of the files fail."""
    length, share = chance.randint(1, 12), log_uniform(chance, 0.25, 1)
    hours = list(_working(user, first, length))
    lost = [sum(chance.random() < share for _ in range(hour.sent)) for hour in hours]
    if sum(lost) < _LEAST_FAILED or not any(_working(user, first, 1)):
        return None
    for hour, count in zip(hours, lost, strict=True):
        left = 1 - count / hour.sent
        hour.sent -= count
        hour.failed += count
        hour.bytes *= left
        hour.took *= left
    return Anomaly("failures", user.name, first, first + length - 1, share)


def _rate(chance: random.Random, user: User, first: int) -> Anomaly | None:
    """Let transfers take longer."""
    length, factor = chance.randint(2, 12), log_uniform(chance, 4, 30)
    hours = list(_working(user, first, length))
    seconds = sum(hour.took for hour in hours) * factor
    if seconds < _LEAST_SECONDS or not any(_working(user, first, 1)):
        return None
    for hour in hours:
        hour.took *= factor
    return Anomaly("rate", user.name, first, first + length - 1, factor)


def _directory(chance: random.Random, user: User, first: int) -> Anomaly | None:
    """Let files go elsewhere."""
    if not any(_working(user, first, 1)):
        return None
    length, directory = chance.randint(1, 5), user.tree.elsewhere()
    for hour in _working(user, first, length):
        hour.directories.append(directory)
    return Anomaly("directory", user.name, first, first + length - 1, 1)


def _hours(chance: random.Random, user: User, first: int) -> Anomaly | None:
    """Let somebody who keeps hours, which campaigns and rare visits do not, work at another one.

    Within three hours of where he worked in the weeks before, it would be nothing.
    """
    if user.style not in ("office", "batch"):
        return None
    near = Counter(
        (number - first + 84) % 168 - 84 in range(-3, 4)
        for number in range(max(0, first - _HISTORY), first + 4)
        if (hour := user.hours.get(number)) is not None and hour.sent
    )
    if near[True] or not near[False]:
        return None
    length, part = chance.randint(1, 4), log_uniform(chance, 0.05, 2)
    for number in range(first, first + length):
        files = max(1, poisson(chance, user.files * part))
        size = sizes(user, files)
        took = files * user.latency + size / user.bandwidth
        directories = user.tree.known[:1]
        user.hours[number] = Hour(files, 0, size, took, 0.0, directories)
    return Anomaly("hours", user.name, first, first + length - 1, part)


def _stuck(chance: random.Random, user: User, first: int) -> Anomaly | None:
    """Leave files behind, while later ones arrive."""
    if not any(_working(user, first, 1)):
        return None
    length = round(log_uniform(chance, 4, 72))
    let_wait(user, first, length)
    return Anomaly("stuck", user.name, first, first + length - 1, length)


_PUT: Final[dict[str, Callable[[random.Random, User, int], Anomaly | None]]] = {
    "volume": _volume,
    "count": _count,
    "failures": _failures,
    "rate": _rate,
    "directory": _directory,
    "hours": _hours,
    "stuck": _stuck,
}
