"""Work that takes long is begun in threads before its result is asked for; all stays in order."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS: Final = 4
_LONG: Final = 2 * THREADS  # works begun, or done and not asked for
_WAITING: Final = 500  # items behind one that is being worked on


def results(
    items: Iterable[Item | None], long: Callable[[Item], bool], work: Callable[[Item], Result]
) -> Iterator[Callable[[], Result]]:
    """Yield for each item, in order, what returns the result of its work, or raises.

    What is ``long`` is worked on in threads meanwhile; all else when its result is asked for.
    Nothing is read ahead while nothing long is under way, and ``None`` among the items says that
    the next one may be long in coming: all before it is yielded first.
    """
    waiting: deque[tuple[Future[Result] | None, Callable[[], Result]]] = deque()
    begun = 0
    with _pool() as pool:
        for item in items:
            if item is not None:
                future = pool.submit(work, item) if long(item) else None
                waiting.append((future, future.result if future else partial(work, item)))
                begun += future is not None
            while waiting:
                future, result = waiting[0]
                enough = item is None or begun == _LONG or len(waiting) == _WAITING
                if future is not None and not future.done() and not enough:
                    break
                waiting.popleft()
                begun -= future is not None
                yield result
        yield from (result for _, result in waiting)


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads; what they have not begun when they are no longer needed is left."""
    pool = ThreadPoolExecutor(THREADS, "ahead")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
