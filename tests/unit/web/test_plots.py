"""Plots of groups: one scale for all, gaps where there was nothing, figures in words."""

from __future__ import annotations

from collections import Counter

import pytest

from sarra_lite.monitor.daily import Day
from sarra_lite.monitor.latency import duration_class
from sarra_lite.web.plots import HEIGHT, duration, plots

FIRST = 20_000  # 2024-10-04


def day(sent: int, milliseconds: int = 1000, **failures: int) -> Day:
    codes = Counter({int(code[1:]): count for code, count in failures.items()})
    return Day(Counter({duration_class(milliseconds): sent} if sent else {}), codes)


def test_lines_have_gaps_and_a_day_alone_is_a_point() -> None:
    [plot] = plots({"g": {n: day(1) for n in (FIRST, FIRST + 1, FIRST + 3)}}, FIRST, 5).groups
    y = HEIGHT - 2
    assert plot.lines == [f"M5.0 {y}h0L15.0 {y}M35.0 {y}h0"] * 3


def test_all_groups_have_one_scale() -> None:
    slow, fast = {FIRST: day(1, 60_000, c507=10)}, {FIRST: day(5, 1000, c410=5)}
    found = plots({"slow": slow, "fast": fast}, FIRST, 1)
    assert [plot.group for plot in found.groups] == ["slow", "fast"]  # the most reports first
    assert [plot.lines[0] for plot in found.groups] == ["M5.0 2.0h0", f"M5.0 {HEIGHT - 2}h0"]
    heights = [sum(part.height for part in plot.segments) for plot in found.groups]
    assert heights == [HEIGHT, HEIGHT / 2]
    assert (found.fastest, found.slowest, found.most) == ("940 ms", "1.0 min", 10)
    assert found.codes == ["507", "410"]


def test_failures_are_stacked_and_rare_codes_share_a_shade() -> None:
    many = {f"c{500 + n}": 10 - n for n in range(7)}
    [plot] = plots({"": {FIRST: day(0, **many)}}, FIRST, 1).groups
    assert [part.shade for part in plot.segments] == [0, 1, 2, 3, 4, 4, 4]
    assert sum(part.height for part in plot.segments) == pytest.approx(HEIGHT, abs=0.1)
    tops = [part.y for part in plot.segments]
    assert tops == sorted(tops, reverse=True)
    assert plot.lines == ["", "", ""]
    [row] = plot.rows
    assert row.day == "2024-10-04"
    assert (row.sent, row.within, row.failed) == (0, ["-"] * 3, 49)
    assert row.codes.startswith("500: 10, 501: 9")


def test_no_more_groups_are_plotted_than_people_look_at() -> None:
    found = plots({f"g{n:02}": {FIRST: day(60 - n)} for n in range(60)}, FIRST, 1)
    assert [plot.group for plot in found.groups] == [f"g{n:02}" for n in range(50)]
    assert found.left_out == 10
    assert plots({}, FIRST, 1).groups == []


def test_durations_have_two_digits() -> None:
    values = (1, 939, 1000, 12_345, 60_000, 3_600_000, 86_400_000)
    shown = ["1 ms", "940 ms", "1.0 s", "12 s", "1.0 min", "1.0 h", "1.0 d"]
    assert [duration(value) for value in values] == shown
