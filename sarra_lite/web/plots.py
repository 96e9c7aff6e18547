"""Small plots of each group's days, all to the same scale: latency, and failures by code."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.web.display import moment

if TYPE_CHECKING:
    from sarra_lite.monitor.daily import Day

HEIGHT: Final = 60.0  # of a plot, in its own units
STEP: Final = 10  # width of a day
SHARES: Final = (0.5, 0.95, 0.99)
_MOST_GROUPS: Final = 50
_MOST_CODES: Final = 4  # with an own shade; the others share the last one


class Segment(NamedTuple):
    """A part of a bar: failures with a code, of the shade of this number."""

    x: int
    y: float
    height: float
    shade: int


class Row(NamedTuple):
    """A day in words."""

    day: str
    sent: int
    within: list[str]
    failed: int
    codes: str


class GroupPlot(NamedTuple):
    """A group's plots: ``lines`` are paths of SVG, one for each of SHARES."""

    group: str
    rows: list[Row]
    lines: list[str]
    segments: list[Segment]
    summary: str


class Plots(NamedTuple):
    """The plots of all groups, who has sent most first; ``codes`` of the shades.

    ``fastest`` and ``slowest`` are the ends of the scale of durations, ``most`` that of failures.
    """

    groups: list[GroupPlot]
    left_out: int
    width: int
    codes: list[str]
    fastest: str
    slowest: str
    most: int


class _Scale(NamedTuple):
    """First day, number of days, logarithms of the shortest and longest duration, most failures."""

    first: int
    days: int
    low: float
    high: float
    most: int
    codes: list[int]


def plots(groups: dict[str, dict[int, Day]], first: int, count: int) -> Plots:
    """Return plots of ``count`` days from ``first`` on, in days since 1970."""
    size = {
        name: sum(day.sent + day.failures.total() for day in groups[name].values())
        for name in groups
    }
    names = sorted(groups, key=lambda name: (-size[name], name))
    shown = {name: groups[name] for name in names[:_MOST_GROUPS]}
    scale = _scale(shown, first, count)
    codes = [str(code) for code in scale.codes]
    return Plots(
        [_of_group(name, days, scale) for name, days in shown.items()],
        len(names) - len(shown),
        count * STEP,
        codes,
        duration(math.exp(scale.low)),
        duration(math.exp(scale.high)),
        scale.most,
    )


def _scale(groups: dict[str, dict[int, Day]], first: int, count: int) -> _Scale:
    days = [day for of_group in groups.values() for day in of_group.values()]
    ends = [value for day in days for share in SHARES if (value := day.within(share)) is not None]
    failures = sum((day.failures for day in days), Counter[int]())
    codes = [code for code, _ in failures.most_common()]
    low, high = math.log(min(ends, default=1)), math.log(max(ends, default=1))
    most = max((day.failures.total() for day in days), default=0)
    return _Scale(first, count, low, high, most, codes)


def _of_group(name: str, days: dict[int, Day], scale: _Scale) -> GroupPlot:
    places = range(scale.first, scale.first + scale.days)
    rows = [_row(number, days[number]) for number in places if number in days]
    segments = [
        segment
        for number in places
        if number in days
        for segment in _segments((number - scale.first) * STEP, days[number], scale)
    ]
    lines = [_line([_within(days, number, share) for number in places], scale) for share in SHARES]
    sent, failed = (
        (sum(values) for values in zip(*((r.sent, r.failed) for r in rows), strict=True))
        if rows
        else (0, 0)
    )
    return GroupPlot(
        name, rows, lines, segments, f"{sent} files sent, {failed} failed in {scale.days} days"
    )


def _within(days: dict[int, Day], number: int, share: float) -> float | None:
    return days[number].within(share) if number in days else None


def _line(values: list[float | None], scale: _Scale) -> str:
    """Return a path through the values, with a gap where there is none."""
    path, drawn = [], False
    for place, value in enumerate(values):
        if value is not None:
            share = (math.log(value) - scale.low) / ((scale.high - scale.low) or 1)
            x, y = (place + 0.5) * STEP, round(HEIGHT - 2 - (HEIGHT - 4) * share, 1)
            # A point without neighbours is a line of no length, of which the ends are drawn.
            path.append(f"L{x} {y}" if drawn else f"M{x} {y}h0")
        drawn = value is not None
    return "".join(path)


def _segments(x: int, day: Day, scale: _Scale) -> list[Segment]:
    found, y = [], HEIGHT
    for shade, code in enumerate(scale.codes):
        if count := day.failures[code]:
            height = round(HEIGHT * count / scale.most, 2)
            y -= height
            found.append(Segment(x, round(y, 2), height, min(shade, _MOST_CODES)))
    return found


def _row(number: int, day: Day) -> Row:
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(day.failures.items()))
    within = [day.within(share) for share in SHARES]
    return Row(
        moment(number * 86400)[:10],
        day.sent,
        ["-" if value is None else duration(value) for value in within],
        day.failures.total(),
        codes or "-",
    )


def duration(milliseconds: float) -> str:
    """Return a duration with two digits: ``120 ms``, ``3.4 s``, ``17 min``, ``2.5 h``."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds >= length:
            value = milliseconds / length
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004
    return f"{float(f'{milliseconds:.2g}'):.0f} ms"
