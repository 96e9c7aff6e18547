"""An SFTP server inside the test's event loop: its script, a function, answers each request.

A script that returns None leaves the request unanswered; the test then sends the response itself.
``Files`` is the usual script: files in memory, as OpenSSH's server would keep them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final, Self

import pytest
from paramiko import sftp as constants
from paramiko.sftp_attr import SFTPAttributes

from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import DestinationDown
from sarra_lite.sftp import session
from sarra_lite.sftp.client import SftpClient
from sarra_lite.sftp.packets import pack_string
from sarra_lite.sftp.target import Stream, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

EXTENSIONS: Final = (b"posix-rename@openssh.com", b"fsync@openssh.com")
CLOSE_REASON: Final = "the scripted server hung up"


class Request:
    """A request as received: packet type, request id, and the arguments still to be read."""

    def __init__(self, packet: bytes) -> None:
        """``packet`` comes without its length."""
        self.kind, self.number = struct.unpack_from(">BI", packet)
        self.rest = packet[5:]

    def string(self) -> bytes:
        """Read the next argument, which is a string."""
        (length,) = struct.unpack_from(">I", self.rest)
        string, self.rest = self.rest[4 : 4 + length], self.rest[4 + length :]
        return string

    def answer(self, kind: int, body: bytes) -> bytes:
        """Return the packet of a response of some type."""
        return struct.pack(">IBI", 5 + len(body), kind, self.number) + body

    def status(self, code: int = constants.SFTP_OK, text: bytes = b"") -> bytes:
        """Return the packet of a STATUS response."""
        body = struct.pack(">I", code) + pack_string(text) + pack_string(b"")
        return self.answer(constants.CMD_STATUS, body)


class Files:
    """A script: files of one directory in memory; the handle of a file is its name.

    ``closed`` and ``synced`` have the names in the order of the CLOSE and fsync requests.
    """

    def __init__(self) -> None:
        """Begin with an empty directory."""
        self.content: dict[bytes, bytearray] = {}
        self.closed: list[bytes] = []
        self.synced: list[bytes] = []

    def __call__(self, request: Request) -> bytes | None:
        """Return the response to a request."""
        kind, name = request.kind, request.string()
        if kind == constants.CMD_EXTENDED:
            return self._extended(name, request)
        must_exist = (constants.CMD_STAT, constants.CMD_LSTAT, constants.CMD_REMOVE)
        if kind in (*must_exist, constants.CMD_OPENDIR):
            if name not in self.content:
                return request.status(constants.SFTP_NO_SUCH_FILE)
            if kind == constants.CMD_REMOVE:
                del self.content[name]
        return self._on_file(name, request)

    def _extended(self, extension: bytes, request: Request) -> bytes | None:
        name = request.string()
        if extension == b"posix-rename@openssh.com":
            if name not in self.content:
                return request.status(constants.SFTP_NO_SUCH_FILE)
            self.content[request.string()] = self.content.pop(name)
        elif extension == b"fsync@openssh.com":
            self.synced.append(name)
        else:
            return request.status(constants.SFTP_OP_UNSUPPORTED)
        return request.status()

    def _on_file(self, name: bytes, request: Request) -> bytes | None:
        if request.kind == constants.CMD_OPEN:
            self.content.setdefault(name, bytearray())
            return request.answer(constants.CMD_HANDLE, pack_string(name))
        if request.kind == constants.CMD_WRITE:
            (offset,) = struct.unpack_from(">Q", request.rest)
            request.rest = request.rest[8:]
            data, file = request.string(), self.content[name]
            file.extend(bytes(max(0, offset + len(data) - len(file))))
            file[offset : offset + len(data)] = data
        if request.kind == constants.CMD_READ:
            offset, count = struct.unpack_from(">QI", request.rest)
            data = bytes(self.content[name][offset : offset + count])
            return request.answer(constants.CMD_DATA, pack_string(data))
        if request.kind in (constants.CMD_FSTAT, constants.CMD_STAT, constants.CMD_LSTAT):
            size = len(self.content[name])
            return request.answer(constants.CMD_ATTRS, struct.pack(">IQ", 1, size))
        if request.kind == constants.CMD_FSETSTAT:
            flags, size = struct.unpack_from(">IQ", request.rest.ljust(12, b"\0"))
            if flags & SFTPAttributes.FLAG_SIZE:
                file = self.content[name]
                file.extend(bytes(max(0, size - len(file))))
        if request.kind == constants.CMD_CLOSE:
            self.closed.append(name)
        return request.status()


class Scripted(Stream):
    """The server, and at the same time the stream that a session uses to reach it.

    ``requests`` has every request received.  The server reads only while ``reading`` is set.
    """

    def __init__(self, script: Callable[[Request], bytes | None] | None = None) -> None:
        """Start serving; without a script, every request is answered with status OK."""
        self.socket, self._server_socket = socket.socketpair()
        self.socket.settimeout(0)
        self._server_socket.settimeout(0)
        self.script = script or (lambda request: request.status())
        self.requests: list[Request] = []
        self._received = asyncio.Condition()
        self.reading = asyncio.Event()
        self.reading.set()
        self._server = asyncio.get_running_loop().create_task(self._serve())

    async def __aenter__(self) -> Self:
        """Return the server, which serves already."""
        return self

    async def __aexit__(self, _kind: object, _error: object, _trace: object) -> None:
        """Stop serving."""
        self._server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._server
        self._server_socket.close()
        self.socket.close()

    def close(self) -> None:
        """Close the session's socket."""
        self.socket.close()

    def logged_in(self) -> None:
        """Do nothing: this server says nothing at a login."""

    def close_reason(self) -> Exception:
        """Return the exception that a session gets when the server hung up."""
        return DestinationDown(CLOSE_REASON)

    def hang_up(self) -> None:
        """Close the connection from the server's side."""
        self._server_socket.shutdown(socket.SHUT_RDWR)
        self._server.add_done_callback(lambda _: self._server_socket.close())

    async def send(self, data: bytes, cuts: list[int] | None = None) -> None:
        """Send bytes; ``cuts`` are the offsets at which they are cut into pieces."""
        loop = asyncio.get_running_loop()
        begin = 0
        for cut in [*sorted(set(cuts or [])), len(data)]:
            await loop.sock_sendall(self._server_socket, data[begin:cut])
            begin = max(begin, cut)
            await asyncio.sleep(0)

    async def until(self, count: int) -> None:
        """Wait until ``count`` requests have been received."""
        async with self._received:
            await self._received.wait_for(lambda: len(self.requests) >= count)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        buffer = b""
        while True:
            await self.reading.wait()
            data = await loop.sock_recv(self._server_socket, 65536)
            if not data:
                return
            buffer += data
            while len(buffer) >= 4 and len(buffer) >= (end := 4 + int.from_bytes(buffer[:4])):
                packet, buffer = buffer[4:end], buffer[end:]
                await self._handle(packet)

    async def _handle(self, packet: bytes) -> None:
        if packet[0] == constants.CMD_INIT:
            body = b"".join(pack_string(name) + pack_string(b"1") for name in EXTENSIONS)
            await self.send(struct.pack(">IBI", 5 + len(body), constants.CMD_VERSION, 3) + body)
            return
        request = Request(packet)
        response = self.script(request)
        async with self._received:
            self.requests.append(request)
            self._received.notify_all()
        if response is not None:
            with contextlib.suppress(ConnectionError):  # the client may have hung up
                await self.send(response)


def connecting(*servers: Scripted) -> Callable[[Target], Awaitable[Scripted]]:
    """Return a replacement for ``session.connect`` that connects to these servers, in order."""
    left = iter(servers)

    async def connect(_: Target) -> Scripted:
        return next(left)

    return connect


@contextlib.asynccontextmanager
async def logged_in(
    script: Callable[[Request], bytes | None],
) -> AsyncIterator[tuple[SftpClient, Scripted]]:
    """Yield a client that is connected to a scripted server, and the server."""
    async with Scripted(script) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "connect", connecting(server))
            client = SftpClient(target())
            await client.open()
            yield client, server
            client.close()


def target(timeout: float = 5.0) -> Target:
    """Return a target for a session whose ``connect`` is replaced by a scripted server."""
    return Target(parse_url("sftp://user@scripted/", ["sftp"]), None, None, True, timeout)  # noqa: FBT003
