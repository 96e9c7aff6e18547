"""Sending content: a whole file, one block of a file, and the finish of a file in blocks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery import staging
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.delivery.source import Source
from sarra_lite.delivery.upload import Upload, fingerprint, verify
from sarra_lite.errors import SourceUnavailable, TransferError
from sarra_lite.messages import blocks
from sarra_lite.sftp.client import SftpError
from sarra_lite.units import nanoseconds

if TYPE_CHECKING:
    from sarra_lite.delivery.staging import Marks, Names
    from sarra_lite.delivery.upload import Hooks
    from sarra_lite.sftp.client import SftpClient

_LOOK_AGAIN: Final = 0.2  # seconds until marks are looked at again, for each that is missing
_LOOK_AT_MOST: Final = 5.0
_SECOND: Final = 10**9


async def whole(connection: SftpClient, job: Job, hooks: Hooks) -> Outcome:
    """Send a file in one piece: 201, or 304 when it is there already, byte for byte."""
    where = staging.names(job.path, job.announcement)
    with Source(job.source, job.announcement) as local:
        if await _proven(connection, job):
            if not job.redelivered:
                return Outcome(304, "file is there")
            await staging.discard(connection, where)
            return Outcome(201, "file sent", 0, job.announcement.identity)
        async with await staging.create(connection, where.inflight, job.perm_dir_default) as file:
            sending = Upload(connection, file, job, hooks)
            identity = await sending.whole(local)
            if job.verify:
                await verify(connection, where.inflight, identity, (0, local.size))
            hooks.moved(await staging.finish(connection, file, where, job.attributes, local.size))
    return Outcome(201, "file sent", local.size, identity)


async def block(connection: SftpClient, job: Job, hooks: Hooks) -> Outcome:
    """Send one block of a file: 206, or 304 when it is written, or the whole file is there."""
    announcement, number = job.announcement, job.announcement.block
    where = staging.names(job.path, announcement)
    piece = announcement.blocks
    assert piece is not None  # noqa: S101  for the type checker: is_finish and block say so
    assert number is not None  # noqa: S101
    complete, marked, begun = await asyncio.gather(
        staging.complete(connection, job.path, announcement),
        connection.stat(where.mark(number)),
        connection.stat(where.blocks),
    )
    if complete:
        return Outcome(304, "file is there")
    if marked is not None:
        return await _last(connection, job, Outcome(304, f"block {number + 1} is there"))
    with Source(job.source, announcement) as local:
        async with await staging.create_for_block(
            connection, where, job.perm_dir_default, begun=begun is not None
        ) as file:
            sending = Upload(connection, file, job, hooks)
            identity = await sending.block(local, piece.offset, piece.length)
            if job.verify:
                await verify(connection, where.inflight, identity, (piece.offset, piece.length))
    await _mark(connection, job, where, number)
    text = f"block {number + 1} of {piece.count} sent"
    return await _last(connection, job, Outcome(206, text, piece.length, identity))


async def finish(connection: SftpClient, job: Job) -> Outcome:
    """Put a file in its place when all its blocks are written; ask to wait while some are not."""
    where = staging.names(job.path, job.announcement)
    complete, marks = await asyncio.gather(
        staging.complete(connection, job.path, job.announcement),
        staging.marks(connection, where),
    )
    if complete:
        await staging.discard(connection, where, marks)
        ours = marks is not None or job.redelivered
        return _finished(job) if ours else Outcome(304, "file is there")
    if marks is None:
        # Here already, since where this fails no block can leave a mark, and we would wait long.
        await staging.make_directories(connection, where.blocks, job.perm_dir_default)
        marks = staging.Marks(set(), set())
    wait = _until_finish(job, marks)
    if wait > 0:
        return Outcome(0, "blocks are missing", wait=wait)
    async with await staging.create(connection, where.inflight, job.perm_dir_default) as file:
        size = job.announcement.size or 0
        await staging.finish(connection, file, where, job.attributes, size)
    await staging.discard(connection, where, marks)
    return _finished(job)


def _until_finish(job: Job, marks: Marks) -> float:
    """Return seconds until it is worth looking again; 0: all blocks are there."""
    count = job.announcement.blocks.count if job.announcement.blocks else 0
    with Source(job.source, job.announcement) as local:
        # Until the second of its mtime is over, another version could get the same one.
        young = local.mtime_ns // _SECOND + 1 - time.time()
    if (missing := count - len(marks.written) - len(marks.failed)) > 0:
        return min(missing * _LOOK_AGAIN, _LOOK_AT_MOST)
    if marks.failed:
        shown = ", ".join(str(number + 1) for number in sorted(marks.failed)[:5])
        raise TransferError(499, f"given up, since a block failed: {shown} of {count}")
    return young if 0 < young <= 1 else 0.0


async def abandon(connection: SftpClient, job: Job, error: TransferError) -> None:
    """Remove what there is of a file; of a block, leave a mark for those who wait for it."""
    where = staging.names(job.path, job.announcement)
    number = job.announcement.block
    if number is None or isinstance(
        error, SourceUnavailable
    ):  # no block of it can be sent any more
        await staging.discard(connection, where)
    else:
        await staging.make_directories(connection, where.blocks, job.perm_dir_default)
        await connection.touch(where.failed(number))


async def _proven(connection: SftpClient, job: Job) -> bool:
    """Whether the destination holds exactly what was announced (decision 0004)."""
    announced = job.announcement.identity
    if announced is None or announced.method not in blocks.METHODS:
        return False
    if not await staging.complete(connection, job.path, job.announcement):
        return False
    try:
        return await fingerprint(connection, job.path, announced.method) == announced
    except SftpError:
        return False  # not readable, or shorter meanwhile: send it


async def _mark(connection: SftpClient, job: Job, where: Names, number: int) -> None:
    """Say at the destination that a block is written, unless the file was finished meanwhile."""
    # All at once: the server does one after the other.
    marked, _, complete = await asyncio.gather(
        connection.touch(where.mark(number)),
        connection.remove_all([where.failed(number)]),
        staging.complete(connection, job.path, job.announcement),
        return_exceptions=True,
    )
    for error in (marked, complete):
        if isinstance(error, BaseException) and not (
            isinstance(error, SftpError) and error.missing
        ):
            raise error
    if complete is True:
        await staging.discard(connection, where)


async def _last(connection: SftpClient, job: Job, outcome: Outcome) -> Outcome:
    """Finish a file of which no finish is announced (sr3 has none) when this was its last block."""
    piece = job.announcement.blocks
    if piece is None or piece.finish:
        return outcome
    marks = await staging.marks(connection, staging.names(job.path, job.announcement))
    if marks is None or len(marks.written) < piece.count:
        return outcome
    finished = await finish(connection, job)
    while finished.wait is not None:
        # Less than a second: for the second of its mtime to be over.
        await asyncio.sleep(finished.wait)
        finished = await finish(connection, job)
    return Outcome(finished.code, finished.message, outcome.bytes, outcome.identity)


def _finished(job: Job) -> Outcome:
    """All of a file is there: how long it took since it was announced."""
    took = time.time() - nanoseconds(job.announcement.pub_time) / 1e9
    return Outcome(201, "file sent in blocks", job.announcement.size, seconds=max(took, 0.001))
