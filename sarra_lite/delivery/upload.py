"""Content on its way into one open file, and what must hold before it counts as written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.delivery import staging
from sarra_lite.delivery.source import Source
from sarra_lite.delivery.work_stealing import Range
from sarra_lite.errors import ConfigError, Interrupted, TransferError
from sarra_lite.messages import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sarra_lite.delivery.job import Job
    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.delivery.work_stealing import Pool
    from sarra_lite.messages.blocks import Digest
    from sarra_lite.messages.v03 import Identity
    from sarra_lite.sftp.client import File, SftpClient
    from sarra_lite.sftp.sendfile import FileRange

_SHORT: Final = 8 * 1024 * 1024  # bytes that are still sent when we are asked to stop


class Hooks(NamedTuple):
    """What a transfer tells while it goes on, and how it is stopped.

    ``read`` and ``moved`` are called with bytes: sent by us, and known written at the destination.
    ``pool``: where the ends of blocks are offered to connections that have nothing to do.
    """

    limit: RateLimit
    stop: Event
    read: Callable[[int], None]
    moved: Callable[[int], None]
    pool: Pool


class Upload:
    """Sends content of a job's source into a file at the destination."""

    def __init__(self, connection: SftpClient, file: File, job: Job, hooks: Hooks) -> None:
        """``file`` is open for writing on this connection."""
        self._connection = connection
        self._file = file
        self._job = job
        self._hooks = hooks
        self._most = hooks.limit.step(connection.max_write)

    async def whole(self, local: Source) -> Identity:
        """Send all of a source; return its identity.  Not all of it is known written yet.

        TransferError 410 when its content is not what was announced.
        """
        method = _method(self._job)
        digest = blocks.digest(method)
        for offset, data in local.chunks(0, local.size, self._most):
            digest.update(data)
            await self._write(offset, data, local.size - offset)
        identity = blocks.identity(method, digest.digest())
        _compare(self._job, identity)
        await self._secure()
        return identity

    async def block(self, local: Source, offset: int, length: int) -> Identity:
        """Send a range, not copied; return its identity.  All of it is written then.

        The end of it may be sent by others, see ``help_with``.
        """
        digest = blocks.digest(blocks.COD.value)
        await self.share(local, Range(self._job, offset, offset + length, self._most), digest)
        return blocks.identity(blocks.COD.value, digest.digest())

    async def share(self, local: Source, mine: Range, digest: Digest | None = None) -> None:
        """Send a range of which others may take the end; all of it is written then.

        ``digest`` is given the content of all of it, whoever sends it.
        """
        try:
            with self._hooks.pool.offering(mine):
                await self._send(local, mine, digest)
                await self._secure()
            local.check()
            for part in mine.parts:
                if not await part.ended():
                    again = Range(self._job, part.begin, part.whole_end, self._most)
                    await self.share(local, again)
        finally:
            # What is still under way would be written after somebody else has finished the file.
            mine.recall()
            for part in mine.parts:
                await part.ended()

    async def _send(self, local: Source, mine: Range, digest: Digest | None) -> None:
        for offset, extent in _pieces(local, mine, digest, self._most):
            if mine.claim(offset, len(extent)):
                await self._write(offset, extent, mine.left + len(extent))
            elif digest is None:
                return
            else:
                await asyncio.sleep(0)  # others send it; read here for the fingerprint only

    async def _write(self, offset: int, data: bytes | FileRange, left: int) -> None:
        """Send the next part, with ``left`` bytes still to be sent; Interrupted when too many."""
        if self._hooks.stop.is_set() and left > _SHORT:
            raise Interrupted("stopped in the middle of a file; it is taken up again later")
        if wait := self._hooks.limit.spend(len(data)):
            await asyncio.sleep(wait)
        written = await self._file.write(offset, data)
        self._hooks.read(len(data))
        self._hooks.moved(written)

    async def _secure(self) -> None:
        """Wait until all is written where somebody else will read it, and on disk if asked to.

        ConfigError when that is asked of a server that cannot do it.
        """
        job = self._job
        if job.fsync and not self._connection.can_sync:
            raise ConfigError("fsync: the SFTP server cannot do that (no fsync@openssh.com)")
        if job.fsync:
            self._hooks.moved(await self._file.sync())
        elif job.verify or job.announcement.block is not None:
            self._hooks.moved(await self._file.flush())


async def upload_stolen(connection: SftpClient, part: Range, hooks: Hooks) -> None:
    """Send a part of a block that is on another connection, which is told what came of it."""
    job, well = part.job, False
    try:
        with Source(job.source, job.announcement) as local:
            there = staging.names(job.path, job.announcement).inflight
            async with await connection.open_existing(there) as file:
                await Upload(connection, file, job, hooks).share(local, part)
        well = True
    finally:
        part.end(well=well)


async def fingerprint(
    connection: SftpClient, path: str, method: str, offset: int = 0, length: int | None = None
) -> Identity:
    """Read what is at the destination, or a range of it; return its identity."""
    digest = blocks.digest(method)
    async for data in connection.read(path, offset, length):
        digest.update(data)
    return blocks.identity(method, digest.digest())


async def verify(connection: SftpClient, path: str, sent: Identity, piece: tuple[int, int]) -> None:
    """Read what was written and compare it with what was sent; TransferError 500 if it differs."""
    if await fingerprint(connection, path, sent.method, *piece) != sent:
        raise TransferError(500, "what was written is not what was sent: read again, it differs")


def _pieces(
    local: Source, mine: Range, digest: Digest | None, step: int
) -> Iterator[tuple[int, FileRange]]:
    """Yield what is to be sent of a range; ``digest`` is given the content."""
    span = (mine.begin, mine.whole_end - mine.begin, step)
    if digest is None:
        yield from local.unread(*span)
        return
    for offset, data, extent in local.extents(*span):
        digest.update(data)
        yield offset, extent


def _method(job: Job) -> str:
    """Return the method to fingerprint a whole file with: the one announced, where we have it."""
    announced = job.announcement.identity
    return announced.method if announced and announced.method in blocks.METHODS else "sha512"


def _compare(job: Job, found: Identity) -> None:
    """Refuse content that is not what was announced, though size and time are the same."""
    announced = job.announcement.identity
    if announced is not None and announced.method == found.method and announced != found:
        raise TransferError(410, "changed: its content is not what was announced")
