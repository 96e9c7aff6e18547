"""One job at its destination: the final file, its staging file, and the markers of its blocks.

Until a file is complete, its content is in the hidden staging file ``.<name>.<version>.inflight``
beside it.  A file that is sent in blocks also has the directory ``.<name>.<version>.blocks``.  In
it an empty file named by the block's number marks a block that is written, and ``<number>.failed``
one that was given up (decision 0008).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.client import File, SftpClient

_STAGING_MODE: Final = 0o600  # nobody else may read content that is not complete
_MAX_NAME_BYTES: Final = 255  # NAME_MAX of every common file system
_FAILED: Final = ".failed"


class Markers(NamedTuple):
    """Numbers of the blocks that are written, and of those that were given up."""

    written: set[int]
    failed: set[int]


class Destination:
    """The names that a job uses at the destination, and the operations on them.

    Several senders may work on the same file at once, each with an object of its own: every
    operation may be repeated and may find its work done already.
    """

    def __init__(self, client: SftpClient, job: Job) -> None:
        """Compute the names; nothing is requested from the server."""
        self.client = client
        self.job = job
        self.path = job.path
        directory, _, name = job.path.rpartition("/")
        version = job.announcement.version
        prefix_bytes = _MAX_NAME_BYTES - len(f"..{version}.inflight")
        prefix = os.fsdecode(os.fsencode(name)[:prefix_bytes])
        root = "/" if job.path.startswith("/") else ""
        stem = posixpath.join(directory or root, f".{prefix}.{version}")
        self.staging_file = f"{stem}.inflight"
        self.marker_directory = f"{stem}.blocks"

    def marker(self, number: int) -> str:
        """Path of the marker of a written block."""
        return f"{self.marker_directory}/{number}"

    def failed_marker(self, number: int) -> str:
        """Path of the marker of a block that was given up."""
        return f"{self.marker_directory}/{number}{_FAILED}"

    async def complete(self) -> bool:
        """Return whether the final file exists with the announced size and modification time."""
        announced = self.job.announcement
        found = await self.client.stat(self.path)
        return (
            found is not None
            and announced.mtime_ns is not None
            and found.size == announced.size
            and found.mtime == announced.mtime_ns // 10**9
            and stat.S_ISREG(found.mode or 0)
        )

    async def markers(self) -> Markers | None:
        """Read the block markers; None when there is no marker directory."""
        try:
            names = await self.client.listdir(self.marker_directory)
        except SftpError as status:
            if status.missing:
                return None
            raise
        written = {int(name) for name in names if name.isdecimal()}
        failed = {int(name.removesuffix(_FAILED)) for name in names if name.endswith(_FAILED)}
        return Markers(written, failed - written)

    async def create(self) -> File:
        """Open the staging file for writing; create it and its parent directories if missing."""
        try:
            return await self.client.create(self.staging_file, _STAGING_MODE)
        except SftpError as status:
            if not status.missing:
                raise
        await self.make_parents()
        return await self.client.create(self.staging_file, _STAGING_MODE)

    async def create_for_block(self, *, started: bool) -> File:
        """Open the staging file and create the marker directory, both requested at once.

        ``started``: the marker directory exists.
        """
        if started:
            return await self.create()
        file, made = await asyncio.gather(
            self.create(), self.make_directories(self.marker_directory), return_exceptions=True
        )
        if isinstance(file, BaseException):
            raise file
        if isinstance(made, BaseException):
            file.close_quietly()
            raise made
        return file

    async def make_parents(self) -> None:
        """Create the directory of the final file, and those above it."""
        await self.make_directories(self.path.rpartition("/")[0])

    async def make_directories(self, path: str) -> bool:
        """Create a directory and those above it with the mode permDirDefault.

        Return False when it exists; another sender may create it at the same time.  Raises
        TransferError 409 when something else has its name.
        """
        if path in ("", "/"):
            return False
        mode = self.job.perm_dir_default
        try:
            await self.client.mkdir(path, mode)
        except SftpError as status:
            if status.missing:
                await self.make_directories(path.rpartition("/")[0])
                with contextlib.suppress(SftpError):
                    await self.client.mkdir(path, mode)
                    return True
            found = await self.client.stat(path)
            if found is None:
                raise
            if not stat.S_ISDIR(found.mode or 0):
                raise TransferError(409, f"{path} is in the way: no directory") from None
            return False
        return True

    async def mark_written(self, number: int) -> None:
        """Mark a block as written.

        When another sender has finished the file meanwhile, remove what would be left over.
        """
        # Requested at once: the server works on one request after the other, in this order.
        marked, _, complete = await asyncio.gather(
            self.client.touch(self.marker(number)),
            self.client.remove_all([self.failed_marker(number)]),
            self.complete(),
            return_exceptions=True,
        )
        for error in (marked, complete):
            missing = isinstance(error, SftpError) and error.missing
            if isinstance(error, BaseException) and not missing:
                raise error
        if complete is True:
            await self.discard()

    async def mark_failed(self, number: int) -> None:
        """Mark a block as given up, for the sender that waits to finish the file."""
        await self.make_directories(self.marker_directory)
        await self.client.touch(self.failed_marker(number))

    async def finish(self, file: File, size: int) -> int:
        """Set mode and mtime of the staging file, close it, check its size, rename it to its name.

        Return the bytes that the server has confirmed since the last count.  Raises TransferError
        500 when the size is not ``size`` bytes, 409 when a directory has the name.
        """
        written, found = await file.finish(self.job.attributes)
        if found.size != size:
            raise TransferError(500, f"{found.size} bytes at the destination instead of {size}")
        try:
            await self.client.rename(self.staging_file, self.path)
        except SftpError:
            existing = await self.client.stat(self.path, follow_symlinks=False)
            if existing is None or not stat.S_ISDIR(existing.mode or 0):
                raise
            raise TransferError(409, "a directory is in the way at the destination") from None
        return written

    async def discard(self, known: Markers | None = None) -> None:
        """Remove the staging file, all markers and their directory, as far as they exist.

        ``known``: the markers that were read before; all is then requested at once.
        """
        if known is not None:
            markers = [self.marker(number) for number in known.written]
            markers += [self.failed_marker(number) for number in known.failed]
            with contextlib.suppress(SftpError):
                removing = self.client.remove_all([self.staging_file, *markers])
                await asyncio.gather(removing, self.client.rmdir(self.marker_directory))
                return
        await self.client.remove_all([self.staging_file])
        with contextlib.suppress(SftpError):
            names = await self.client.listdir(self.marker_directory)
            await self.client.remove_all(f"{self.marker_directory}/{name}" for name in names)
            await self.client.rmdir(self.marker_directory)
