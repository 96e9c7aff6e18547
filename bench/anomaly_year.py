"""A year of 200 users, hour by hour, as the store of sr_monitor keeps it: nothing unusual yet.

What is usual: five styles of work in three time zones with summer time, weeks and days of different
intensity, growth and steps, public holidays and leave, outages of a user and of all, of which most
are caught up with, busy and slow and failing hours, files that wait, directories that are used for
the first time.  ``bench.anomaly_kinds`` adds what is unusual.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bench.anomaly_styles import STYLES
from bench.anomaly_trees import Tree

USERS: Final = 200
GROUPS: Final = 10
BEGIN: Final = datetime(2025, 11, 3, tzinfo=UTC)  # a Monday
HOURS: Final = 52 * 7 * 24
FIRST: Final = int(BEGIN.timestamp()) // 3600  # hours since 1970
_ZONES: Final = ("America/Toronto", "America/Vancouver", "UTC")
#: Style, and its share of the users.
SHARES: Final = {"office": 35, "steady": 25, "batch": 20, "bursty": 10, "sparse": 10}
_DRAWN: Final = 30  # files of an hour whose size is drawn one by one


@dataclass(slots=True)
class Hour:
    """What one hour of a user came to; ``oldest``: seconds that a file has waited at its end."""

    sent: int = 0
    failed: int = 0
    bytes: float = 0.0
    took: float = 0.0  # seconds
    oldest: float = 0.0
    directories: list[str] = field(default_factory=list)


@dataclass
class User:
    """A user: how he works, and what came of it; ``hours`` by hours since the beginning."""

    name: str
    group: str
    style: str
    zone: str
    chance: random.Random
    files: float  # in a usual hour of work
    size: float  # logarithm of the median
    spread: float  # of the logarithm
    bandwidth: float  # bytes a second
    latency: float  # seconds for a file
    failing: float  # share of the files
    wait: float  # seconds
    tree: Tree
    hours: dict[int, Hour] = field(default_factory=dict)


def make_year(seed: int) -> list[User]:
    """Return the users with their usual year."""
    chance = random.Random(seed)
    styles = [style for style, share in SHARES.items() for _ in range(share * USERS // 100)]
    outages = {hour for _ in range(3) for hour in _span(chance, 1, 6)}
    local = {zone: _local_times(zone) for zone in _ZONES}
    users = []
    for number, style in enumerate(styles):
        user = _user(number, style, random.Random(f"{seed}/{number}"))
        _fill(user, local[user.zone], outages)
        users.append(user)
    return users


def _local_times(zone: str) -> list[datetime]:
    tz = ZoneInfo(zone)
    return [(BEGIN + timedelta(hours=hour)).astimezone(tz) for hour in range(HOURS)]


def _span(chance: random.Random, least: float, most: float) -> range:
    """Return hours from anywhere in the year on; lengths are as often short as long."""
    begin = chance.randrange(HOURS)
    return range(begin, min(HOURS, begin + round(log_uniform(chance, least, most))))


def _user(number: int, style: str, chance: random.Random) -> User:
    return User(
        name=f"uuser{number}",
        group=f"group{number % GROUPS}",
        style=style,
        zone=chance.choice(_ZONES),
        chance=chance,
        files=chance.lognormvariate(math.log(400 if style == "batch" else 40), 1.2),
        size=math.log(chance.lognormvariate(math.log(5e6), 1.8)),
        spread=chance.uniform(0.5, 1.6),
        bandwidth=chance.lognormvariate(math.log(20e6), 0.8),
        latency=chance.uniform(0.05, 0.4),
        failing=min(0.05, chance.lognormvariate(math.log(0.005), 1.2)),
        wait=chance.lognormvariate(math.log(60), 1.2),
        tree=Tree(chance),
    )


def _fill(user: User, local: list[datetime], outages: set[int]) -> None:
    """Make the year of a user."""
    chance = user.chance
    work = dict(STYLES[user.style](chance, local))
    means = _means(chance, user.files, work)
    outages = outages.union(*(_span(chance, 2, 48) for _ in range(4)))
    # The sender of some does not run at night.
    nights = _nights(local) if chance.random() < 0.15 else set()
    patient = chance.random() < 0.05  # single files wait for hours
    slow, failing = _episodes(chance, 24, 6), _episodes(chance, 12, 1)
    owed, since = 0.0, None
    for hour, mean in enumerate(means):
        if hour in outages or hour in nights:
            owed += mean
            since = hour if since is None and owed >= 1 else since
            if since is not None:
                user.hours[hour] = Hour(oldest=(hour - since + chance.random()) * 3600)
            continue
        if since is not None:
            since = None
            owed *= hour - 1 in nights or chance.random() < 0.6  # caught up with, or given up
        part = owed if owed < user.files else owed * chance.uniform(0.3, 1)
        owed -= part
        if files := poisson(chance, mean + part):
            now = _hour(user, local[hour], files, slow.get(hour), failing.get(hour))
            now.oldest = chance.expovariate(1 / user.wait)
            if chance.random() < 0.003:
                now.oldest = chance.uniform(600, 7200)
            if (before := user.hours.get(hour)) is not None:
                now.oldest = max(now.oldest, before.oldest)
            user.hours[hour] = now
            if patient and chance.random() < 0.005:
                let_wait(user, hour, round(log_uniform(chance, 2, 8)))


def _nights(local: list[datetime]) -> set[int]:
    return {number for number, time in enumerate(local) if not 7 <= time.hour < 20}


def _means(chance: random.Random, usual: float, work: dict[int, float]) -> list[float]:
    """Return how many files are to be expected in each hour."""
    noise, day_noise, means = chance.uniform(0.2, 0.6), 0.0, []
    for hour, level in enumerate(_levels(chance)):
        if hour % 24 == 0:
            day_noise = 0.6 * day_noise + chance.gauss(0, 0.25)
        mean = usual * work.get(hour, 0.0) * level * math.exp(day_noise + chance.gauss(0, noise))
        if mean and chance.random() < 0.005:
            mean *= chance.uniform(1.5, 4)  # a busy hour
        means.append(mean)
    return means


def _levels(chance: random.Random) -> list[float]:
    """Return by how much more or less a user sends in each hour than at the beginning."""
    growth = math.log(chance.uniform(0.8, 2.5)) / HOURS
    steps: defaultdict[int, float] = defaultdict(float)
    if chance.random() < 0.2:
        for _ in range(chance.randint(1, 2)):
            steps[chance.randrange(HOURS)] += math.log(chance.uniform(0.5, 2.5))
    level, levels = 0.0, []
    for hour in range(HOURS):
        level += growth + steps.get(hour, 0.0)
        levels.append(math.exp(level))
    return levels


def _episodes(chance: random.Random, count: int, longest: int) -> dict[int, float]:
    """Return hours that go worse than others, and how much."""
    return {
        hour: worse
        for _ in range(count)
        for worse in [chance.random()]
        for hour in _span(chance, 1, longest)
    }


def _hour(
    user: User, local: datetime, files: int, slow: float | None, failing: float | None
) -> Hour:
    chance = user.chance
    share = min(0.9, user.failing * chance.lognormvariate(0, 0.5))
    if failing is not None:
        share = min(0.9, share + 0.02 + 0.18 * failing)
    failed = sum(chance.random() < share for _ in range(files)) if files < 500 else 0
    if files >= 500:
        failed = min(files, poisson(chance, files * share))
    sent = files - failed
    size = sizes(user, sent)
    congestion = chance.lognormvariate(0, 0.25) * (1.3 if 9 <= local.hour < 17 else 1)
    if slow is not None:
        congestion *= 1.4 + 1.1 * slow
    took = (sent * user.latency + size / user.bandwidth) * congestion
    return Hour(sent, failed, size, took, 0.0, user.tree.used(local, files))


def sizes(user: User, count: int) -> float:
    """Return the bytes of so many files."""
    chance = user.chance
    total = sum(chance.lognormvariate(user.size, user.spread) for _ in range(min(count, _DRAWN)))
    if (rest := count - _DRAWN) > 0:
        mean = math.exp(user.size + user.spread**2 / 2)
        deviation = math.sqrt(math.exp(user.spread**2) - 1) / math.sqrt(rest)
        total += rest * mean * max(0.3, 1 + chance.gauss(0, deviation))
    return total


def let_wait(user: User, first: int, length: int) -> None:
    """Let one file wait for some hours."""
    for number in range(first, min(HOURS, first + length)):
        hour = user.hours.setdefault(number, Hour())
        hour.oldest = max(hour.oldest, (number - first + 0.5) * 3600)


def log_uniform(chance: random.Random, least: float, most: float) -> float:
    """Return a number as often from each part of a logarithmic scale."""
    return math.exp(chance.uniform(math.log(least), math.log(most)))


def poisson(chance: random.Random, mean: float) -> int:
    """Return a number of events of which ``mean`` are expected."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count
