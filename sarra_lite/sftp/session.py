"""Sends SFTP requests on one byte stream and matches the responses to them by request id.

* Any number of requests may be pending.  Those made in one iteration of the loop are sent together.
* The server handles requests on one file in order (section 6.1): CLOSE need not wait for WRITEs.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from paramiko import sftp as constants

from sarra_lite import units
from sarra_lite.errors import DestinationDown
from sarra_lite.sftp.openssh import OpenSshStream
from sarra_lite.sftp.packets import HEADER, UINT32, has_result, parse_response, take_packets
from sarra_lite.sftp.paramiko_channel import ParamikoStream
from sarra_lite.sftp.sendfile import send_queue
from sarra_lite.sftp.window import Window

if TYPE_CHECKING:
    from paramiko.message import Message

    from sarra_lite.sftp.sendfile import Content
    from sarra_lite.sftp.small_file import SmallFile
    from sarra_lite.sftp.target import Stream, Target

_VERSION: Final = 3
_RECEIVE_SIZE: Final = 256 * 1024  # bytes
_SHOWN: Final = 200  # bytes of what is not SFTP
# Bytes of READs and WRITEs that may be pending.  OpenSSH's server receives up to 2 MiB before it
# handles any; with much more than that pending, other requests would only wait longer.
_WINDOW: Final = 4 * 1024 * 1024


async def connect(target: Target) -> Stream:
    """Open a byte stream to the target's SFTP server; raise what its constructor raises."""
    return await asyncio.to_thread(OpenSshStream if target.program else ParamikoStream, target)


