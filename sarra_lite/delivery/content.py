"""Sends content: a whole file, one block of a file, and the finish of a file sent in blocks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery.claim import BlockClaim, begin_blocks, seconds_until_quiet
from sarra_lite.delivery.destination import StagingGone
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.delivery.markers import Markers
from sarra_lite.delivery.source import open_source
from sarra_lite.delivery.space import check_fits
from sarra_lite.delivery.upload import Upload, remote_identity
from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from sarra_lite.delivery.destination import Destination
    from sarra_lite.delivery.source import Source
    from sarra_lite.delivery.upload import Hooks
    from sarra_lite.sftp.client import Attributes

_RECHECK: Final = 0.2  # seconds until markers are read again, for each missing block
_MAX_RECHECK: Final = 5.0
_FINISH_EXTRA: Final = 3600.0  # seconds that a finish still waits after twice retry_ttl
_NOT_COMPARED: Final = "a file of this size and time is there; its content was not compared"
_MODE_SET: Final = "mode and time set; content was not sent"


async def send_file(destination: Destination, hooks: Hooks) -> Outcome:
    """Send a whole file: 201, or 304 when the destination has the same content already."""
    job = destination.job
    async with open_source(job) as source:
        if (outcome := await _without_content(destination)) is not None:
            return outcome
        await check_fits(destination.client, job.path, source.allocated)
        async with await destination.create() as file:
            identity = await Upload(destination, file, hooks).send(source, 0, source.size)
            await destination.finish(file, source.size, source.check_name)
    return Outcome(201, "file sent", source.size, identity)


async def send_block(destination: Destination, hooks: Hooks) -> Outcome:
    """Send one block: 206, or 304 when the block is written or the file is complete already."""
    job = destination.job
    piece, number = job.announcement.blocks, job.announcement.block
    assert piece is not None  # noqa: S101  for the type checker: deliver() has checked it
    assert number is not None  # noqa: S101
    complete, marked, started, staged = await asyncio.gather(
        destination.complete(),
        destination.client.stat(destination.marker(number)),
        destination.client.stat(destination.marker_directory),
        destination.client.stat(destination.staging_file),
    )
    if complete:
        if started is not None:
            await destination.discard()  # another sender has finished the file meanwhile
        return Outcome(304, _NOT_COMPARED)
    if marked is not None:
        return await _finish_after_last(destination, Outcome(304, f"block {number + 1} is there"))
    claim = BlockClaim(destination, number)
    async with open_source(job) as source:
        if staged is None:
            await check_fits(destination.client, job.path, source.allocated)
        if started is None:
            await begin_blocks(destination)
        async with claim.held() as file:
            upload = Upload(destination, file, hooks, claim)
            identity = await upload.send(source, piece.offset, piece.length)
            await claim.mark_written(file)
    text = f"block {number + 1} of {piece.count} sent"
    return await _finish_after_last(destination, Outcome(206, text, piece.length, identity))


async def finish(destination: Destination) -> Outcome:
    """Complete a file when all its blocks are written; ``Outcome.wait`` while some are missing."""
    job = destination.job
    found, markers = await asyncio.gather(destination.client.stat(job.path), destination.markers())
    if found is not None and destination.is_announced(found):
        await destination.discard()
        if job.redelivered:  # an earlier attempt may have ended before it was reported
            return _finished(job)
        changed = await destination.set_attributes(found)
        return Outcome(201, _MODE_SET, 0) if changed else Outcome(304, _NOT_COMPARED)
    if markers is None:
        # Where this directory cannot be created, no block can be marked: fail now, do not wait.
        await destination.make_marker_directory()
        markers = Markers([])
    async with open_source(job) as source:
        wait = _seconds_until_finish(job, markers, source)
        if wait == 0 and markers.claimed:
            wait = await seconds_until_quiet(destination)
        if wait > 0:
            directory = await destination.client.stat(destination.marker_directory)
            # The time of the last marker: the wait does not begin anew with a sender.
            idle = time.time() - ((directory and directory.mtime) or time.time())
            return Outcome(0, "blocks are missing", wait=wait, idle=idle)
        if (file := await destination.open_existing()) is None:
            raise StagingGone
        async with file:
            await destination.finish(file, job.announcement.size or 0, source.check_name)
    await destination.discard()
    return _finished(job)


def longest_wait(retry_ttl: float) -> float:
    """Return the seconds without a write after which a finish waits for no block any more."""
    return 2 * retry_ttl + _FINISH_EXTRA


def _seconds_until_finish(job: Job, markers: Markers, source: Source) -> float:
    """Return the seconds to wait before the next attempt; 0 when all blocks are written.

    Raises TransferError 499 when a block was given up.
    """
    count = job.announcement.blocks.count if job.announcement.blocks else 0
    # Another version written within the same second could have the same mtime at the destination,
    # which knows whole seconds only: wait until that second is over.
    second_ends_in = source.mtime_ns // 10**9 + 1 - time.time()
    if (missing := count - len(markers.written) - len(markers.failed)) > 0:
        return min(missing * _RECHECK, _MAX_RECHECK)
    if markers.failed:
        shown = ", ".join(str(number + 1) for number in sorted(markers.failed)[:5])
        raise TransferError(499, f"given up, since a block failed: {shown} of {count}")
    return second_ends_in if 0 < second_ends_in <= 1 else 0.0


async def _without_content(destination: Destination) -> Outcome | None:
    """Make the file as announced without sending its content; None when that is not possible."""
    job = destination.job
    if (found := await _same_content(destination)) is None:
        return None
    try:
        changed = await destination.set_attributes(found)
    except SftpError as status:
        if not status.failed:  # another user may own it; it can still be replaced
            return None
        raise
    if job.redelivered:
        return Outcome(201, "file sent", 0, job.announcement.identity)
    return Outcome(201, _MODE_SET, 0) if changed else Outcome(304, "file is there")


async def _same_content(destination: Destination) -> Attributes | None:
    """Return the attributes of the final file if, read back, it has the announced identity.

    It is only read if its size and mtime are as announced (decision 0004), with ``overwrite``
    different: if its size is.
    """
    job, overwrite = destination.job, destination.job.announcement.overwrite
    if job.known_identity is None or overwrite == "always":
        return None
    found = await destination.client.stat(job.path)
    if not destination.has_size(found):
        return None
    if overwrite is None and not destination.is_announced(found):
        return None
    try:
        size = job.announcement.size or 0
        identity = await remote_identity(destination.client, job.path, job.method, 0, size)
    except SftpError:
        return None  # not readable, or truncated meanwhile: send it
    return found if identity == job.known_identity else None


async def _finish_after_last(destination: Destination, outcome: Outcome) -> Outcome:
    """Finish a file after its last block, where no finish is announced: sr3 announces none."""
    piece = destination.job.announcement.blocks
    if piece is None or piece.finish:
        return outcome
    markers = await destination.markers()
    if markers is None or len(markers.written) < piece.count:
        return outcome
    finished = await finish(destination)
    while finished.wait is not None:
        # A few seconds: of the source's mtime, and of claims of lost connections.
        await asyncio.sleep(finished.wait)
        finished = await finish(destination)
    return Outcome(finished.code, finished.message, outcome.bytes, outcome.identity)


def _finished(job: Job) -> Outcome:
    """Return the outcome of a complete file."""
    return Outcome(201, "file sent in blocks", job.announcement.size)
