"""Directories, links, renames and removals at the destination (fileOp of sr_post(7)).

Each returns None when what it asks for is better done by sending the file.
"""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery import staging
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import Attributes, SftpError

if TYPE_CHECKING:
    from sarra_lite.sftp.client import SftpClient

_OWNER: Final = 0o300  # without, the owner himself could put nothing into his directory


async def remove(connection: SftpClient, job: Job) -> Outcome:
    """Remove a file, a link, or an empty directory."""
    found = await connection.lstat(job.path)
    if found is None:
        return _already(job, "removed", "is not there")
    try:
        if stat.S_ISDIR(found.mode or 0):
            await connection.rmdir(job.path)
        else:
            await connection.remove(job.path)
    except SftpError as status:
        if status.missing:
            return Outcome(201, "removed")
        if stat.S_ISDIR(found.mode or 0) and await connection.listdir(job.path):
            raise TransferError(409, "directory is not empty at the destination") from None
        raise
    return Outcome(201, "removed")


async def rename(connection: SftpClient, job: Job) -> Outcome | None:
    """Rename, when the old name is there and what it names is what was announced."""
    old = await connection.lstat(job.old_path) if job.old_path is not None else None
    if job.old_path is None or old is None:
        return None
    await staging.make_directories(connection, job.path.rpartition("/")[0], job.perm_dir_default)
    with contextlib.suppress(SftpError):
        await connection.rename(job.old_path, job.path)
        operation = job.announcement.file_op or {}
        if "link" in operation or "directory" in operation:
            return Outcome(201, "renamed")
        if await staging.complete(connection, job.path, job.announcement):
            return Outcome(201, "renamed")
    return None


async def link(connection: SftpClient, job: Job) -> Outcome:
    """Make a symbolic link, in place of whatever file or link has its name."""
    target = (job.announcement.file_op or {})["link"]
    found = await connection.lstat(job.path)
    if found is not None and stat.S_ISLNK(found.mode or 0):
        if await connection.readlink(job.path) == target:
            return _already(job, "linked", "link is there")
    elif found is not None and stat.S_ISDIR(found.mode or 0):
        raise TransferError(409, "a directory is in the way at the destination")
    where = staging.names(job.path, job.announcement)
    await connection.remove_all([where.inflight])
    try:
        await connection.symlink(target, where.inflight)
    except SftpError as status:
        if not status.missing:
            raise
        await staging.make_directories(
            connection, job.path.rpartition("/")[0], job.perm_dir_default
        )
        await connection.symlink(target, where.inflight)
    await connection.rename(where.inflight, job.path)
    return Outcome(201, "linked")


async def directory(connection: SftpClient, job: Job) -> Outcome:
    """Make a directory, and give it the mode announced."""
    mode = job.announcement.mode if job.perm_copy else None
    wanted = job.perm_dir_default if mode is None else mode | _OWNER
    made = await staging.make_directories(connection, job.path, job.perm_dir_default)
    found = await connection.stat(job.path)
    if found is None or stat.S_IMODE(found.mode or 0) != wanted:
        if made or mode is not None:
            await connection.set_attributes(job.path, Attributes(mode=wanted))
    elif not made:
        return _already(job, "directory made", "directory is there")
    return Outcome(201, "directory made")


def _already(job: Job, done: str, there: str) -> Outcome:
    """Nothing was to be done; it was done by us when we hear of it a second time."""
    return Outcome(201, done) if job.redelivered else Outcome(304, there)