class Session:
    """An SFTP session: ``open`` it, make requests, ``close`` it.

    ``open`` sets ``extensions``, the names of the server's extensions (section 4).  When it has
    ended, pending and later requests raise ``error``: DestinationDown, or what the stream's
    ``close_reason`` returned, such as DestinationRefused.
    """

    def __init__(self, target: Target) -> None:
        """Prepare a session in the running event loop; ``open`` connects it."""
        self.target = target
        self.extensions: set[bytes] = set()
        self._stream: Stream | None = None
        self._loop = asyncio.get_running_loop()
        # INIT, and VERSION in response, have the version in place of a request id.
        self._last_id = _VERSION - 1
        self._send_queue: deque[Content] = deque()
        self._received = bytearray()
        # With whether the request has a result, and ``writing``.
        self._pending: dict[int, tuple[asyncio.Future[Message], bool, bool]] = {}
        self._small_files: dict[int, SmallFile] = {}  # by an eighth of their request ids
        self._window = Window(_WINDOW)
        self._last_response_time = 0.0  # or the time of a later request that found none pending
        self._watchdog: asyncio.TimerHandle | None = None
        self.error: BaseException | None = None
        self._ending: asyncio.Task[None] | None = None
        self._logged_in = False

    async def open(self) -> None:
        """Connect and log in."""
        stream = await connect(self.target)
        if self.error is not None:  # closed meanwhile
            stream.close()
            raise self.error
        self._stream = stream
        self._loop.add_reader(stream.socket, self._receive, stream)
        self._check_watchdog()
        message = await self.send(constants.CMD_INIT)
        self._logged_in = True
        stream.logged_in()
        while message.get_remainder():
            self.extensions.add(message.get_string())
            message.get_string()  # version of the extension

    def close(self) -> None:
        """End the session; pending requests raise DestinationDown."""
        self._end(self.down("not connected"))

    def send(
        self, kind: int, *arguments: bytes, data: Content = b"", writing: bool = False
    ) -> asyncio.Future[Message]:
        """Send a request of packet type ``kind``, with ``data`` after the arguments.

        The future, which need not be awaited, raises SftpError(writing=writing) for a bad status.
        """
        self._expect_response()
        self._last_id = request_id = (self._last_id + 1) & 0xFFFFFFFF or _VERSION + 1
        future: asyncio.Future[Message] = self._loop.create_future()
        self._pending[request_id] = future, has_result(kind, *arguments), writing
        body = b"".join(arguments)
        packet = HEADER.pack(5 + len(body) + len(data), kind, request_id) + body
        self.send_packet(packet, data)
        return future

    async def send_counted(
        self, count: int, kind: int, *arguments: bytes, data: Content = b""
    ) -> asyncio.Future[Message]:
        """Send a READ, or a WRITE of ``data``, of ``count`` bytes once the window has room."""
        await self._window.wait()
        future = self.send(kind, *arguments, data=data, writing=kind == constants.CMD_WRITE)
        self._window.take(self._last_id, count)
        return future

    def upload_small(self, file: SmallFile) -> None:
        """Upload a small file, whose requests have eight ids of their own."""
        self._expect_response()
        first_id = ((self._last_id | 7) + 1) & 0xFFFFFFFF
        self._last_id = first_id | 7
        self._small_files[first_id >> 3] = file
        file.start(first_id, self.send_packet)

    def send_packet(self, *content: Content) -> None:
        """Queue whole packets, which are sent at the end of this iteration of the loop."""
        if not self._send_queue:  # otherwise a call of ``flush`` is scheduled already
            self._loop.call_soon(self.flush)
        self._send_queue += content

    def flush(self) -> None:
        """Send what the socket accepts of the queue, and the rest when it is writable again."""
        if self._stream is None or self.error is not None:
            return
        sock = self._stream.socket
        try:
            send_queue(sock, self._send_queue)
        except BlockingIOError:
            self._loop.add_writer(sock, self.flush)
            return
        except OSError:
            self._send_queue.clear()
            sock.shutdown(socket.SHUT_RDWR)  # so that ``_receive`` finds the end of the stream
        self._loop.remove_writer(sock)

    def _expect_response(self) -> None:
        """Raise ``error``, or let the timeout count from now on, unless it counts already."""
        if self.error is not None:
            raise self.error
        if not (self._pending or self._small_files):
            self._last_response_time = self._loop.time()

    def _receive(self, stream: Stream) -> None:
        """Read from the socket, and complete every request whose whole response has arrived."""
        try:
            data = stream.socket.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(stream.socket)
            self._ending = self._loop.create_task(self._explain_end(stream))
            return
        self._last_response_time = self._loop.time()
        self._received += data
        try:
            for kind, request_id, body in take_packets(self._received):
                if (file := self._small_files.get(request_id >> 3)) is None:
                    self._complete(request_id, kind, body)
                elif file.respond(request_id & 7, kind, body):
                    self._small_files.pop(request_id >> 3, None)
        except (struct.error, ValueError):  # a response that is too short, or no packet
            self._end(self._no_sftp())

    def _complete(self, request_id: int, kind: int, body: bytes) -> None:
        """Hand a response to its request, and free its space in the window."""
        self._window.give_back(request_id)
        future, result, writing = self._pending.pop(request_id, (None, False, False))
        cut_off = kind == constants.CMD_STATUS and len(body) < UINT32.size
        if future is None or cut_off or (kind == constants.CMD_VERSION) != (request_id == _VERSION):
            self._end(self._no_sftp())
        if future:
            _finish(
                future, self.error or parse_response(kind, body, result=result, writing=writing)
            )

    def _check_watchdog(self) -> None:
        """End the session when no response came for ``timeout``; else schedule the next check."""
        timeout = self.target.timeout
        waiting = self._pending or self._small_files
        silence = self._loop.time() - self._last_response_time if waiting else 0.0
        if silence >= timeout:
            self._end(self.down(f"no answer for {timeout:.0f} s"))
        else:
            self._watchdog = self._loop.call_later(timeout - silence, self._check_watchdog)

    async def _explain_end(self, stream: Stream) -> None:
        """End the session with the reason for which the stream ended by itself.

        After the login it is an outage, whatever was said.
        """
        reason = await asyncio.to_thread(stream.close_reason)
        if not self._logged_in and self._received:
            reason = self._no_sftp()
        refused = not isinstance(reason, DestinationDown)
        self._end(DestinationDown(str(reason)) if self._logged_in and refused else reason)

    def _end(self, error: BaseException) -> None:
        """Close the stream; make pending and later requests raise the error."""
        if self.error is not None:
            return
        self.error = error
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._stream is not None:
            self._loop.remove_reader(self._stream.socket)
            self._loop.remove_writer(self._stream.socket)
            self._stream.close()
        self._send_queue.clear()
        self._window.close()
        for future, _, _ in self._pending.values():
            _finish(future, error)
        self._pending.clear()
        small_files, self._small_files = self._small_files, {}
        for file in small_files.values():
            file.on_end(error)

    def _no_sftp(self) -> DestinationDown:
        """Return the error for what is not SFTP; with it, if it comes first of all."""
        said = bytes(self._received[:_SHOWN]).decode(errors="replace").split("\n")
        shown = units.printable(" ".join(said).strip())
        before = "" if self._logged_in else f"; its shell or a message of login says: {shown}"
        return self.down(f"no SFTP server answers{before}")

    def down(self, text: str) -> DestinationDown:
        """Return the error of a connection that ended for this reason."""
        return DestinationDown(f"{self.target.endpoint}: {text}")


def _finish(future: asyncio.Future[Message], result: Message | BaseException) -> None:
    """Complete a future, unless it was cancelled."""
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
        future.exception()  # or asyncio would log it, if the future is never awaited
    else:
        future.set_result(result)
