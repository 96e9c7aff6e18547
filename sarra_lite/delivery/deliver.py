"""Make the destination as an announcement says: the one entry to all that is done there.

Everything may be done twice: by another sender, or again after a crash.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sarra_lite.delivery import content, operations, staging
from sarra_lite.errors import DestinationDown, DestinationFull, TransferError
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from sarra_lite.delivery.job import Job, Outcome
    from sarra_lite.delivery.upload import Hooks
    from sarra_lite.sftp.client import SftpClient


async def deliver(connection: SftpClient, job: Job, hooks: Hooks) -> Outcome:
    """Do what an announcement asks for.

    Raises TransferError when it cannot be done, DestinationDown when it can be tried again on
    another connection, Interrupted when it was told to stop in the middle of a long one.
    """
    try:
        return await _done(connection, job, hooks)
    except DestinationDown:
        raise
    except SftpError as status:
        error = await staging.explained(connection, job.path, status)
    except TransferError as cannot:
        error = cannot
    # What is tried again where there is room need not be begun anew.
    if job.announcement.blocks is None or not isinstance(error, DestinationFull):
        await give_up(connection, job, error)
    raise error


async def give_up(connection: SftpClient, job: Job, error: TransferError) -> None:
    """Leave nothing of a file that was given up; of a block, a mark for those who wait for it."""
    with contextlib.suppress(TransferError, SftpError):
        await content.abandon(connection, job, error)


async def _done(connection: SftpClient, job: Job, hooks: Hooks) -> Outcome:
    operation = job.announcement.file_op or {}
    for name, do in _OPERATIONS.items():
        if name in operation and (outcome := await do(connection, job)) is not None:
            return outcome
    if job.announcement.is_finish:
        return await content.finish(connection, job)
    if job.announcement.block is not None:
        return await content.block(connection, job, hooks)
    return await content.whole(connection, job, hooks)


_OPERATIONS = {
    "remove": operations.remove,
    "rename": operations.rename,
    "link": operations.link,
    "directory": operations.directory,
}
