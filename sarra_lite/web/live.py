"""Keeps open pages up to date: the store is read once for all pages that show the same files.

A page follows a feed, which has the parts of the page, each as HTML, and sends those that changed
as server-sent events.  However many pages are open, and however long the store takes, reading and
sending take a small share of one processor: the more it costs, the rarer it is done.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Users = frozenset[str] | None

_PERIOD: Final = 2.0  # seconds between two reads for the same pages, at least
_SHARE: Final = 0.05  # of a processor, for all open pages
# bench.web measures that sending does not take more than these.
_EVENT: Final = 0.0001  # seconds of a processor to send an event to one page
_BYTE: Final = 2e-9  # and for each byte of it
_SIGN: Final = 10.0  # seconds after which a page is told that nothing has changed
_MAX_PAGES: Final = 300  # open pages
_MAX_OF_USER: Final = 20  # open pages of one user
_FIRST: Final = b"retry: 3000\n\n"  # milliseconds until a browser connects again


class Live:
    """The open pages, and what they show."""

    def __init__(self, read: Callable[[Users], dict[str, str]], shown: Callable[[], str]) -> None:
        """``read`` returns the parts for users' files, in a thread; ``shown`` the part of each."""
        self._read = read
        self._shown = shown
        self._feeds: dict[Users, _Feed] = {}
        self._pages: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def full(self, user: str) -> bool:
        """Return whether no page more can be followed by this user."""
        return self._pages[user] >= _MAX_OF_USER or self._pages.total() >= _MAX_PAGES

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._end()

    async def follow(
        self, user: str, users: Users, lasts: Callable[[], float]
    ) -> AsyncIterator[bytes]:
        """Yield events until ``lasts``, the seconds for which the session lasts, returns 0."""
        feed = self._feeds.setdefault(users, _Feed())
        feed.pages += 1
        feed.joined = True
        self._pages[user] += 1
        known, heard = 0, feed.round  # rounds: at first the page may have anything
        try:
            yield _FIRST
            self._start()
            while not self._closed and await feed.news(heard, lasts()) and lasts() > 0:
                event, known, heard = feed.event(known), feed.round, feed.round
                yield event
        finally:
            self._leave(user, users, feed)

    def _leave(self, user: str, users: Users, feed: _Feed) -> None:
        self._pages[user] -= 1
        if not self._pages[user]:
            del self._pages[user]
        feed.pages -= 1
        if not feed.pages and self._feeds.get(users) is feed:
            del self._feeds[users]

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def _end(self) -> None:
        for feed in self._feeds.values():
            feed.end()
        self._feeds.clear()

    async def _run(self) -> None:
        """Read for all feeds in turn while there are any."""
        try:
            while self._feeds:
                earliest = time.monotonic() + _PERIOD
                for users, feed in list(self._feeds.items()):
                    if not feed.pages:  # the last was closed since
                        continue
                    seconds, parts = await run_in_threadpool(self._timed, users)
                    sent = feed.publish(parts, self._shown(), time.monotonic())
                    cost = seconds + feed.pages * (_EVENT + sent * _BYTE if sent else 0)
                    await asyncio.sleep(cost * (1 / _SHARE - 1))
                await asyncio.sleep(max(0.0, earliest - time.monotonic()))
        except Exception:  # a mistake of ours; browsers connect again, and it is tried again
            log.exception("the open pages cannot be kept up to date")
            self._end()

    def _timed(self, users: Users) -> tuple[float, dict[str, str]]:
        """Return what to show, and the seconds of a processor that it took."""
        begun = time.thread_time()
        parts = self._read(users)
        return time.thread_time() - begun, parts


class _Feed:
    """What the pages of viewers who see the same files show, and since when."""

    def __init__(self) -> None:
        """Nothing has been read yet."""
        self.pages = 0
        self.joined = False  # since the last event: what a new page shows may be older than it
        self.round = 0
        self._parts: dict[str, tuple[int, str]] = {}
        self._shown = ""
        self._sent = 0.0
        self._events: dict[int, bytes] = {}
        self._ended = False
        self._news = asyncio.Event()

    async def news(self, heard: int, seconds: float) -> bool:
        """Wait for an event after a round; return False when none comes in time or at all."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                while self.round <= heard and not self._ended:
                    await self._news.wait()
        except TimeoutError:
            return False
        return not self._ended

    def publish(self, parts: dict[str, str], shown: str, now: float) -> int:
        """Tell pages what changed; return the bytes that most of them get, 0 for no event."""
        changed = [name for name in parts if self._parts.get(name, (0, ""))[1] != parts[name]]
        if not changed and not self.joined and now < self._sent + _SIGN:
            return 0
        self.joined = False
        before, self.round = self.round, self.round + 1
        self._parts |= {name: (self.round, parts[name]) for name in changed}
        self._shown, self._sent = shown, now
        self._events.clear()
        self._wake()
        return len(self.event(before))

    def event(self, known: int) -> bytes:
        """Return what changed after a round as one event."""
        if known not in self._events:
            texts = [text for number, text in self._parts.values() if number > known]
            lines = "".join([*texts, self._shown]).split("\n")
            data = "".join(f"data: {line}\n" for line in lines)
            self._events[known] = f"event: parts\n{data}\n".encode()
        return self._events[known]

    def end(self) -> None:
        """Tell pages that nothing more comes."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
