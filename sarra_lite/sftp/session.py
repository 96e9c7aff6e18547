"""Sends SFTP requests on one byte stream and matches the responses to them by request id.

* A session lives in one asyncio event loop and is not thread-safe.
* Any number of requests may be pending.  Those made in one iteration of the loop are sent together.
* The server handles requests on one file in the order in which they were sent (section 6.1), so
  that a caller may send CLOSE without waiting for the responses to its WRITEs.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from paramiko import sftp as constants
from paramiko.message import Message

from sarra_lite.errors import DestinationDown
from sarra_lite.sftp.openssh import OpenSshStream
from sarra_lite.sftp.packets import UINT32, Response, parse_response
from sarra_lite.sftp.paramiko_channel import ParamikoStream
from sarra_lite.sftp.sendfile import send_queue

if TYPE_CHECKING:
    from sarra_lite.sftp.sendfile import FileRange
    from sarra_lite.sftp.target import Stream, Target

_VERSION: Final = 3
_RECEIVE_SIZE: Final = 256 * 1024  # bytes
_MAX_RESPONSE: Final = 1024 * 1024  # bytes; a longer response is not SFTP
# Bytes of READs and WRITEs that may be pending.  OpenSSH's server receives up to 2 MiB before it
# handles any; with much more than that pending, other requests would only wait longer.
_WINDOW: Final = 4 * 1024 * 1024
_HEADER: Final = struct.Struct(">IBI")  # length of what follows, packet type, request id


def connect(target: Target) -> Stream:
    """Open a byte stream to the target's SFTP server, through the ssh program or paramiko."""
    return OpenSshStream(target) if target.program else ParamikoStream(target)


