"""Results are in the order of the items, however long the work on each takes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.posting import lookahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(st.lists(st.tuples(st.integers(0, 99), st.booleans()) | st.none(), max_size=600))
def test_all_results_are_in_the_order_of_the_items(items: list[tuple[int, bool] | None]) -> None:
    results = lookahead.in_order(items, lambda item: item[1], lambda item: item[0])
    assert [result() for result in results] == [item[0] for item in items if item is not None]


def test_slow_work_is_done_in_other_threads_and_other_work_in_the_callers() -> None:
    results = lookahead.in_order(
        [True, False], lambda item: item, lambda _: threading.current_thread()
    )
    first, second = [result() for result in results]
    assert first is not threading.current_thread()
    assert second is threading.current_thread()


def test_several_slow_items_are_worked_on_at_once() -> None:
    together = threading.Barrier(lookahead.THREADS, timeout=30)
    results = lookahead.in_order(
        range(lookahead.THREADS), lambda _: True, lambda _: together.wait()
    )
    assert sorted(result() for result in results) == list(range(lookahead.THREADS))


@pytest.mark.parametrize("slow", [True, False])
def test_an_error_is_raised_by_the_function_of_its_item(slow: bool) -> None:  # noqa: FBT001
    results = lookahead.in_order([1, 0, 2], lambda _: slow, lambda item: 2 // item)
    assert next(results)() == 2
    with pytest.raises(ZeroDivisionError):
        next(results)()
    assert next(results)() == 1


def test_none_among_the_items_makes_all_results_before_it_available() -> None:
    results: list[int] = []
    results_before_next: list[list[int]] = []

    def items() -> Iterator[int | None]:
        yield from (1, 2)
        yield None
        results_before_next.append(results.copy())
        yield 3

    for result in lookahead.in_order(items(), lambda _: True, lambda item: item):
        results.append(result())  # noqa: PERF401  items() reads it meanwhile
    assert results_before_next == [[1, 2]]
    assert results == [1, 2, 3]


def numbers(read: list[int]) -> Iterator[int]:
    """Yield 10,000 numbers; ``read`` gets those that were asked for."""
    for number in range(10_000):
        read.append(number)
        yield number


def test_items_are_not_read_ahead_while_no_slow_work_is_running() -> None:
    read: list[int] = []
    results = lookahead.in_order(numbers(read), lambda _: False, lambda item: item)
    assert next(results)() == 0
    assert read == [0]


def test_the_number_of_items_read_ahead_is_limited() -> None:
    release = threading.Event()
    read: list[int] = []
    results = lookahead.in_order(
        numbers(read), lambda item: item == 0, lambda item: item or release.wait(30)
    )
    first = next(results)
    assert len(read) <= 1000
    release.set()
    assert first() is True
