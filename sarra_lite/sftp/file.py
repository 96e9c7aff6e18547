"""One open file at the SFTP server: writing, reading, attributes, closing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from paramiko import sftp as constants
from paramiko.message import Message

from sarra_lite.errors import ConfigError, DestinationDown, SourceUnavailable
from sarra_lite.sftp import packets
from sarra_lite.sftp.packets import Attributes, SftpError
from sarra_lite.sftp.sendfile import Content, FileRange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sarra_lite.sftp.session import Session

_MAX_READS: Final = 16  # READ requests of one file that are pending at once


class File:
    """An open file at the server; SftpClient opens it, ``async with`` or ``finish`` closes it.

    ``write`` does not wait for the server's response.  The server handles the requests on one file
    in order (section 6.1), so CLOSE is sent at once, behind the last WRITE.  ``on_written`` may be
    set; it is called with numbers of bytes that the server has confirmed.
    """

    def __init__(self, session: Session, handle: bytes) -> None:
        """``handle`` is the file handle as an SFTP string."""
        self.on_written: Callable[[int], None] = lambda _: None
        self._session = session
        self._handle = handle
        self._writes: deque[tuple[asyncio.Future[Message], Content]] = deque()
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
        else:
            await self.close()

    async def close(self) -> None:
        """Flush and close, unless it is closed; raise SftpError when a write or CLOSE failed."""
        if self._open:
            closed = self._close()
            await self.flush()
            await closed

    async def write(self, offset: int, data: Content) -> None:
        """Send a WRITE (section 6.4), as soon as the session's window has room.

        Raise, for this or an earlier write, SftpError when the server could not write,
        SourceUnavailable 410 when a FileRange could not be read.
        """
        header = packets.OFFSET_LENGTH.pack(offset, len(data))
        future = await self._session.send_counted(
            len(data), constants.CMD_WRITE, self._handle, header, data=data
        )
        self._writes.append((future, data))
        await self.flush(wait=False)

    async def skip(self, zeros: Content, new_size: int | None = None) -> None:
        """Leave a hole instead of writing zeros; it counts as written after all earlier writes.

        ``new_size``: the size to set (section 6.9), for a hole at the end of the file.  Raise as
        ``write``.
        """
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if new_size is None:
            future.set_result(Message())
        else:
            size = Attributes(size=new_size).pack()
            future = self._session.send(constants.CMD_FSETSTAT, self._handle, size, writing=True)
        self._writes.append((future, zeros))
        await self.flush(wait=False)

    async def stat(self) -> Attributes:
        """Return its attributes (section 6.8)."""
        return Attributes.unpack(await self._session.send(constants.CMD_FSTAT, self._handle))

    async def flush(self, *, wait: bool = True) -> None:
        """Wait for the responses to all writes, or check those received; raise as ``write``."""
        while self._writes and (wait or self._writes[0][0].done()):
            future, data = self._writes.popleft()
            await future
            if isinstance(data, FileRange) and data.read_error:
                raise SourceUnavailable(410, data.read_error)
            self.on_written(len(data))

    async def sync(self) -> None:
        """Flush, and wait for the server's fsync(2) (PROTOCOL 4.6); ConfigError if it has none."""
        if b"fsync@openssh.com" not in self._session.extensions:
            raise ConfigError("fsync: the SFTP server cannot do that (no fsync@openssh.com)")
        name = packets.pack_string(b"fsync@openssh.com")
        synced = self._session.send(constants.CMD_EXTENDED, name, self._handle, writing=True)
        await self.flush()
        await synced

    async def finish(self, attributes: Attributes) -> tuple[Attributes, bool]:
        """Flush, set mode or mtime (section 6.9), and close.

        Return the attributes after the last write, before the new ones were set, and whether these
        are set, which the server may refuse.
        """
        found = self._session.send(constants.CMD_FSTAT, self._handle)
        changed = None
        if attributes != Attributes():
            packed = attributes.pack()
            changed = self._session.send(constants.CMD_FSETSTAT, self._handle, packed)
        closed = self._close()
        await self.flush()
        before, is_set = Attributes.unpack(await found), True
        try:
            if changed is not None:
                await changed
        except SftpError:
            is_set = False
        await closed
        return before, is_set

    async def set_attributes(self, attributes: Attributes) -> None:
        """Set mode or mtime (section 6.9) while it is open, whatever name it has now."""
        if self._open:
            await self._session.send(constants.CMD_FSETSTAT, self._handle, attributes.pack())

    def close_quietly(self) -> None:
        """Send a CLOSE request, without waiting for its response or those to writes."""
        if self._open:
            with contextlib.suppress(DestinationDown):
                self._close()

    async def chunks(self, begin: int, length: int, step: int) -> AsyncIterator[bytes]:
        """Yield, in order, ``length`` bytes from offset ``begin`` on, fewer at the end of the file.

        Several READ requests (section 6.4) of ``step`` bytes are pending at once.
        """
        end = min((await self.stat()).size or 0, begin + length)
        reads: deque[asyncio.Future[Message]] = deque()
        for offset in range(begin, end, step):
            if len(reads) == _MAX_READS:
                yield (await reads.popleft()).get_string()
            count = min(step, end - offset)
            arguments = (self._handle, packets.OFFSET_LENGTH.pack(offset, count))
            reads.append(await self._session.send_counted(count, constants.CMD_READ, *arguments))
        for read in reads:
            yield (await read).get_string()

    def _close(self) -> asyncio.Future[Message]:
        self._open = False
        return self._session.send(constants.CMD_CLOSE, self._handle, writing=True)
