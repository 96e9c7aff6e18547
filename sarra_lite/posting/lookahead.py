"""Runs slow work for upcoming items in threads, and yields the results in the items' order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS: Final = 4
_MAX_SUBMITTED: Final = 2 * THREADS  # slow items given to the threads and not yielded yet
_MAX_QUEUED: Final = 500  # items read and not yielded yet


def in_order(
    items: Iterable[Item | None], is_slow: Callable[[Item], bool], work: Callable[[Item], Result]
) -> Iterator[Callable[[], Result]]:
    """Yield for each item, in order, a function that returns ``work(item)`` or raises its error.

    The work of a slow item begins in a thread when the item is read; all other work is done in the
    caller's thread when the function is called.  Items are read ahead only while slow work is
    running.  ``None`` among the items means that reading the next one may block: everything
    before it is yielded first.
    """
    queued: deque[tuple[Future[Result] | None, Callable[[], Result]]] = deque()
    submitted = 0
    pool = ThreadPoolExecutor(THREADS, "lookahead")
    try:
        for item in items:
            if item is not None:
                future = pool.submit(work, item) if is_slow(item) else None
                queued.append((future, future.result if future else partial(work, item)))
                submitted += future is not None
            while queued:
                future, result = queued[0]
                full = submitted == _MAX_SUBMITTED or len(queued) == _MAX_QUEUED
                if future is not None and not future.done() and not full and item is not None:
                    break
                queued.popleft()
                submitted -= future is not None
                yield result
        yield from (result for _, result in queued)
    finally:
        # The caller may stop early: work that has not begun is not needed then.
        pool.shutdown(wait=False, cancel_futures=True)
