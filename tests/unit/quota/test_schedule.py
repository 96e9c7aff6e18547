"""Grants are due at the group's rate, whatever the pauses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.config.quota import GRANTS_PER_SECOND
from sarra_lite.quota.schedule import Schedule

RATES = st.integers(1000, 10**10)
BEGINS = st.floats(0, 10**7)


@given(rate=RATES, begin=BEGINS, pauses=st.lists(st.floats(0, 0.9), max_size=100))
def test_without_long_pauses_the_sum_is_the_rate_but_for_the_grant_to_come(
    rate: int, begin: float, pauses: list[float]
) -> None:
    schedule, now, given_bytes = Schedule(rate, begin), begin, 0
    for pause in pauses:
        now += pause
        given_bytes += sum(schedule.due(now))
        exact = rate * (now - begin)
        assert exact - 1.001 * rate / GRANTS_PER_SECOND - 1 <= given_bytes <= exact * 1.001 + 1


@given(rate=RATES, begin=BEGINS, pauses=st.lists(st.floats(0, 100), max_size=100))
def test_after_a_pause_no_more_than_one_second_is_given(
    rate: int, begin: float, pauses: list[float]
) -> None:
    schedule, now = Schedule(rate, begin), begin
    for pause in pauses:
        now += pause
        due = schedule.due(now)
        assert len(due) <= GRANTS_PER_SECOND
        assert sum(due) <= rate + GRANTS_PER_SECOND
        assert schedule.due(now) == []


def test_all_grants_of_a_group_are_worth_the_same_but_for_a_byte() -> None:
    schedule = Schedule(12_345, 0.0)
    sizes = {size for second in range(1, 100) for size in schedule.due(float(second))}
    assert sizes == {617, 618}
