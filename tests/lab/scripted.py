"""An SFTP server that does as a test says: files in memory, answers when and as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final, Self

from paramiko import sftp as names

from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import DestinationDown
from sarra_lite.sftp.target import Stream, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

EXTENSIONS: Final = (b"posix-rename@openssh.com", b"fsync@openssh.com")
WHY: Final = "the scripted server hung up"


class Request:
    """One request: its kind, number, and what follows."""

    def __init__(self, packet: bytes) -> None:
        """``packet``: without its length."""
        self.kind, self.number = struct.unpack_from(">BI", packet)
        self.rest = packet[5:]

    def string(self) -> bytes:
        """Take the next string."""
        (length,) = struct.unpack_from(">I", self.rest)
        taken, self.rest = self.rest[4 : 4 + length], self.rest[4 + length :]
        return taken

    def answer(self, kind: int, body: bytes) -> bytes:
        """Return an answer to it, as it is sent."""
        return struct.pack(">IBI", 5 + len(body), kind, self.number) + body

    def status(self, code: int = names.SFTP_OK, text: bytes = b"") -> bytes:
        """Return a status."""
        body = struct.pack(">I", code) + _string(text) + _string(b"")
        return self.answer(names.CMD_STATUS, body)


class Files:
    """Does what OpenSSH's server does for one flat directory."""

    def __init__(self) -> None:
        """No file is there."""
        self.content: dict[bytes, bytearray] = {}
        self.closed: list[bytes] = []
        self.synced: list[bytes] = []

    def __call__(self, request: Request) -> bytes | None:
        """Answer a request; a handle is the name of its file."""
        name = request.string()
        if request.kind == names.CMD_EXTENDED:
            return self._extended(name, request)
        if request.kind in (names.CMD_STAT, names.CMD_LSTAT, names.CMD_REMOVE, names.CMD_OPENDIR):
            if name not in self.content:
                return request.status(names.SFTP_NO_SUCH_FILE)
            if request.kind == names.CMD_REMOVE:
                del self.content[name]
        return self._on_file(name, request)

    def _extended(self, what: bytes, request: Request) -> bytes | None:
        name = request.string()
        if what == b"posix-rename@openssh.com":
            self.content[request.string()] = self.content.pop(name)
        elif what == b"fsync@openssh.com":
            self.synced.append(name)
        else:
            return request.status(names.SFTP_OP_UNSUPPORTED)
        return request.status()

    def _on_file(self, name: bytes, request: Request) -> bytes | None:
        if request.kind == names.CMD_OPEN:
            self.content.setdefault(name, bytearray())
            return request.answer(names.CMD_HANDLE, _string(name))
        if request.kind == names.CMD_WRITE:
            (offset,) = struct.unpack_from(">Q", request.rest)
            request.rest = request.rest[8:]
            data, file = request.string(), self.content[name]
            file.extend(bytes(max(0, offset + len(data) - len(file))))
            file[offset : offset + len(data)] = data
        if request.kind == names.CMD_READ:
            offset, count = struct.unpack_from(">QI", request.rest)
            piece = bytes(self.content[name][offset : offset + count])
            return request.answer(names.CMD_DATA, _string(piece))
        if request.kind in (names.CMD_FSTAT, names.CMD_STAT, names.CMD_LSTAT):
            size = len(self.content[name])
            return request.answer(names.CMD_ATTRS, struct.pack(">IQ", 1, size))
        if request.kind == names.CMD_CLOSE:
            self.closed.append(name)
        return request.status()


class Scripted(Stream):
    """The server, and the stream that leads to it."""

    def __init__(self, script: Callable[[Request], bytes | None] | None = None) -> None:
        """``script`` gets each request as it comes and may answer at once."""
        self.socket, self._theirs = socket.socketpair()
        self.socket.settimeout(0)
        self._theirs.settimeout(0)
        self.script = script or (lambda request: request.status())
        self.requests: list[Request] = []
        self._came = asyncio.Condition()
        self.reading = asyncio.Event()
        self.reading.set()
        self._server = asyncio.get_running_loop().create_task(self._serve())

    async def __aenter__(self) -> Self:
        """Nothing to do: it serves."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self._server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._server
        self._theirs.close()
        self.socket.close()

    def close(self) -> None:
        """Close our end."""
        self.socket.close()

    def close_reason(self) -> Exception:
        """Return what the ssh program would have said."""
        return DestinationDown(WHY)

    def hang_up(self) -> None:
        """End the connection from the server's side."""
        self._theirs.shutdown(socket.SHUT_RDWR)
        self._server.add_done_callback(lambda _: self._theirs.close())

    async def send(self, data: bytes, cuts: list[int] | None = None) -> None:
        """Send bytes, in pieces that are cut at these places."""
        loop = asyncio.get_running_loop()
        begin = 0
        for cut in [*sorted(set(cuts or [])), len(data)]:
            await loop.sock_sendall(self._theirs, data[begin:cut])
            begin = max(begin, cut)
            await asyncio.sleep(0)

    async def until(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        buffer = b""
        while True:
            await self.reading.wait()
            data = await loop.sock_recv(self._theirs, 65536)
            if not data:
                return
            buffer += data
            while len(buffer) >= 4 and len(buffer) >= 4 + (size := _size(buffer)):
                packet, buffer = buffer[4 : 4 + size], buffer[4 + size :]
                await self._take(packet)

    async def _take(self, packet: bytes) -> None:
        if packet[0] == names.CMD_INIT:
            body = b"".join(_string(name) + _string(b"1") for name in EXTENSIONS)
            await self.send(struct.pack(">IBI", 5 + len(body), names.CMD_VERSION, 3) + body)
            return
        request = Request(packet)
        answer = self.script(request)
        async with self._came:
            self.requests.append(request)
            self._came.notify_all()
        if answer is not None:
            await self.send(answer)


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _size(buffer: bytes) -> int:
    return int.from_bytes(buffer[:4], "big")


def target(timeout: float = 5.0) -> Target:
    """Return a target that nobody connects to."""
    return Target(parse_url("sftp://user@scripted/", ["sftp"]), None, None, True, timeout)  # noqa: FBT003
