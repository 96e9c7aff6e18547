"""Make the destination as an announcement says: the one entry to all that is done there.

Everything may be done twice: by another sender, or again after a crash.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sarra_lite.delivery import content as transfer
from sarra_lite.delivery import operations
from sarra_lite.delivery import staging as inflight
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.delivery.upload import Hooks, help_with
from sarra_lite.errors import DestinationDown, DestinationFull, TransferError
from sarra_lite.sftp.client import Refused

if TYPE_CHECKING:
    from sarra_lite.sftp.client import Connection

__all__ = ["Hooks", "Job", "Outcome", "deliver", "give_up", "help_with"]


async def deliver(connection: Connection, job: Job, hooks: Hooks) -> Outcome:
    """Do what an announcement asks for.

    Raises TransferError when it cannot be done, DestinationDown when it can be tried again on
    another connection, Interrupted when it was told to stop in the middle of a long one.
    """
    try:
        return await _done(connection, job, hooks)
    except DestinationDown:
        raise
    except Refused as status:
        error = await inflight.explained(connection, job.path, status)
    except TransferError as cannot:
        error = cannot
    # What is tried again where there is room need not be begun anew.
    if job.announcement.blocks is None or not isinstance(error, DestinationFull):
        await give_up(connection, job, error)
    raise error


async def give_up(connection: Connection, job: Job, error: TransferError) -> None:
    """Leave nothing of a file that was given up; of a block, a mark for those who wait for it."""
    with contextlib.suppress(TransferError, Refused):
        await transfer.abandon(connection, job, error)


async def _done(connection: Connection, job: Job, hooks: Hooks) -> Outcome:
    operation = job.announcement.file_op or {}
    for name, do in _OPERATIONS.items():
        if name in operation and (outcome := await do(connection, job)) is not None:
            return outcome
    if job.announcement.is_finish:
        return await transfer.finish(connection, job)
    if job.announcement.block is not None:
        return await transfer.block(connection, job, hooks)
    return await transfer.whole(connection, job, hooks)


_OPERATIONS = {
    "remove": operations.remove,
    "rename": operations.rename,
    "link": operations.link,
    "directory": operations.directory,
}
