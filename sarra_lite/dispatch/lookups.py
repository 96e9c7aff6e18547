"""Announcements that are looked up, in tasks, before they are in the schedule."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sarra_lite.broker.client import Delivery
    from sarra_lite.messages.v03 import Announcement
    from sarra_lite.runtime import Failure

    Redelivered = list[tuple[Delivery, Announcement]]
    Lookup = Coroutine[None, None, None]


class Lookups:
    """Running lookups, and the redelivered announcements that wait for the next one."""

    def __init__(self, failure: Failure) -> None:
        """``failure`` gets the error that ends a lookup."""
        self._failure = failure
        self._redelivered: Redelivered = []
        self._running: dict[asyncio.Task[None], int] = {}  # with their numbers of announcements
        self._checking: asyncio.Task[None] | None = None  # that of redelivered announcements

    def __len__(self) -> int:
        """Number of announcements that are looked up, or wait for it."""
        return len(self._redelivered) + sum(self._running.values())

    def add_redelivered(self, delivery: Delivery, announcement: Announcement) -> None:
        """Let an announcement wait for the next ``check_redelivered``."""
        self._redelivered.append((delivery, announcement))

    def check_redelivered(self, look_up: Callable[[Redelivered], Lookup]) -> None:
        """Look up what waits; what is redelivered meanwhile is looked up together, after it."""
        if self._redelivered and (self._checking is None or self._checking.done()):
            redelivered, self._redelivered = self._redelivered, []
            self._checking = self.start(look_up(redelivered), len(redelivered))

    def start(self, lookup: Lookup, count: int) -> asyncio.Task[None]:
        """Run a lookup about ``count`` announcements."""
        task = asyncio.ensure_future(lookup)
        self._running[task] = count
        task.add_done_callback(lambda _: self._running.pop(task, None))
        self._failure.watch(task)
        return task

    def cancel(self) -> None:
        """Forget all of them, after a lost connection: all is redelivered."""
        for task in self._running:
            task.cancel()
        self._running.clear()
        self._redelivered.clear()
