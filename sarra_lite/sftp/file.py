"""One open file at the SFTP server: writing, reading, attributes, closing."""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from paramiko import sftp as constants

from sarra_lite.errors import DestinationDown, SourceUnavailable
from sarra_lite.sftp.packets import Attributes, Response, pack_string, parse_response
from sarra_lite.sftp.sendfile import FileRange

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from sarra_lite.sftp.session import Session

_MAX_READS: Final = 16  # READ requests of one file that are pending at once
_OFFSET_LENGTH: Final = struct.Struct(">QI")


class File:
    """An open file at the server; SftpClient opens it, ``async with`` or ``finish`` closes it.

    ``write`` does not wait for the server's response.  The server handles the requests on one file
    in order (section 6.1), so CLOSE is sent at once, behind the last WRITE.
    """

    def __init__(self, session: Session, handle: bytes, read_size: int) -> None:
        """``handle`` is the file handle as an SFTP string, ``read_size`` the bytes of a READ."""
        self._session = session
        self._handle = handle
        self._read_size = read_size
        self._writes: deque[tuple[asyncio.Future[Response], bytes | FileRange]] = deque()
        self._open = True

    async def __aenter__(self) -> Self:
        """Return the file, which is open already."""
        return self

    async def __aexit__(self, _kind: object, error: object, _trace: object) -> None:
        """Flush and close (section 6.3), unless ``finish`` did; after an error, wait for nothing.

        Raise SftpError when a write or the CLOSE failed.
        """
        if error is not None:
            self.close_quietly()
        elif self._open:
            self._open = False
            closed = self._session.send(constants.CMD_CLOSE, self._handle)
            await self.flush()
            parse_response(await closed, writing=True)

    async def write(self, offset: int, data: bytes | FileRange) -> int:
        """Send a WRITE (section 6.4), as soon as the session's window has room.

        Return the bytes, of this and earlier writes, that the server has confirmed since the last
        call.  Raise SftpError when it could not write, now or earlier, SourceUnavailable 410 when a
        FileRange could not be read.
        """
        await self._session.wait_for_window()
        header = _OFFSET_LENGTH.pack(offset, len(data))
        future = self._session.send_counted(
            len(data), constants.CMD_WRITE, self._handle, header, data=data
        )
        self._writes.append((future, data))
        return await self.flush(wait=False)

    async def flush(self, *, wait: bool = True) -> int:
        """Wait for the responses to all writes; return and raise as ``write`` does.

        Without ``wait``, only check those received already.
        """
        written = 0
        while self._writes and (wait or self._writes[0][0].done()):
            future, data = self._writes[0]
            response = await future
            self._writes.popleft()
            parse_response(response, writing=True)
            if isinstance(data, FileRange) and data.read_error:
                raise SourceUnavailable(410, data.read_error)
            written += len(data)
        return written

    async def sync(self) -> int:
        """Flush, and wait for the server's fsync(2) (PROTOCOL 4.6)."""
        name = pack_string(b"fsync@openssh.com")
        synced = self._session.send(constants.CMD_EXTENDED, name, self._handle)
        written = await self.flush()
        parse_response(await synced, writing=True)
        return written

    async def finish(self, attributes: Attributes) -> tuple[int, Attributes]:
        """Flush, set mode or mtime (section 6.9), and close.

        Return what ``flush`` does, and the attributes after the last write, before the new ones
        were set.
        """
        self._open = False
        found = self._session.send(constants.CMD_FSTAT, self._handle)
        changed = self._session.send(constants.CMD_FSETSTAT, self._handle, attributes.pack())
        closed = self._session.send(constants.CMD_CLOSE, self._handle)
        written = await self.flush()
        before = Attributes.unpack(parse_response(await found))
        parse_response(await changed)
        parse_response(await closed, writing=True)
        return written, before

    def close_quietly(self) -> None:
        """Send a CLOSE request, without waiting for its response or those to writes."""
        if self._open:
            self._open = False
            with contextlib.suppress(DestinationDown):
                self._session.send(constants.CMD_CLOSE, self._handle)

    async def chunks(self, begin: int, length: int | None) -> AsyncIterator[bytes]:
        """Yield, in order, ``length`` bytes from offset ``begin`` on; None: up to the end.

        Several READ requests (section 6.4) are pending at once.
        """
        message = await self._session.request(constants.CMD_FSTAT, self._handle)
        size = Attributes.unpack(message).size or 0
        end = size if length is None else min(size, begin + length)
        reads: deque[asyncio.Future[Response]] = deque()
        for offset in range(begin, end, self._read_size):
            if len(reads) == _MAX_READS:
                yield parse_response(await reads.popleft()).get_string()
            await self._session.wait_for_window()
            count = min(self._read_size, end - offset)
            span = _OFFSET_LENGTH.pack(offset, count)
            reads.append(self._session.send_counted(count, constants.CMD_READ, self._handle, span))
        for read in reads:
            yield parse_response(await read).get_string()
