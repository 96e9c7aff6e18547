"""When users of each style work: office, steady, batch, bursty, sparse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from datetime import date, datetime

    Work = Iterator[tuple[int, float]]

#: Public holidays of the year, as month and day.
HOLIDAYS: Final = (
    *((1, 1), (1, 2), (2, 16), (4, 3), (4, 6), (5, 18), (7, 1), (8, 3), (9, 7), (9, 30)),
    *((10, 12), (11, 11)),
    *((12, day) for day in range(24, 32)),
)


def _leave(chance: random.Random, local: list[datetime]) -> set[date]:
    """Return the days on which somebody is away: holidays, and two or three leaves."""
    days = sorted({time.date() for time in local})
    away = {day for day in days if (day.month, day.day) in HOLIDAYS and chance.random() < 0.95}
    for _ in range(chance.randint(2, 3)):
        begin = chance.randrange(len(days))
        away.update(days[begin : begin + chance.randint(3, 16)])
    return away


def office(chance: random.Random, local: list[datetime]) -> Work:
    """Work on weekdays by day, now and then in the evening, some on Saturdays."""
    away, begin = _leave(chance, local), chance.randint(6, 10)
    saturdays = chance.choice([0, 0, 0, 0.2, 0.5])
    late, here = 0, False
    for number, time in enumerate(local):
        if time.hour == 0:
            working = time.weekday() < 5 or (time.weekday() == 5 and chance.random() < saturdays)
            here = working and time.date() not in away
            late = chance.randint(1, 5) if here and chance.random() < 0.05 else 0
        since = time.hour - begin
        if here and 0 <= since < 9 and chance.random() < 0.9:
            yield number, 0.5 if since in (0, 4, 8) else 1.0
        elif here and 9 <= since < 9 + late:
            yield number, 0.4


def steady(chance: random.Random, local: list[datetime]) -> Work:
    """Send at all hours, more by day than by night."""
    strength, phase = chance.uniform(0, 0.7), chance.uniform(0, 24)
    for number, time in enumerate(local):
        if chance.random() < 0.995:
            yield number, 1 + strength * math.cos((time.hour - phase) / 24 * math.tau)


def batch(chance: random.Random, local: list[datetime]) -> Work:
    """Run at the same time on each day, weekday or one day of the week, up to an hour late."""
    days = chance.choice([range(7), range(7), range(5), range(5), [chance.randrange(7)]])
    runs = [(chance.randrange(24), chance.randint(1, 3)) for _ in range(chance.randint(1, 3))]
    holidays = chance.random() < 0.3  # rests
    for number, time in enumerate(local):
        if time.weekday() not in days or (holidays and (time.month, time.day) in HOLIDAYS):
            continue
        for hour, length in runs:
            if time.hour == hour and chance.random() < 0.98:
                begin = number + (chance.random() < 0.15)
                for part in range(length):
                    if begin + part < len(local):
                        yield begin + part, 1 / (part + 1)


def bursty(chance: random.Random, local: list[datetime]) -> Work:
    """Send day and night in campaigns of some days, and seldom between them."""
    campaigns: dict[int, float] = {}
    for _ in range(chance.randint(6, 18)):
        begin, strength = chance.randrange(len(local)), chance.lognormvariate(0.5, 0.5)
        for number in range(begin, begin + chance.randint(12, 144)):
            campaigns[number] = strength
    for number, time in enumerate(local):
        if number in campaigns and chance.random() < 0.8:
            yield number, campaigns[number]
        elif 7 <= time.hour < 22 and chance.random() < 0.03:
            yield number, 0.3


def sparse(chance: random.Random, local: list[datetime]) -> Work:
    """Send a few times a month at any hour of the day, for one to three hours."""
    for number, time in enumerate(local):
        if 7 <= time.hour < 22 and chance.random() < 4 / (30 * 15):
            for part in range(chance.randint(1, 3)):
                if number + part < len(local):
                    yield number + part, chance.lognormvariate(0, 0.6)


STYLES: Final[dict[str, Callable[[random.Random, list[datetime]], Work]]] = {
    "office": office,
    "steady": steady,
    "batch": batch,
    "bursty": bursty,
    "sparse": sparse,
}
