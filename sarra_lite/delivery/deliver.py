"""Entry point of this package: carries out one announcement on one SFTP connection.

Any job may be carried out twice: by another sender at the same time, or again after a crash.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery import containment, content, operations, permitted, space
from sarra_lite.delivery.claim import discard_unless_held, mark_failed
from sarra_lite.delivery.destination import Destination, StagingGone
from sarra_lite.errors import (
    DestinationDown,
    DestinationFull,
    NotPermitted,
    ServerFailure,
    SourceUnavailable,
    TransferError,
)
from sarra_lite.runtime import log
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from sarra_lite.delivery.job import Job, Outcome
    from sarra_lite.delivery.upload import Hooks
    from sarra_lite.sftp.client import SftpClient

_MOST_STARTS: Final = 5
_MAKING: Final = {"link": operations.link, "directory": operations.directory}


async def deliver(client: SftpClient, job: Job, hooks: Hooks) -> Outcome:
    """Do what the announcement of a job asks for.

    Raises TransferError when it cannot be done, DestinationDown or ServerFailure when another
    connection may do it, Interrupted when ``hooks.stop`` was set in the middle of a long upload.
    """
    if job.given_up is not None:
        await _give_up(client, job, job.given_up)
        raise job.given_up
    try:
        return await _with_restarts(client, job, hooks)
    except (DestinationDown, NotPermitted):
        raise
    except SftpError as status:
        error = await _explain(client, job, status)
    except TransferError as failed:
        error = failed
    # A file in blocks is retried when there is space again, and keeps the blocks it has.
    full = isinstance(error, DestinationFull) and job.announcement.blocks is not None
    if not (full or isinstance(error, ServerFailure)):
        await _give_up(client, job, error)
    raise error


async def _give_up(client: SftpClient, job: Job, error: TransferError) -> None:
    """Remove what exists of a file that was given up; mark a block that was given up."""
    destination, number = Destination(client, job), job.announcement.block
    try:
        await containment.check(destination)
        if isinstance(error, SourceUnavailable) or job.announcement.blocks is None:
            await destination.discard()  # without its source, no block of it can be sent
        elif number is None:
            await discard_unless_held(destination)
        else:
            await mark_failed(destination, number)
    except DestinationDown:
        raise
    except (TransferError, SftpError):
        log.debug("%s: not cleaned up", job.path)


async def _with_restarts(client: SftpClient, job: Job, hooks: Hooks) -> Outcome:
    """Carry out a job, again when other connections work on the same version."""
    for _ in range(_MOST_STARTS):
        destination = Destination(client, job)
        with contextlib.suppress(StagingGone):
            outcome = await _carry_out(destination, hooks)
            if job.redelivered and job.announcement.blocks is None:
                await destination.discard()  # the staging files of earlier attempts
            return replace(outcome, message=destination.setter.told(outcome.message))
    raise TransferError(404, "destination: the inflight file vanished")


async def _carry_out(destination: Destination, hooks: Hooks) -> Outcome:
    asked = destination.job.announcement.file_op or {}
    await containment.check(destination)
    if "remove" in asked:
        return await operations.remove(destination)
    if "rename" in asked and (renamed := await operations.rename(destination)) is not None:
        return renamed
    if (present := await permitted.check_present(destination)) is not None:
        return present
    for name, operation in _MAKING.items():
        if name in asked:
            return await operation(destination)
    return await _send(destination, hooks)


async def _send(destination: Destination, hooks: Hooks) -> Outcome:
    announcement = destination.job.announcement
    if announcement.is_finish:
        return await content.finish(destination)
    if announcement.block is not None:
        return await content.send_block(destination, hooks)
    return await content.send_file(destination, hooks)


async def _explain(client: SftpClient, job: Job, status: SftpError) -> TransferError:
    """Return the error to report for a status of the SFTP server."""
    if status.denied:
        return TransferError(403, f"destination: {str(status).lower()}")
    if status.missing:
        return TransferError(404, "destination: a directory vanished")
    if status.failed:
        return await _explain_failure(client, job, status)
    return TransferError(499, f"destination: {str(status).lower()}")


async def _explain_failure(client: SftpClient, job: Job, status: SftpError) -> TransferError:
    """Return the error to report for a status that may have any cause.

    statvfs shows a full disk and a read-only file system.  Otherwise the user may be over quota, or
    the host of the server may have lost its file system.
    """
    directory, found = await space.innermost(client, job.path)
    if found is not None and found.f_flag & os.ST_RDONLY:
        return TransferError(403, "destination: read-only file system")
    if found is not None and space.is_used_up(found):
        return await space.full(client, directory, found)
    # Others that found the disk full may have removed what they had written.
    if status.writing and found is not None and space.has_less(found, job.content_bytes):
        return await space.full(client, directory, found, job.content_bytes)
    if status.writing:
        text = "destination: write refused: over quota, or its disk failed"
        return ServerFailure(507, text, client.opened_at, file_may_be_cause=False)
    return ServerFailure(
        499,
        f"destination: {str(status).lower()}",
        client.opened_at,
        file_may_be_cause=await _answers_for_directory(client, job.path),
    )


async def _answers_for_directory(client: SftpClient, path: str) -> bool:
    """Return whether the server can look up the innermost directory of a path that exists."""
    try:
        for directory in PurePosixPath(path).parents:
            if await client.stat(str(directory)) is not None:
                return True
    except SftpError:
        pass
    return False
