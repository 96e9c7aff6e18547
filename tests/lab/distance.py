"""A long way to a server: a relay on loopback that delivers what it gets a little later."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_AT_ONCE: Final = 256 * 1024


class Distance:
    """Relays TCP connections to a port, each byte delayed by half of ``round_trip`` seconds.

    ``narrow``: bytes a second that the first connection carries; ``carried``: bytes that each has.
    """

    def __init__(self, host: str, port: int, round_trip: float) -> None:
        """Where it leads, and how far that is."""
        self.port = 0
        self.connections = 0
        self.narrow: int | None = None
        self.carried: list[int] = []
        self._there = (host, port)
        self._delay = round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        """Listen on a free port of loopback."""
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._relay, "127.0.0.1", 0), self._loop
        )
        self._server = listening.result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all of it."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        self.carried.append(0)
        there, back = await asyncio.open_connection(*self._there)
        try:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await asyncio.gather(self._carry(reader, back, number), self._carry(there, writer))
        finally:
            for end in (writer, back):
                end.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int | None = None
    ) -> None:
        """Carry one direction, ``number``: there; what comes meanwhile is under way, too."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(under_way, writer))
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_AT_ONCE):
                    under_way.put_nowait((self._loop.time() + self._delay, data))
                    if number is not None:
                        self.carried[number] += len(data)
                    if number == 0 and self.narrow:
                        await asyncio.sleep(len(data) / self.narrow)
            under_way.put_nowait((self._loop.time() + self._delay, b""))
            await arriving
        finally:
            arriving.cancel()

    async def _arrive(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                when, data = await under_way.get()
                await asyncio.sleep(when - self._loop.time())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
