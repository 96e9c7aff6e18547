"""One job at its destination: the final file, its staging file, and the markers of its blocks.

Until a file is complete, its content is in the hidden staging file ``.<name>.<version>.inflight``
beside it.  A file that is sent in blocks also has the directory ``.<name>.<version>.blocks``, with
an empty file for each block (``markers``, decision 0008).  All who send blocks of one version share
both; each attempt to send a whole file has a staging file of its own.
"""

from __future__ import annotations

import asyncio
import stat
from functools import partial
from typing import TYPE_CHECKING, Final, TypeGuard, TypeVar

from sarra_lite.delivery import directories, staging
from sarra_lite.delivery.attributes import AttributeSetter
from sarra_lite.delivery.markers import Markers
from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import Attributes, SftpError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.client import File, SftpClient

_STAGING_MODE: Final = 0o600  # nobody else may read content that is not complete
_MARKERS_MODE: Final = 0o700
Result = TypeVar("Result")


class StagingGone(Exception):
    """Another connection has renamed or removed the staging file, or has written the block."""


class Destination:
    """The names that a job uses at the destination, and the operations on them.

    Several senders may work on the same file at once, each with an object of its own: every
    operation may be repeated and may find its work done already.
    """

    def __init__(self, client: SftpClient, job: Job) -> None:
        """Compute the names; nothing is requested from the server."""
        self.client = client
        self.job = job
        self.setter = AttributeSetter(client)
        self.directory = job.path.rpartition("/")[0]
        self._stem = staging.stem(job.path, job.announcement.version)
        self.marker_directory = self._stem + staging.MARKERS
        self.staging_file = (
            staging.own_file(job.path, job.announcement, job.attempt)
            if job.announcement.blocks is None
            else self._stem + staging.FILE
        )

    def marker(self, name: int | str) -> str:
        """Return the path of a name in the marker directory; a number: that of a written block."""
        return f"{self.marker_directory}/{name}"

    async def complete(self) -> bool:
        """Return whether the final file exists with the announced size and modification time."""
        return self.is_announced(await self.client.stat(self.job.path))

    def is_announced(self, found: Attributes | None) -> bool:
        """Return whether these are a regular file's with the announced size and mtime."""
        mtime = self.job.mtime
        return self.has_size(found) and mtime is not None and found.mtime == mtime

    def has_size(self, found: Attributes | None) -> TypeGuard[Attributes]:
        """Return whether these are a regular file's with the announced size."""
        size = self.job.announcement.size
        return found is not None and stat.S_ISREG(found.mode or 0) and found.size == size

    async def set_attributes(self, found: Attributes) -> bool:
        """Set the announced mode and mtime of the final file; False if there is nothing to set."""
        if "attributes" not in self.job.config.allowed_events:
            return False
        if not self.job.sets_attributes:
            return False
        wanted = self.job.attributes
        same_mode = stat.S_IMODE(found.mode or 0) == wanted.mode
        if same_mode and wanted.mtime in (None, found.mtime):
            return False
        await self.client.set_attributes(self.job.path, wanted)
        return True

    async def markers(self) -> Markers | None:
        """Read the block markers; None when there is no marker directory."""
        try:
            names = await self.client.listdir(self.marker_directory)
        except SftpError as status:
            if status.missing:
                return None
            raise
        return Markers(names)

    async def create(self) -> File:
        """Open the staging file for writing; create it and its parent directories if missing."""
        mode = _STAGING_MODE if self.job.sets_attributes else self.job.config.permDefault
        return await self.with_parents(lambda: self._open(mode))

    async def open_existing(self) -> File | None:
        """Open the staging file for writing; None when it does not exist: nothing is created."""
        try:
            return await self._open(None)
        except SftpError as status:
            if status.missing:
                return None
            raise

    async def _open(self, mode: int | None) -> File:
        path = self.staging_file
        try:
            return await self.client.open_file(path, mode)
        except SftpError as status:
            if not status.denied:
                raise
            # Another attempt may have given it the final mode already, without write permission.
            try:
                await self.client.set_attributes(path, Attributes(mode=_STAGING_MODE))
                return await self.client.open_file(path, mode)
            except SftpError as again:
                if again.missing:  # that attempt has renamed it meanwhile
                    raise
                raise status from None

    async def with_parents(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """Do something beside the final file; if its directory is missing, create it and repeat."""
        try:
            return await action()
        except SftpError as status:
            if not status.missing:
                raise
        await self.make_directories(self.directory)
        return await action()

    async def make_directories(self, path: str, mode: int | None = None) -> bool:
        """Create a directory with a mode, or in passing with permDirDefault, and those above it.

        Return False when it exists; another sender may create it at the same time.  Raises
        TransferError 409 when something else has its name.
        """
        if path in ("", "/"):
            return False
        default, setter = self.job.config.permDirDefault, self.setter
        making = partial(
            directories.make,
            self.client,
            path,
            default if mode is None else mode,
            setter if self.job.sets_attributes else None,
            in_passing=mode is None,
        )
        try:
            return await making()
        except SftpError as status:
            if not status.missing:
                raise
        await self.make_directories(path.rpartition("/")[0])
        return await making()

    async def make_marker_directory(self) -> None:
        """Create the directory of the markers, which only senders use, if it is missing."""
        await self.make_directories(self.marker_directory, _MARKERS_MODE)

    async def finish(
        self, file: File, size: int, check_source: Callable[[], Awaitable[None]]
    ) -> None:
        """Set mode and mtime of the staging file, close it, check its size, rename it to its name.

        ``setter`` notes which of them the server refuses to set.

        ``check_source`` is called just before the rename.  Raises TransferError 500 when the size
        is not ``size`` bytes, 409 when a directory has the name, StagingGone when another sender
        has renamed or removed the staging file.
        """
        found = await self.setter.finish(file, self.staging_file, self.job.attributes)
        if found.size != size:
            raise TransferError(500, f"{found.size} bytes at the destination instead of {size}")
        await check_source()
        await self.rename_staging_file()

    async def rename_staging_file(self) -> None:
        """Rename the staging file to its name; raise as ``finish``."""
        try:
            await self.client.rename(self.staging_file, self.job.path)
        except SftpError:
            found, existing = await asyncio.gather(
                self.client.stat(self.staging_file, follow_symlinks=False),
                self.client.stat(self.job.path, follow_symlinks=False),
            )
            if found is None:
                raise StagingGone from None
            if existing is None or not stat.S_ISDIR(existing.mode or 0):
                raise
            raise TransferError(409, "a directory is in the way at the destination") from None

    async def discard(self) -> None:
        """Remove the staging file and all markers, as far as they exist."""
        job = self.job
        if job.announcement.blocks is not None:
            await staging.discard(self.client, self._stem)
            return
        attempts = range(staging.ATTEMPTS) if job.redelivered else (job.attempt,)
        own = (staging.own_file(job.path, job.announcement, attempt) for attempt in attempts)
        await self.client.remove_all(own)
