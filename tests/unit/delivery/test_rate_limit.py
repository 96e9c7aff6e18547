"""Bytes a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.delivery.rate_limit import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    rate=st.integers(1, 10**9),
    moves=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**7)), max_size=50),
)
def test_never_more_than_the_rate_whatever_the_pauses(
    rate: int, moves: list[tuple[float, int]]
) -> None:
    clock = Clock()
    limit = RateLimit(rate, clock)
    sent = 0
    for pause, count in moves:
        clock.now += pause
        begin = clock.now + limit.reserve(count)
        # All that was sent before has been paid for, but for a tenth of a second.
        assert sent <= rate * (begin + 0.1) * (1 + 1e-9) + 1
        sent += count


def test_no_limit_means_no_waiting() -> None:
    limit = RateLimit(0)
    assert [limit.reserve(10**12) for _ in range(3)] == [0, 0, 0]
    assert limit.chunk_bytes(261_120) == 261_120


@given(rate=st.integers(1, 10**9))
def test_no_step_takes_longer_than_a_tenth_of_a_second_but_on_the_slowest_lines(rate: int) -> None:
    assert RateLimit(rate).chunk_bytes(261_120) <= max(1024, rate / 10)