class Session:
    """An SFTP session: ``open`` it, make requests, ``close`` it.

    When it has ended, pending and later requests raise the reason: DestinationDown, or what the
    stream's ``close_reason`` returned, such as DestinationRefused.
    """

    def __init__(self, target: Target) -> None:
        """Prepare a session in the running event loop; ``open`` connects it."""
        self.target = target
        self._stream: Stream | None = None
        self._loop = asyncio.get_running_loop()
        self._last_id = _VERSION
        self._send_queue: deque[bytes | memoryview | FileRange] = deque()
        self._received = bytearray()
        self._pending: dict[int, asyncio.Future[Response]] = {}
        self._window = _WINDOW  # bytes left
        self._window_use: dict[int, int] = {}  # bytes by request id
        self._window_waiters: deque[asyncio.Future[None]] = deque()
        self._last_response_time = 0.0  # or the time of a later request that found none pending
        self._watchdog: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None

    async def open(self) -> set[bytes]:
        """Connect, log in, and return the names of the server's extensions (section 4)."""
        self._stream = stream = connect(self.target)
        self._loop.add_reader(stream.socket, self._receive, stream)
        self._check_watchdog()
        # INIT, and VERSION in response, have the version in place of a request id.
        init = _HEADER.pack(5, constants.CMD_INIT, _VERSION)
        response = await self._enqueue(_VERSION, [init])
        if response.kind != constants.CMD_VERSION:
            raise self._down("no SFTP server answers")
        message, extensions = Message(response.body), set()
        while message.get_remainder():
            extensions.add(message.get_string())
            message.get_string()  # version of the extension
        return extensions

    @property
    def closed(self) -> bool:
        """Whether the session has ended, by ``close`` or by a failure."""
        return self._error is not None

    def close(self) -> None:
        """End the session; pending requests raise DestinationDown."""
        self._end(self._down("not connected"))

    async def request(self, kind: int, *arguments: bytes, writing: bool = False) -> Message:
        """Send a request of packet type ``kind``, wait, and return the content of the response.

        Raise SftpError, with ``writing`` as given, for a status other than OK.
        """
        return parse_response(await self.send(kind, *arguments), writing=writing)

    def send(
        self, kind: int, *arguments: bytes, data: bytes | FileRange = b""
    ) -> asyncio.Future[Response]:
        """Send a request, with ``data`` after the arguments; the future need not be awaited."""
        self._last_id = request_id = (self._last_id + 1) & 0xFFFFFFFF or _VERSION + 1
        body = b"".join(arguments)
        packet = _HEADER.pack(5 + len(body) + len(data), kind, request_id) + body
        return self._enqueue(request_id, [packet, data] if data else [packet])

    def send_counted(
        self, count: int, kind: int, *arguments: bytes, data: bytes | FileRange = b""
    ) -> asyncio.Future[Response]:
        """Send a READ or WRITE of ``count`` bytes, after ``wait_for_window``."""
        future = self.send(kind, *arguments, data=data)
        self._window_use[self._last_id] = count
        self._window -= count
        return future

    async def wait_for_window(self) -> None:
        """Wait until the window has room for another READ or WRITE; first come, first served."""
        while self._window <= 0 or self._window_waiters:
            if self._error is not None:
                raise self._error
            waiter = self._loop.create_future()
            self._window_waiters.append(waiter)
            await waiter
            if self._window > 0:
                return

    def flush(self) -> None:
        """Send what the socket accepts of the queue, and the rest when it is writable again."""
        stream = self._stream
        if stream is None or self._error is not None:
            return
        try:
            send_queue(stream.socket, self._send_queue)
        except BlockingIOError:
            self._loop.add_writer(stream.socket, self.flush)
        except OSError:
            self._end(stream.close_reason())
        else:
            self._loop.remove_writer(stream.socket)

    def _enqueue(
        self, request_id: int, packet: list[bytes | FileRange]
    ) -> asyncio.Future[Response]:
        """Queue a packet for sending; return the future of its response."""
        if self._error is not None:
            raise self._error
        if not self._pending:
            self._last_response_time = self._loop.time()
        if not self._send_queue:  # otherwise a call of ``flush`` is scheduled already
            self._loop.call_soon(self.flush)
        self._send_queue += packet
        self._pending[request_id] = future = self._loop.create_future()
        return future

    def _receive(self, stream: Stream) -> None:
        """Read from the socket, and complete every request whose whole response has arrived."""
        try:
            data = stream.socket.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(stream.close_reason())
            return
        self._last_response_time = self._loop.time()
        buffer = self._received
        buffer += data
        begin, end = 0, len(buffer)
        while end - begin >= UINT32.size:
            (length,) = UINT32.unpack_from(buffer, begin)
            if not _HEADER.size - UINT32.size <= length <= _MAX_RESPONSE:
                self._end(self._down("no SFTP server answers"))
                return
            after = begin + UINT32.size + length
            if after > end:
                break
            _, kind, request_id = _HEADER.unpack_from(buffer, begin)
            self._complete(request_id, Response(kind, bytes(buffer[begin + _HEADER.size : after])))
            begin = after
        del buffer[:begin]

    def _complete(self, request_id: int, response: Response) -> None:
        """Hand a response to its request; wake a waiter when that frees space in the window."""
        if count := self._window_use.pop(request_id, 0):
            self._window += count
            while self._window_waiters and self._window > 0:
                waiter = self._window_waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    break
        future = self._pending.pop(request_id, None)
        if future is None:
            self._end(self._down("no SFTP server answers"))
        elif not future.done():
            future.set_result(response)

    def _check_watchdog(self) -> None:
        """End the session when no response came for ``timeout``; else schedule the next check."""
        timeout = self.target.timeout
        silence = self._loop.time() - self._last_response_time if self._pending else 0.0
        if silence >= timeout:
            self._end(self._down(f"no answer for {timeout:.0f} s"))
        else:
            self._watchdog = self._loop.call_later(timeout - silence, self._check_watchdog)

    def _end(self, error: BaseException) -> None:
        """Close the stream; make pending and later requests raise the error."""
        if self._error is not None:
            return
        self._error = error
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._stream is not None:
            self._loop.remove_reader(self._stream.socket)
            self._loop.remove_writer(self._stream.socket)
            self._stream.close()
        self._send_queue.clear()
        futures: list[asyncio.Future[Any]] = [*self._pending.values(), *self._window_waiters]
        for future in futures:
            if not future.done():
                future.set_exception(error)
                future.exception()  # or asyncio would log it, if the future is never awaited
        self._pending.clear()
        self._window_waiters.clear()

    def _down(self, text: str) -> DestinationDown:
        return DestinationDown(f"{self.target.endpoint}: {text}")
