"""One open file at an SFTP server."""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from paramiko import sftp as names

from sarra_lite.errors import DestinationDown, SourceUnavailable
from sarra_lite.sftp.packets import (
    Attributes,
    Response,
    pack_attributes,
    pack_string,
    parse_response,
    unpack_attributes,
)
from sarra_lite.sftp.sendfile import FileRange

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from types import TracebackType

    from sarra_lite.sftp.session import Session

_READ_AHEAD: Final = 16  # reads under way at once
_AT: Final = struct.Struct(">QI")  # offset and length


class File:
    """An open file at the destination."""

    def __init__(self, session: Session, handle: bytes, most: int) -> None:
        """``handle``: the server's name for it, as requests have it; ``most``: bytes at once."""
        self._session = session
        self._most = most
        self._handle = handle
        self._writes: deque[tuple[asyncio.Future[Response], bytes | memoryview | FileRange]] = (
            deque()
        )
        self._open = True

    async def __aenter__(self) -> Self:
        """Nothing to do: it is open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; after an error, whatever the server says to it."""
        if error is None:
            await self.close()
        else:
            self.close_quietly()

    async def write(self, offset: int, data: bytes | memoryview | FileRange) -> int:
        """Send data; return the number of bytes, of this and earlier calls, now known written.

        As soon as it is known: Refused when the server could not write, SourceLost 410 when an
        extent could not be read.
        """
        await self._session.wait_for_window()
        where = _AT.pack(offset, len(data))
        asked = self._session.send_counted(
            len(data), names.CMD_WRITE, self._handle, where, data=data
        )
        self._writes.append((asked, data))
        written = 0
        while self._writes and self._writes[0][0].done():
            written += await self._written()
        return written

    async def flush(self) -> int:
        """Wait until all is written; return the bytes now known written, not told before."""
        written = 0
        while self._writes:
            written += await self._written()
        return written

    async def sync(self) -> int:
        """Wait until all is on the server's disk; return the bytes that ``flush`` would."""
        asked = self._session.send(
            names.CMD_EXTENDED, pack_string(b"fsync@openssh.com"), self._handle
        )
        written = await self.flush()
        parse_response(await asked, writing=True)
        return written

    async def finish(self, attributes: Attributes) -> tuple[int, Attributes]:
        """Set mode or mtime and close, all asked for at once.

        Return the bytes that ``flush`` would, and what the file was before: its size is that of
        all that was written.
        """
        self._open = False
        asked = self._session.send(names.CMD_FSTAT, self._handle)
        being_set = self._session.send(
            names.CMD_FSETSTAT, self._handle, pack_attributes(attributes)
        )
        being_closed = self._session.send(names.CMD_CLOSE, self._handle)
        written = await self.flush()
        found = unpack_attributes(parse_response(await asked))
        parse_response(await being_set)
        parse_response(await being_closed, writing=True)
        return written, found

    async def close(self) -> None:
        """Wait until all is written, then close; Refused when either fails.  Once is enough."""
        if self._open:
            self._open = False
            closed = self._session.send(names.CMD_CLOSE, self._handle)
            await self.flush()
            parse_response(await closed, writing=True)

    def close_quietly(self) -> None:
        """Close, whatever the server says to it."""
        if self._open:
            self._open = False
            with contextlib.suppress(DestinationDown):
                self._session.send(names.CMD_CLOSE, self._handle)

    async def chunks(self, begin: int, length: int | None) -> AsyncIterator[bytes]:
        """Yield the content of a range, or of all, in order, with reads under way ahead."""
        size = (
            unpack_attributes(await self._session.request(names.CMD_FSTAT, self._handle)).size or 0
        )
        end = size if length is None else min(size, begin + length)
        offsets = iter(range(begin, end, self._most))
        waiting: deque[asyncio.Future[Response]] = deque()
        while True:
            while len(waiting) < _READ_AHEAD and (offset := next(offsets, None)) is not None:
                await self._session.wait_for_window()
                count = min(self._most, end - offset)
                where = _AT.pack(offset, count)
                asked = self._session.send_counted(count, names.CMD_READ, self._handle, where)
                waiting.append(asked)
            if not waiting:
                return
            yield parse_response(await waiting.popleft()).get_string()

    async def _written(self) -> int:
        asked, data = self._writes[0]
        answer = await asked
        self._writes.popleft()
        parse_response(answer, writing=True)
        if isinstance(data, FileRange) and data.missing:
            raise SourceUnavailable(410, data.missing)
        return len(data)
