"""How many connections: by the distance, and more while that helps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.dispatch.autoscale import FEWEST, MOST, Autoscaler, connections_for

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("milliseconds", "count"), [(0, 2), (0.2, 2), (10, 2), (20, 3), (50, 4), (100, 7), (500, 8)]
)
def test_the_farther_the_destination_the_more_connections(milliseconds: float, count: int) -> None:
    assert connections_for(milliseconds / 1000) == count


def settled(line: int, each: int, begin: int, *, backlog: bool = True) -> tuple[int, int]:
    """Return how many connections there are after 100 s on a line, and at most meanwhile.

    ``line`` and ``each``: MiB a second that it, and one connection, carry.
    """
    autoscaler, connections, most = Autoscaler(), begin, begin
    for tenth in range(1000):
        count = min(line, each * connections) * MIB // 10
        connections += autoscaler.count(count, tenth / 10, connections, backlog=backlog)
        most = max(most, connections)
    return connections, most


@pytest.mark.parametrize(
    ("line", "each", "begin", "end"),
    [(100, 40, 2, 3), (100, 100, 2, 2), (1000, 100, 2, 8), (1000, 400, 4, 4), (250, 40, 4, 6)],
)
def test_one_more_is_kept_while_it_brings_more(line: int, each: int, begin: int, end: int) -> None:
    assert settled(line, each, begin)[0] == end


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(FEWEST, MOST))
def test_never_fewer_than_the_distance_wants_never_too_many_for_a_server(
    line: int, each: int, begin: int
) -> None:
    end, most = settled(line, each, begin)
    assert begin <= end <= most <= MOST


def test_a_line_that_nobody_wants_to_fill_tells_nothing() -> None:
    assert settled(1000, 100, 2, backlog=False) == (2, 2)
