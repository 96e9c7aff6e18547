"""Limits the bytes of READs and WRITEs that are pending on one session."""

from __future__ import annotations

import asyncio


class Window:
    """Room for so many bytes, of which one request more may be pending; first come, first served.

    ``close`` lets all who wait go on, now and later.
    """

    def __init__(self, size: int) -> None:
        """Start with all of it free."""
        self._left = size
        self._use: dict[int, int] = {}  # bytes by request id
        self._free = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False

    async def wait(self) -> None:
        """Wait until there is room."""
        async with self._turn:
            while self._left <= 0 and not self._closed:
                self._free.clear()
                await self._free.wait()

    def take(self, request_id: int, count: int) -> None:
        """Note that a request with so many bytes is pending."""
        self._use[request_id] = count
        self._left -= count

    def give_back(self, request_id: int) -> None:
        """Free what a request took, if it took any: its response has arrived."""
        if count := self._use.pop(request_id, 0):
            self._left += count
            if self._left > 0:
                self._free.set()

    def close(self) -> None:
        """Let all who wait go on: the session has ended."""
        self._closed = True
        self._free.set()
