"""Each hour is judged against what was usual before, and little is said of what cannot be known."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sarra_lite.monitor.past import WEEK, WEEKS, Latest, Weekly, at_share
from sarra_lite.monitor.profile import LEARNING, Profile, Sums

FIRST = 490_000 // WEEK * WEEK  # a week begins
WORK = Sums(sent=50, failed=1, bytes=50_000_000, seconds=100.0, oldest=30.0, directories=["a/b"])


def after(weeks: int, **of_work: Any) -> tuple[Profile, int]:
    """Return a profile of somebody who works on five days a week from 9 to 17, and a next Monday.

    His hours differ by a third.
    """
    profile, chance = Profile(), random.Random(weeks)
    for hour in range(weeks * WEEK):
        day, time = divmod(hour % WEEK, 24)
        if day < 5 and 9 <= time < 17:
            more = chance.uniform(0.7, 1.3)
            sums = WORK._replace(
                sent=int(50 * more), bytes=int(5e7 * more), seconds=100.0 * more, **of_work
            )
            assert profile.judge(FIRST + hour, sums) == []
    return profile, FIRST + weeks * WEEK


def kinds(profile: Profile, hour: int, **changed: Any) -> set[str]:
    return {finding.kind for finding in profile.judge(hour, WORK._replace(**changed))}


def test_an_hour_like_all_others_is_usual() -> None:
    profile, monday = after(8)
    assert kinds(profile, monday + 10) == set()


def test_each_kind_is_found_by_itself() -> None:
    changes: dict[str, dict[str, Any]] = {
        "count": {"sent": 5000, "seconds": 100.0, "bytes": 60_000_000},
        "volume": {"bytes": 10_000_000_000, "seconds": 20_000.0},
        "failures": {"sent": 25, "failed": 25, "bytes": 25_000_000, "seconds": 50.0},
        "rate": {"seconds": 1500.0},
        "directory": {"directories": ["elsewhere"]},
        "stuck": {"oldest": 6 * 3600.0},
    }
    for kind, changed in changes.items():
        profile, monday = after(12)
        assert kinds(profile, monday + 10, **changed) == {kind}
    profile, monday = after(12)
    assert kinds(profile, monday + 3) == {"hours"}


def test_a_finding_says_how_much_against_what() -> None:
    profile, monday = after(8)
    [found] = profile.judge(monday + 9, WORK._replace(sent=5000, bytes=60_000_000))
    assert (found.kind, found.value) == ("count", 5001)
    assert 40 < found.expected < 80


def test_a_holiday_and_the_return_from_it_are_usual() -> None:
    profile, monday = after(8)
    assert kinds(profile, monday + WEEK + 10) == set()


def test_what_was_not_sent_in_a_gap_may_come_after_it() -> None:
    profile, monday = after(8)
    assert kinds(profile, monday + 9) == set()
    later = {"sent": 300, "bytes": 300_000_000, "seconds": 600.0}
    assert kinds(profile, monday + 16, **later) == set()


def test_growth_becomes_usual() -> None:
    profile, monday = after(8)
    found = [
        kinds(profile, monday + 24 * (number // 8) + 9 + number % 8, sent=200, bytes=200_000_000)
        for number in range(40)
    ]
    assert found[-1] == set()


def test_in_the_first_three_weeks_nothing_is_unusual() -> None:
    profile, monday = after(2)
    assert kinds(profile, monday + 3, sent=5000, oldest=9e5) == set()
    assert kinds(profile, FIRST + LEARNING + 10, oldest=9e5) != set()


def test_somebody_who_seldom_works_may_do_so_at_any_hour() -> None:
    profile = Profile()
    for week in range(12):
        assert kinds(profile, FIRST + week * WEEK + week * 5) == set()


def test_work_that_goes_on_into_the_night_and_late_deliveries_are_no_new_hours() -> None:
    profile, monday = after(8)
    assert [kinds(profile, monday + hour) for hour in range(9, 24)] == [set()] * 15
    profile, monday = after(8)
    waiting = Sums(oldest=6 * 3600.0)
    assert profile.judge(monday + 2, waiting) == []
    assert kinds(profile, monday + 3) == set()


def test_a_directory_of_today_is_like_one_of_yesterday_and_new_ones_may_be_usual() -> None:
    profile, monday = after(8)
    for name in ("d/2026/11/28", "a/b"):
        profile.judge(monday + 9, WORK._replace(directories=[name]))
    assert kinds(profile, monday + 10, directories=["d/2026/12/01"]) == set()
    for hour in range(11, 40):
        profile.judge(monday + hour, WORK._replace(directories=[f"runs/{hour:c}x"]))
    assert "directory" not in kinds(profile, monday + 40, directories=["runs/new"])


def test_what_waited_long_once_is_not_usual_yet() -> None:
    profile, monday = after(8)
    for hour in range(9, 17):
        kinds(profile, monday + hour, oldest=(hour - 8) * 3600.0)
    assert kinds(profile, monday + 24 + 9) == set()
    assert kinds(profile, monday + 24 + 10, oldest=5 * 3600.0) == {"stuck"}


hours = st.lists(st.integers(0, 40 * WEEK), max_size=60, unique=True).map(sorted)
numbers = st.integers(0, 2**62)


@settings(max_examples=50)
@given(
    hours=hours,
    sums=st.lists(
        st.builds(
            Sums, numbers, numbers, numbers, st.floats(0, 1e15), st.floats(0, 1e9),
            st.lists(st.text(max_size=9), max_size=3),
        ),
        min_size=60,
        max_size=60,
    ),
)  # fmt: skip
def test_any_sums_are_judged(hours: list[int], sums: list[Sums]) -> None:
    profile = Profile()
    for hour, one in zip(hours, sums, strict=False):
        for finding in profile.judge(FIRST + hour, one):
            assert finding.score >= 0
            assert finding.expected >= 0


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40), part=st.floats(0, 1))
def test_the_latest_numbers_are_those_that_came_last(values: list[float], part: float) -> None:
    latest = Latest(10)
    for value in values:
        latest.add(value)
    assert len(latest) == min(10, len(values))
    assert latest.share(part) == at_share(sorted(values[-10:]), part)


@given(hours=hours, now=st.integers(0, 40 * WEEK))
def test_numbers_of_the_same_time_of_the_week_are_of_the_last_weeks(
    hours: list[int], now: int
) -> None:
    weekly = Weekly()
    now += FIRST
    past = [FIRST + hour for hour in hours if FIRST + hour < now]
    for hour in past:
        weekly.add(hour, 1.0)
    wanted = [
        hour
        for hour in past
        if now - WEEKS * WEEK - 1 <= hour and (hour - now + 1) % WEEK in (0, 1, 2)
    ]
    # Of hours that are a whole past apart, the later one is kept.
    assert len(weekly.near(now)) == len({hour % (WEEKS * WEEK) for hour in wanted})
