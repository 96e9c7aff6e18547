"""Make the destination as an announcement says: the one entry to all that is done there.

Everything may be done twice: by another sender, or again after a crash.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sarra_lite import inflight, operations, transfer
from sarra_lite.errors import TransferError
from sarra_lite.job import Job, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sarra_lite.sftp import Connection

__all__ = ["Job", "Outcome", "deliver", "give_up"]


def deliver(connection: Connection, job: Job, stop: Event, moved: Callable[[int], None]) -> Outcome:
    """Do what an announcement asks for; ``moved`` is called with bytes as they are written.

    Raises TransferError when it cannot be done, DestinationDown when it can be tried again on
    another connection, Interrupted when ``stop`` was set in the middle of a long one.
    """
    with inflight.refusals(connection, job.path):
        operation = job.announcement.file_op or {}
        for name, do in _OPERATIONS.items():
            if name in operation and (outcome := do(connection, job)) is not None:
                return outcome
        if job.announcement.is_finish:
            return transfer.finish(connection, job)
        if job.announcement.block is not None:
            return transfer.block(connection, job, stop, moved)
        return transfer.whole(connection, job, stop, moved)


def give_up(connection: Connection, job: Job, error: TransferError) -> None:
    """Leave nothing of a file that was given up; of a block, a mark for those who wait for it."""
    with contextlib.suppress(TransferError), inflight.refusals(connection, job.path):
        transfer.abandon(connection, job, error)


_OPERATIONS = {
    "remove": operations.remove,
    "rename": operations.rename,
    "link": operations.link,
    "directory": operations.directory,
}
