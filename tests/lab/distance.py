"""A relay on loopback that delays what it forwards, as a long network path would."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final, Self

_READ_SIZE: Final = 256 * 1024  # bytes


class Distance:
    """Relays TCP connections to a server; ``port`` is the relay's, in a thread of its own.

    ``connections`` counts them; ``sent_bytes`` has, for each, the bytes that went to the server.
    ``first_connection_rate`` limits the first one to so many bytes a second to the server.
    """

    receive_buffer: int | None = None
    """Bytes that the kernel holds of a connection before the relay reads them."""

    def __init__(self, host: str, port: int, round_trip: float) -> None:
        """Each direction delays every byte by half of ``round_trip`` seconds."""
        self.port = 0
        self.connections = 0
        self.first_connection_rate: int | None = None
        self.sent_bytes: list[int] = []
        self._server_address = (host, port)
        self._ends: list[asyncio.StreamWriter] = []
        self._delay = round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        """Listen on a free port of loopback."""
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._relay, "127.0.0.1", 0), self._loop
        )
        self._listener = listening.result(5)
        [listener] = self._listener.sockets
        if self.receive_buffer is not None:  # connections inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.port = listener.getsockname()[1]
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        """Close the listener and all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for end in self._ends:
            end.transport.abort()
        await asyncio.sleep(0)  # the loop closes their sockets in its next turn

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        self.sent_bytes.append(0)
        self._ends.append(writer)
        responses, server = await asyncio.open_connection(*self._server_address)
        self._ends.append(server)
        try:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await asyncio.gather(
                    self._forward(reader, server, number), self._forward(responses, writer)
                )
        finally:
            for end in (writer, server):
                end.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int | None = None
    ) -> None:
        """Forward one direction; ``number`` is the connection's in the direction to the server."""
        delayed: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(delayed, writer))
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_READ_SIZE):
                    delayed.put_nowait((self._loop.time() + self._delay, data))
                    if number is not None:
                        self.sent_bytes[number] += len(data)
                    if number == 0 and self.first_connection_rate:
                        await asyncio.sleep(len(data) / self.first_connection_rate)
            delayed.put_nowait((self._loop.time() + self._delay, b""))
            await delivery
        finally:
            delivery.cancel()

    async def _deliver(
        self, delayed: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        """Write each piece when its time has come; an empty one is the end."""
        with contextlib.suppress(ConnectionError):
            while True:
                due, data = await delayed.get()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
