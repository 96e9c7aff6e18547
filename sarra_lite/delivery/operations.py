"""Directories, symbolic links, renames and removals at the destination (fileOp of sr_post(7))."""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING

from sarra_lite.delivery import directories
from sarra_lite.delivery.attributes import directory_mode
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import Attributes, SftpError

if TYPE_CHECKING:
    from sarra_lite.delivery.destination import Destination


async def remove(destination: Destination) -> Outcome:
    """Remove a file, a link, or an empty directory; TransferError 409 when it is not empty."""
    client, job = destination.client, destination.job
    found = await client.stat(job.path, follow_symlinks=False)
    if found is None:
        return _unchanged(job, "removed", "is not there")
    is_directory = stat.S_ISDIR(found.mode or 0)
    try:
        if is_directory:
            await client.rmdir(job.path)
        else:
            await client.remove(job.path)
    except SftpError as status:
        if not status.missing:
            if is_directory and await client.listdir(job.path):
                raise TransferError(409, "directory is not empty at the destination") from None
            raise
    return Outcome(201, "removed")


async def rename(destination: Destination) -> Outcome | None:
    """Rename.  Return None when the old name does not exist, or the server refuses the rename.

    Also None when what was renamed is another version: the announced file is then sent over it.
    """
    client, job = destination.client, destination.job
    if job.old_path is None or await client.stat(job.old_path, follow_symlinks=False) is None:
        return None
    await destination.make_directories(destination.directory)
    with contextlib.suppress(SftpError):
        await client.rename(job.old_path, job.path)
        operation = job.announcement.file_op or {}
        if "link" in operation or "directory" in operation:
            return Outcome(201, "renamed")
        found = await client.stat(job.path)
        if found is not None and destination.is_announced(found):
            await destination.set_attributes(found)
            return Outcome(201, "renamed")
    return None


async def link(destination: Destination) -> Outcome:
    """Create a symbolic link; it replaces a file or link of its name."""
    client, job = destination.client, destination.job
    target = (job.announcement.file_op or {})["link"]
    found = await client.stat(job.path, follow_symlinks=False)
    if found is not None and stat.S_ISLNK(found.mode or 0):
        if await client.readlink(job.path) == target:
            return _unchanged(job, "linked", "link is there")
    elif found is not None and stat.S_ISDIR(found.mode or 0):
        raise TransferError(409, "a directory is in the way at the destination")
    await client.remove_all([destination.staging_file])
    await destination.with_parents(lambda: client.symlink(target, destination.staging_file))
    await destination.rename_staging_file()
    return Outcome(201, "linked")


async def directory(destination: Destination) -> Outcome:
    """Create a directory with the announced mode; one that exists keeps its own mode.

    With the option permDirCopy, or if a sender has made it in passing, it gets the announced mode.
    """
    client, job = destination.client, destination.job
    config = job.config
    default, announced = config.permDirDefault, job.announcement.mode if config.permCopy else None
    if await destination.make_directories(job.path, default if announced is None else announced):
        return Outcome(201, "directory made")
    if announced is None:
        return _unchanged(job, "directory made", "directory is there")
    found = await directories.existing(client, job.path, announced, default)
    present = stat.S_IMODE(found.mode or 0)
    if present == directory_mode(announced, found):
        return _unchanged(job, "directory made", "directory is there")
    permitted = config.permDirCopy and "attributes" in config.allowed_events
    if not permitted and not directories.made_in_passing(found, default):
        kept = f"directory is there and keeps its mode {present:o}"
        return _unchanged(job, "directory made", kept)
    await client.set_attributes(job.path, Attributes(mode=directory_mode(announced, found)))
    return Outcome(201, "mode of the directory set")


def _unchanged(job: Job, done: str, there: str) -> Outcome:
    """Return the outcome where nothing was to do: 304, or 201 for a redelivered announcement.

    An earlier attempt may have done the operation and ended before it was reported.
    """
    return Outcome(201, done) if job.redelivered else Outcome(304, there)
