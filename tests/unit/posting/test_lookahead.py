"""Results come in the order of the items, however long each takes."""

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
def test_all_results_come_in_order(items: list[tuple[int, bool] | None]) -> None:
    found = lookahead.results(items, lambda item: item[1], lambda item: item[0])
    assert [result() for result in found] == [item[0] for item in items if item is not None]


def test_long_work_is_done_in_other_threads_and_short_work_when_asked_for() -> None:
    found = lookahead.results(
        [True, False], lambda long: long, lambda _: threading.current_thread()
    )
    first, second = [result() for result in found]
    assert first is not threading.current_thread()
    assert second is threading.current_thread()


def test_several_are_worked_on_at_once() -> None:
    together = threading.Barrier(lookahead.THREADS, timeout=30)
    found = lookahead.results(range(lookahead.THREADS), lambda _: True, lambda _: together.wait())
    assert sorted(result() for result in found) == list(range(lookahead.THREADS))


@pytest.mark.parametrize("long", [True, False])
def test_an_error_is_raised_in_its_place(long: bool) -> None:  # noqa: FBT001
    found = lookahead.results([1, 0, 2], lambda _: long, lambda item: 2 // item)
    assert next(found)() == 2
    with pytest.raises(ZeroDivisionError):
        next(found)()
    assert next(found)() == 1


def test_nothing_is_held_back_while_the_next_item_is_waited_for() -> None:
    taken: list[int] = []
    when_waiting: list[list[int]] = []

    def items() -> Iterator[int | None]:
        yield from (1, 2)
        yield None
        when_waiting.append(taken.copy())
        yield 3

    for result in lookahead.results(items(), lambda _: True, lambda item: item):
        taken.append(result())  # noqa: PERF401  each is to be seen at once
    assert when_waiting == [[1, 2]]
    assert taken == [1, 2, 3]


def test_a_tree_is_not_read_ahead_while_nothing_long_is_under_way() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            asked.append(number)
            yield number

    found = lookahead.results(items(), lambda _: False, lambda item: item)
    assert next(found)() == 0
    assert asked == [0]


def test_only_so_much_is_read_ahead() -> None:
    release = threading.Event()
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            asked.append(number)
            yield number

    found = lookahead.results(
        items(), lambda item: item == 0, lambda item: item or release.wait(30)
    )
    first = next(found)
    assert len(asked) <= 1000
    release.set()
    assert first() is True
