"""What open pages cost: one read for all that show the same, and a small share of a processor."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sarra_lite.web.live import Live

if TYPE_CHECKING:
    from collections.abc import Awaitable

Users = frozenset[str] | None
FIRST = b"retry: 3000\n\n"


class Store:
    """What is read, and how often."""

    def __init__(self, seconds: float = 0.0) -> None:
        """``seconds`` of a processor for each read."""
        self.text = "<p id=a>old</p>"
        self.reads: list[Users] = []
        self._seconds = seconds

    def read(self, users: Users) -> dict[str, str]:
        self.reads.append(users)
        end = time.thread_time() + self._seconds
        while time.thread_time() < end:
            pass
        return {"a": self.text, "b": "<p id=b>same</p>"}

    def live(self) -> Live:
        return Live(self.read, lambda: "<i>now</i>")


async def within(seconds: float, awaitable: Awaitable[bytes]) -> bytes:
    return await asyncio.wait_for(awaitable, seconds)


def test_pages_that_show_the_same_are_told_of_one_read() -> None:
    async def main() -> None:
        store = Store()
        live = store.live()
        pages = [live.follow(f"u{n}", None, lambda: 60.0) for n in range(50)]
        assert {await anext(page) for page in pages} == {FIRST}
        [event] = {await within(20, anext(page)) for page in pages}
        assert event == (b"event: parts\ndata: <p id=a>old</p><p id=b>same</p><i>now</i>\n\n")
        store.text = "<p id=a>new\n</p>"
        [event] = {await within(20, anext(page)) for page in pages}
        assert event == b"event: parts\ndata: <p id=a>new\ndata: </p><i>now</i>\n\n"
        assert store.reads == [None] * 2
        live.close()

    asyncio.run(main())


def test_what_changes_while_a_page_is_sent_an_event_is_the_next() -> None:
    async def main() -> None:
        store = Store()
        live = store.live()
        slow, quick = (live.follow("u", None, lambda: 60.0) for _ in range(2))
        for page in (slow, quick):
            assert await anext(page) == FIRST
            await within(20, anext(page))
        for text in ("second", "third"):
            store.text = f"<p id=a>{text}</p>"
            assert text in (await within(20, anext(quick))).decode()
        event = await within(1, anext(slow))  # at once
        assert b"third" in event
        assert b"second" not in event
        live.close()

    asyncio.run(main())


def test_the_more_a_read_costs_the_rarer_it_is_done() -> None:
    async def main() -> float:
        store = Store(seconds=0.02)
        live = store.live()
        pages = [live.follow(f"u{n}", frozenset({f"u{n}"}), lambda: 60.0) for n in range(100)]
        for page in pages:
            await anext(page)
        begun = time.monotonic()
        tasks = [asyncio.ensure_future(anext(page)) for page in pages]
        await within(60, tasks[4])  # the fifth
        seconds = time.monotonic() - begun
        assert store.reads == [frozenset({f"u{n}"}) for n in range(5)]
        live.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seconds

    assert asyncio.run(main()) > 4 * 0.02 / 0.05


def test_a_mistake_ends_the_streams_and_the_next_page_has_one_again() -> None:
    class Wrong(Store):
        def read(self, users: Users) -> dict[str, str]:
            if not self.reads:
                self.reads.append(users)
                raise LookupError(users)
            return super().read(users)

    async def main() -> None:
        live = Wrong().live()
        first = live.follow("u", None, lambda: 60.0)
        assert [event async for event in first] == [FIRST]
        second = live.follow("u", None, lambda: 60.0)
        assert await anext(second) == FIRST
        assert b"old" in await within(20, anext(second))
        live.close()
        assert [event async for event in second] == []
        assert not live.full("u")

    asyncio.run(main())
