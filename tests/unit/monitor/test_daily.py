"""How long files took, and which failed, by day and group."""

from __future__ import annotations

import math
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.monitor import daily, schema
from sarra_lite.monitor.daily import days
from sarra_lite.monitor.latency import duration_class, percentile
from sarra_lite.monitor.overview import _CODES, _HOURS, _SUMS
from sarra_lite.monitor.records import DAY, Outcome, Record
from sarra_lite.monitor.store import Batch, Store

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time_ns() // 10**6
GROUPS = {"ua": "g", "ub": "g", "uc": "h"}


@given(
    durations=st.lists(st.integers(1, 10**10), min_size=1, max_size=60),
    share=st.floats(0.01, 1),
)
def test_a_percentile_is_off_by_nine_per_cent_at_most(durations: list[int], share: float) -> None:
    found = percentile(Counter(map(duration_class, durations)), share)
    place = next(n for n in range(1, len(durations) + 1) if n >= share * len(durations))
    assert abs(math.log(found / sorted(durations)[place - 1])) <= math.log(1.091)


def ended(user: str, name: bytes, code: int = 201, *, ago: int = 0, waited: int = 0) -> Record:
    end = NOW - 1000 - ago * DAY
    outcome = Outcome(end, 10, code, "said", 1, "s", "h", 0, final=True, arrived=code < 300)
    return Record(user, name, end - waited, 10, block=False, outcome=outcome)


def test_days_have_what_was_sent_and_what_failed_of_each_group(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    today = (NOW - 1000) // DAY
    with closing(Store(file, 90, GROUPS)) as store:
        store.take(Batch([ended("ua", b"%d" % n, waited=8000) for n in range(99)]))
        store.take(Batch([ended("ub", b"slow", waited=3_600_000)]))
        # A user's clock that is ahead, twice the same report, and another day.
        ahead = ended("uc", b"ahead", waited=-5000)
        store.take(Batch([ahead, ahead, ended("uc", b"x", 507, ago=3), ended("uc", b"y", 304)]))
    found = days(file, None, today - 5)
    of_group = found["g"][today]
    assert (of_group.sent, of_group.failures) == (100, {})
    assert of_group.within(0.5) == pytest.approx(8000, rel=0.1)
    assert of_group.within(1.0) == pytest.approx(3_600_000, rel=0.1)
    assert {day: (one.sent, dict(one.failures)) for day, one in found["h"].items()} == {
        today: (1, {}),
        today - 3: (0, {507: 1}),
    }
    assert found["h"][today - 3].within(0.5) is None
    assert days(file, None, today - 2)["h"].keys() == {today}
    assert days(file, frozenset({"ub"}), 0)["g"][today].sent == 1
    assert days(file, frozenset(), 0) == {}


def test_a_file_that_failed_and_arrived_counts_as_sent(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with closing(Store(file, 90, GROUPS)) as store:
        store.take(Batch([ended("ua", b"f", 507)]))
        store.take(Batch([ended("ua", b"f", 201)]))
    [day] = days(file, None, 0)["g"].values()
    assert (day.sent, day.failures) == (1, {})


@pytest.mark.parametrize("query", [_SUMS, _HOURS, _CODES, daily._CODES, daily._WAITS])  # noqa: SLF001
def test_sums_are_made_of_the_time_that_is_asked_for_and_not_of_all(
    tmp_path: Path, query: str
) -> None:
    file = tmp_path / "store.sqlite"
    Store(file, 90, GROUPS).close()
    with schema.reading(file) as database:
        text = f"EXPLAIN QUERY PLAN {query.format('1')}"
        plan = database.execute(text, (0,) * query.count("?")).fetchall()
    assert "USING PRIMARY KEY" in plan[0][3]


def test_days_go_with_the_history(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with closing(Store(file, 90, GROUPS)) as store:
        store.take(Batch([ended("ua", b"f", ago=20), ended("ua", b"f")]))
    with closing(Store(file, 10, GROUPS)) as store:
        store.expire()
    assert len(days(file, None, 0)["g"]) == 1
