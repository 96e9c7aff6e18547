"""Uploads content into one open file at the destination: write loop, rate limit, verification."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.delivery.destination import Destination
from sarra_lite.delivery.source import Source
from sarra_lite.delivery.work_stealing import SharedRange
from sarra_lite.errors import ConfigError, Interrupted, TransferError
from sarra_lite.messages import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.delivery.work_stealing import SharedRanges
    from sarra_lite.messages.blocks import Digest
    from sarra_lite.messages.v03 import Identity
    from sarra_lite.sftp.client import File, SftpClient
    from sarra_lite.sftp.sendfile import FileRange

_FINISHED_ON_STOP: Final = 8 * 1024 * 1024  # bytes that are still sent after a request to stop


class Hooks(NamedTuple):
    """How the caller limits, stops and observes uploads.

    ``on_sent`` gets the bytes handed to the connection, ``on_written`` those that the server has
    confirmed.  ``shared``: where blocks are offered to idle connections.
    """

    rate_limit: RateLimit
    stop: Event
    on_sent: Callable[[int], None]
    on_written: Callable[[int], None]
    shared: SharedRanges


class Upload:
    """Writes content of a job's source into its staging file."""

    def __init__(self, destination: Destination, file: File, hooks: Hooks) -> None:
        """``file``: the staging file, open for writing on the destination's connection."""
        self._client = destination.client
        self._job = destination.job
        self._staging_file = destination.staging_file
        self._file = file
        self._hooks = hooks
        self._chunk = hooks.rate_limit.chunk_bytes(destination.client.max_write)

    async def send_file(self, source: Source) -> Identity:
        """Send a whole file and return its identity; the last writes may not be confirmed yet.

        Raises TransferError 410 when the content is not what was announced.
        """
        announced = self._job.announcement.identity
        known = announced is not None and announced.method in blocks.METHODS
        method = announced.method if announced is not None and known else "sha512"
        digest = blocks.digest(method)
        for offset, data in source.chunks(0, source.size, self._chunk):
            digest.update(data)
            await self._write(offset, data, source.size - offset)
        identity = blocks.identity(method, digest.digest())
        if known and announced != identity:
            raise TransferError(410, "changed: its content is not what was announced")
        await self._flush()
        return identity

    async def send_block(self, source: Source, offset: int, length: int) -> Identity:
        """Send a byte range and return its identity; all writes are confirmed.

        The content is not copied through this process.  Idle connections may send the end of it.
        """
        digest = blocks.digest(blocks.COD.value)
        block = SharedRange(self._job, offset, offset + length, self._chunk)
        await self.send_range(source, block, digest)
        return blocks.identity(blocks.COD.value, digest.digest())

    async def send_range(
        self, source: Source, shared: SharedRange, digest: Digest | None = None
    ) -> None:
        """Send a range whose end others may steal; return when every part of it is confirmed.

        ``digest`` is updated with the content of the whole range, whoever sends it.
        """
        try:
            with self._hooks.shared.offered(shared):
                await self._send_unstolen(source, shared, digest)
                await self._flush()
            source.check()
            for part in shared.stolen:
                if not await part.wait_finished():
                    again = SharedRange(self._job, part.begin, part.original_end, self._chunk)
                    await self.send_range(source, again)
        finally:
            # Writes still under way could arrive after another sender has finished the file.
            shared.cancel()
            for part in shared.stolen:
                await part.wait_finished()

    async def _send_unstolen(
        self, source: Source, shared: SharedRange, digest: Digest | None
    ) -> None:
        for offset, content in _pieces(source, shared, digest, self._chunk):
            if shared.claim(offset, len(content)):
                await self._write(offset, content, shared.left + len(content))
            elif digest is None:
                return
            else:
                await asyncio.sleep(0)  # stolen by others; read here for the identity only

    async def verify(self, sent: Identity, offset: int, length: int) -> None:
        """Read a range back and compare it; TransferError 500 when it differs from what was sent.

        Costs as much time as the download of the range.
        """
        found = await remote_identity(self._client, self._staging_file, sent.method, offset, length)
        if found != sent:
            raise TransferError(
                500, "what was written is not what was sent: read again, it differs"
            )

    async def _write(self, offset: int, data: bytes | FileRange, left: int) -> None:
        """Send one chunk; ``left``: bytes still to send, this chunk included.

        Raises Interrupted after a request to stop, unless little is left.
        """
        if self._hooks.stop.is_set() and left > _FINISHED_ON_STOP:
            raise Interrupted("stopped in the middle of a file; it is taken up again later")
        if wait := self._hooks.rate_limit.reserve(len(data)):
            await asyncio.sleep(wait)
        written = await self._file.write(offset, data)
        self._hooks.on_sent(len(data))
        self._hooks.on_written(written)

    async def _flush(self) -> None:
        """Wait until all writes of a block, or of a file to verify, are confirmed; or for fsync.

        ``Destination.finish`` waits for those of other files.

        Raises ConfigError when fsync is configured and the server does not support it.
        """
        job = self._job
        if job.fsync and not self._client.can_sync:
            raise ConfigError("fsync: the SFTP server cannot do that (no fsync@openssh.com)")
        if job.fsync:
            self._hooks.on_written(await self._file.sync())
        elif job.verify or job.announcement.block is not None:
            self._hooks.on_written(await self._file.flush())


async def upload_stolen(client: SftpClient, part: SharedRange, hooks: Hooks) -> None:
    """Send a part of another connection's block; that connection learns whether it succeeded."""
    job, succeeded = part.job, False
    destination = Destination(client, job)
    try:
        with Source(job.source, job.announcement) as source:
            async with await client.open_existing(destination.staging_file) as file:
                await Upload(destination, file, hooks).send_range(source, part)
        succeeded = True
    finally:
        part.finish(succeeded=succeeded)


async def remote_identity(
    client: SftpClient, path: str, method: str, offset: int = 0, length: int | None = None
) -> Identity:
    """Read a file at the destination, or a range of it, and return its identity."""
    digest = blocks.digest(method)
    async for data in client.read(path, offset, length):
        digest.update(data)
    return blocks.identity(method, digest.digest())


def _pieces(
    source: Source, shared: SharedRange, digest: Digest | None, chunk: int
) -> Iterator[tuple[int, FileRange]]:
    """Yield the chunks of a range; read their content only where ``digest`` needs it."""
    span = (shared.begin, shared.original_end - shared.begin, chunk)
    if digest is None:
        yield from source.without_content(*span)
        return
    for offset, data, content in source.with_content(*span):
        digest.update(data)
        yield offset, content
