"""Requests to an SFTP server and its answers, many under way at once.

draft-ietf-secsh-filexfer-02 (version 3), and OpenSSH's PROTOCOL.  A wire lives in one asyncio loop.
Requests of one turn of the loop leave together; requests on one file are done in the order in which
they were sent (section 4.1), so that nobody needs to wait for a write before the close.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from paramiko import sftp as names
from paramiko.message import Message

from sarra_lite.errors import DestinationDown
from sarra_lite.sftp.openssh import OpenSshStream
from sarra_lite.sftp.packets import Response, parse_response, unpack_pairs
from sarra_lite.sftp.paramiko_channel import ParamikoStream
from sarra_lite.sftp.sendfile import FileRange

if TYPE_CHECKING:
    import socket

    from sarra_lite.sftp.target import Stream, Target

_VERSION: Final = 3
_ANSWERS_AT_ONCE: Final = 256 * 1024
_PARTS_AT_ONCE: Final = 128  # of a message to the socket; IOV_MAX is 1024
_MOST: Final = 1024 * 1024  # bytes of an answer; longer ones are none
# OpenSSH's server takes 2 MiB; what is more only makes questions wait behind it.
_WINDOW: Final = 4 * 1024 * 1024  # bytes of writes and reads under way on one connection

_HEAD: Final = struct.Struct(">IBI")  # length, kind, number
_LENGTH: Final = struct.Struct(">I")


def connect(target: Target) -> Stream:
    """Open a byte stream to the SFTP server of a host: through the ssh program, or paramiko."""
    return OpenSshStream(target) if target.program else ParamikoStream(target)


class Session:
    """Numbered requests on one stream, and the answers to them."""

    def __init__(self, target: Target) -> None:
        """Nothing is connected yet."""
        self.target = target
        self._stream: Stream | None = None
        self._loop = asyncio.get_running_loop()
        self._number = _VERSION
        self._out: deque[bytes | memoryview | FileRange] = deque()
        self._flushing = False
        self._buffer = bytearray()
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._room = _WINDOW
        self._holding: dict[int, int] = {}
        self._queueing: deque[asyncio.Future[None]] = deque()
        self._heard = 0.0
        self._watchman: asyncio.TimerHandle | None = None
        self._ended: BaseException | None = None

    async def open(self) -> dict[bytes, bytes]:
        """Connect, log in, and return the extensions that the server has."""
        self._stream = connect(self.target)
        self._loop.add_reader(self._stream.socket, self._readable)
        self._heard = self._loop.time()
        self._watch()
        # The answer has its version where others have their number.
        self._out.append(_HEAD.pack(5, names.CMD_INIT, _VERSION))
        version = self._expect(_VERSION)
        answer = await version
        if answer.kind != names.CMD_VERSION:
            raise DestinationDown(f"{self.target.endpoint}: no SFTP server answers")
        return dict(unpack_pairs(Message(answer.body)))

    @property
    def closed(self) -> bool:
        """Whether it was closed, or failed."""
        return self._ended is not None

    def close(self) -> None:
        """End the connection; whoever waits for an answer gets DestinationDown."""
        self.fail(DestinationDown(f"{self.target.endpoint}: not connected"))

    def fail(self, error: BaseException) -> None:
        """End the connection with an error for all who wait, now and later."""
        if self._ended is not None:
            return
        self._ended = error
        if self._watchman is not None:
            self._watchman.cancel()
        if self._stream is not None:
            self._loop.remove_reader(self._stream.socket)
            self._loop.remove_writer(self._stream.socket)
            self._stream.close()
        self._out.clear()
        waiting: list[asyncio.Future[Any]] = [*self._waiting.values(), *self._queueing]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # not everybody who asked waits for the answer
        self._waiting.clear()
        self._queueing.clear()

    async def request(self, kind: int, *arguments: bytes, writing: bool = False) -> Message:
        """Send a request and wait for its answer; Refused when it is a status other than OK."""
        return parse_response(await self.send(kind, *arguments), writing=writing)

    def send(
        self, kind: int, *arguments: bytes, data: bytes | memoryview | FileRange = b""
    ) -> asyncio.Future[Response]:
        """Send a request; ``data`` goes after it, not copied.  Who does not care need not wait."""
        self._number = number = (self._number + 1) & 0xFFFFFFFF or _VERSION + 1
        body = b"".join(arguments)
        self._out.append(_HEAD.pack(5 + len(body) + len(data), kind, number) + body)
        if data:
            self._out.append(data)
        return self._expect(number)

    def send_counted(
        self, count: int, kind: int, *arguments: bytes, data: bytes | memoryview | FileRange = b""
    ) -> asyncio.Future[Response]:
        """Send a request that moves ``count`` bytes, for which ``room`` was waited."""
        future = self.send(kind, *arguments, data=data)
        self._holding[self._number] = count
        self._room -= count
        return future

    async def wait_for_window(self) -> None:
        """Wait until another large request may be under way."""
        while self._room <= 0 or self._queueing:
            if self._ended is not None:
                raise self._ended
            turn = self._loop.create_future()
            self._queueing.append(turn)
            await turn
            if self._room > 0:
                return

    def _expect(self, number: int) -> asyncio.Future[Response]:
        if self._ended is not None:
            raise self._ended
        if not self._waiting:
            self._heard = self._loop.time()
        future: asyncio.Future[Response] = self._loop.create_future()
        self._waiting[number] = future
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)
        return future

    def flush(self) -> None:
        """Send what there is, as far as the socket takes it."""
        stream, out = self._stream, self._out
        if stream is None or self._ended is not None:
            return
        try:
            while out:
                if not isinstance(first := out[0], FileRange):
                    _send_parts(stream.socket, out)
                elif first.send(stream.socket):
                    out.popleft()
        except BlockingIOError:
            self._loop.add_writer(stream.socket, self.flush)
            return
        except OSError:
            self._lost()
            return
        self._loop.remove_writer(stream.socket)
        self._flushing = False

    def _readable(self) -> None:
        assert self._stream is not None  # noqa: S101  for the type checker
        try:
            data = self._stream.socket.recv(_ANSWERS_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._heard = self._loop.time()
        self._buffer += data
        self._take_answers()

    def _take_answers(self) -> None:
        """Give every complete answer to who waits for it."""
        buffer, begin, end = self._buffer, 0, len(self._buffer)
        while end - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, begin)
            if not _HEAD.size - _LENGTH.size <= length <= _MOST:
                self.fail(DestinationDown(f"{self.target.endpoint}: no SFTP server answers"))
                return
            after = begin + _LENGTH.size + length
            if after > end:
                break
            _, kind, number = _HEAD.unpack_from(buffer, begin)
            self._answered(number, Response(kind, bytes(buffer[begin + _HEAD.size : after])))
            begin = after
        del buffer[:begin]

    def _answered(self, number: int, answer: Response) -> None:
        if count := self._holding.pop(number, 0):
            self._room += count
            while self._queueing and self._room > 0:
                turn = self._queueing.popleft()
                if not turn.done():
                    turn.set_result(None)
                    break
        future = self._waiting.pop(number, None)
        if future is None:
            self.fail(DestinationDown(f"{self.target.endpoint}: no SFTP server answers"))
        elif not future.done():
            future.set_result(answer)

    def _watch(self) -> None:
        """End a connection on which an answer is due for too long."""
        timeout = self.target.timeout
        late = self._heard + timeout - self._loop.time() if self._waiting else timeout
        if late <= 0:
            text = f"{self.target.endpoint}: no answer for {timeout:.0f} s"
            self.fail(DestinationDown(text))
            return
        self._watchman = self._loop.call_later(late, self._watch)

    def _lost(self) -> None:
        assert self._stream is not None  # noqa: S101  for the type checker
        self._loop.remove_reader(self._stream.socket)
        self._loop.remove_writer(self._stream.socket)
        self.fail(self._stream.close_reason())


def _send_parts(to: socket.socket, out: deque[bytes | memoryview | FileRange]) -> None:
    """Send, with one call, what is in memory at the head of a queue, as far as it is taken."""
    parts: list[bytes | memoryview] = []
    for part in islice(out, _PARTS_AT_ONCE):
        if isinstance(part, FileRange):
            break
        parts.append(part)
    sent = to.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            out[0] = memoryview(part)[sent:]
            break
        sent -= len(part)
        out.popleft()
