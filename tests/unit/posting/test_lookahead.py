"""Results are in the order of the items, however long the work on each takes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.config.commands import PostConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.posting import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def in_order(
    items: Iterable[Any], is_slow: Callable[[Any], bool], work: Callable[[Any], Any]
) -> Iterator[Callable[[], Any]]:
    """Do for items of any kind what sr_post does for paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "takes_long", lambda item, _: is_slow(item))
        patch.setattr(scan, "announcements", lambda item, _: work(item))
        config = PostConfig(broker=parse_url("amqp://u@h/", ["amqp"]))
        yield from scan.in_order(items, config)


@given(st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=600))
def test_all_results_are_in_the_order_of_the_items(items: list[tuple[int, bool]]) -> None:
    results = in_order(items, lambda item: item[1], lambda item: item[0])
    assert [result() for result in results] == [number for number, _ in items]


def test_slow_work_is_done_in_other_threads_and_other_work_in_the_callers() -> None:
    results = in_order([True, False], lambda item: item, lambda _: threading.current_thread())
    first, second = [result() for result in results]
    assert first is not threading.current_thread()
    assert second is threading.current_thread()


def test_several_slow_items_are_worked_on_at_once() -> None:
    together = threading.Barrier(scan.THREADS, timeout=30)
    results = in_order(range(scan.THREADS), lambda _: True, lambda _: together.wait())
    assert sorted(result() for result in results) == list(range(scan.THREADS))


@pytest.mark.parametrize("slow", [True, False])
def test_an_error_is_raised_by_the_function_of_its_item(slow: bool) -> None:  # noqa: FBT001
    results = in_order([1, 0, 2], lambda _: slow, lambda item: 2 // item)
    assert next(results)() == 2
    with pytest.raises(ZeroDivisionError):
        next(results)()
    assert next(results)() == 1


def numbers(read: list[int]) -> Iterator[int]:
    """Yield 10,000 numbers; ``read`` gets those that were asked for."""
    for number in range(10_000):
        read.append(number)
        yield number


def test_items_are_not_read_ahead_while_no_slow_work_is_running() -> None:
    read: list[int] = []
    results = in_order(numbers(read), lambda _: False, lambda item: item)
    assert next(results)() == 0
    assert read == [0]


def test_the_number_of_items_read_ahead_is_limited() -> None:
    release = threading.Event()
    read: list[int] = []
    results = in_order(numbers(read), lambda item: item == 0, lambda item: item or release.wait(30))
    first = next(results)
    assert len(read) <= 1000
    release.set()
    assert first() is True
