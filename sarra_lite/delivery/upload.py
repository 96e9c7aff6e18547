"""Uploads content into one open file at the destination: write loop, rate limit, verification."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.delivery.destination import Destination
from sarra_lite.delivery.source import open_source
from sarra_lite.delivery.stopwatch import Phase
from sarra_lite.delivery.work_stealing import SharedRange
from sarra_lite.errors import Interrupted, TransferError
from sarra_lite.messages import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.claim import BlockClaim
    from sarra_lite.delivery.rate_limit import RateLimit
    from sarra_lite.delivery.source import Source
    from sarra_lite.delivery.stopwatch import Stopwatch
    from sarra_lite.delivery.work_stealing import SharedRanges
    from sarra_lite.messages.blocks import Digest
    from sarra_lite.messages.v03 import Identity
    from sarra_lite.sftp.client import File, SftpClient

_RECORD_EVERY: Final = 2.0  # seconds
_FINISHED_ON_STOP: Final = 8 * 1024 * 1024  # bytes that are still sent after a request to stop


class Hooks(NamedTuple):
    """How the caller limits, stops and observes uploads.

    ``on_sent`` gets the bytes handed to the connection, ``on_written`` those that the server has
    confirmed.  ``shared``: where blocks are offered to idle connections.  ``watch`` is told what
    an upload waits for.
    """

    rate_limit: RateLimit
    stop: asyncio.Event
    on_sent: Callable[[int], None]
    on_written: Callable[[int], None]
    shared: SharedRanges
    watch: Stopwatch


class Upload:
    """Writes content of a job's source into its staging file."""

    def __init__(
        self, destination: Destination, file: File, hooks: Hooks, claim: BlockClaim | None = None
    ) -> None:
        """``file``: the staging file, open for writing on the destination's connection.

        ``claim``: that of the block to write, which tells what is written already.
        """
        file.on_written = self._count
        self._claim = claim
        self._written_before = claim.written if claim else 0
        self._block: SharedRange | None = None
        self._confirmed = 0  # bytes
        self._recorded_at = time.monotonic()
        self._destination = destination
        self._job = destination.job
        self._file = file
        self._hooks = hooks
        self._chunk = hooks.rate_limit.chunk_bytes(destination.client.max_write)

    async def send(self, source: Source, offset: int, length: int) -> Identity:
        """Send the block or file of the job, verify it if configured, and return its identity.

        All writes of a block are confirmed; idle connections may send the end of it.  The last ones
        of a file may not be: when they are, ``source.check`` is to be called.

        Raises TransferError 410 when the content is not what was announced, 500 when what is read
        back differs from what was sent; this takes as much time as the download.
        """
        job, method = self._job, self._job.method
        digest, done = blocks.digest(method), self._written_before
        async for _, data, _ in source.ranges(offset, done, self._chunk):
            digest.update(data)
            await asyncio.sleep(0)
        whole = SharedRange(job, offset + done, length - done, self._chunk)
        if job.announcement.blocks is None:
            await self._send_unstolen(source, whole, digest)
            await self._flush()
        else:
            self._block = whole
            try:
                await self.send_range(source, whole, digest)
            except Interrupted:
                await self._file.flush()
                await self._record(source)
                raise
        identity = blocks.identity(method, digest.digest())
        if job.known_identity not in (None, identity):
            raise TransferError(410, "changed: its content is not what was announced")
        if job.config.verify:
            await source.check()
            at, path = self._destination.client, self._destination.staging_file
            found = await remote_identity(at, path, method, offset, length)
            if found != identity:
                raise TransferError(
                    500, "what was written is not what was sent: read again, it differs"
                )
        return identity

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
            await source.check()
            for part in shared.stolen:
                await part.finished.wait()
                if not part.succeeded:
                    again = SharedRange(self._job, part.begin, part.length, self._chunk)
                    await self.send_range(source, again)
        finally:
            # Writes still under way could arrive after another sender has finished the file.
            shared.cancel()
            for part in shared.stolen:
                await part.finished.wait()

    async def _send_unstolen(
        self, source: Source, shared: SharedRange, digest: Digest | None
    ) -> None:
        """Send a range as far as nobody steals it.

        Raises Interrupted after a request to stop, unless little of it is left.
        """
        keeps_holes, watch = await self._keeps_holes(source), self._hooks.watch
        watch.switch(Phase.SOURCE)
        async for offset, data, content in source.ranges(shared.begin, shared.length, self._chunk):
            watch.switch(Phase.OTHER)
            if digest is not None:
                digest.update(data)
            if not shared.claim(offset, len(data)):
                if digest is None:
                    break
                await asyncio.sleep(0)  # stolen by others; read here for the identity only
                continue
            if self._hooks.stop.is_set() and shared.left + len(data) > _FINISHED_ON_STOP:
                raise Interrupted("stopped in the middle of a file; the next sender sends it")
            if content is None and keeps_holes:
                at_end = offset + len(data) == source.size
                await self._file.skip(data, source.size if at_end else None)
                await asyncio.sleep(0)  # nothing is waited for: let others go on
            else:
                if not self._hooks.rate_limit.unlimited:
                    await self._hooks.rate_limit.wait(len(data), watch)
                watch.switch(Phase.CONNECTION)
                await self._file.write(offset, data if content is None else content)
            if time.monotonic() - self._recorded_at > _RECORD_EVERY:
                await self._record(source)
            self._hooks.on_sent(len(data))
            watch.switch(Phase.SOURCE)
        watch.switch(Phase.CONNECTION)  # until all is confirmed

    async def _keeps_holes(self, source: Source) -> bool:
        """Return whether nothing was written yet where the source may have holes.

        The staging file of a block has what was written of other blocks; if this one was begun
        before, it was redelivered.
        """
        if not source.sparse:
            return False
        if self._job.announcement.blocks is not None:
            return not self._job.redelivered
        return (await self._file.stat()).size == 0

    async def _record(self, source: Source) -> None:
        """Record how much of the beginning of the block the server has confirmed."""
        if self._claim is None or self._block is None:
            return
        await source.check()  # it may have been read again since: see Source.ranges()
        # What is sent after this range was stolen by others, and does not follow it.
        confirmed = min(self._confirmed, self._block.sent)
        await self._claim.record(self._written_before + confirmed)
        self._recorded_at = time.monotonic()

    def _count(self, count: int) -> None:
        self._confirmed += count
        self._hooks.on_written(count)

    async def _flush(self) -> None:
        """Wait until all writes of a block, or of a file to verify, are confirmed; or for fsync.

        ``Destination.finish`` waits for those of other files.
        """
        config = self._job.config
        if config.fsync:
            await self._file.sync()
        elif config.verify or self._job.announcement.blocks is not None:
            await self._file.flush()


async def upload_stolen(client: SftpClient, part: SharedRange, hooks: Hooks) -> None:
    """Send a part of another connection's block, and set ``part.succeeded``.

    The caller sets ``part.finished`` afterwards, also when this raised.
    """
    job, destination = part.job, Destination(client, part.job)
    async with (
        open_source(job) as source,
        await client.open_file(destination.staging_file) as file,
    ):
        await Upload(destination, file, hooks).send_range(source, part)
    part.succeeded = True


async def remote_identity(
    client: SftpClient, path: str, method: str, offset: int, length: int
) -> Identity:
    """Read a range of a file at the destination and return its identity."""
    digest = blocks.digest(method)
    async for data in client.read(path, offset, length):
        digest.update(data)
    return blocks.identity(method, digest.digest())
