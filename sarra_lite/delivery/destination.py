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
import stat
from typing import TYPE_CHECKING, Final, NamedTuple, TypeGuard, TypeVar

from sarra_lite.delivery.attributes import AttributeSetter, directory_mode
from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import Attributes, SftpError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.client import File, SftpClient

_STAGING_MODE: Final = 0o600  # nobody else may read content that is not complete
_MARKERS_MODE: Final = 0o700
_MAX_NAME_BYTES: Final = 255  # NAME_MAX of every common file system
_FAILED: Final = ".failed"
Result = TypeVar("Result")


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
        self.setter = AttributeSetter(client)
        self.directory, slash, name = job.path.rpartition("/")
        version = job.announcement.version
        prefix_bytes = _MAX_NAME_BYTES - len(f"..{version}.inflight")
        prefix = os.fsdecode(os.fsencode(name)[:prefix_bytes])
        stem = f"{self.directory}{slash}.{prefix}.{version}"
        self.staging_file = f"{stem}.inflight"
        self.marker_directory = f"{stem}.blocks"

    def marker(self, number: int, suffix: str = "") -> str:
        """Path of the marker of a written block; ``suffix`` _FAILED: of one that was given up."""
        return f"{self.marker_directory}/{number}{suffix}"

    async def complete(self) -> bool:
        """Return whether the final file exists with the announced size and modification time."""
        return self.is_announced(await self.client.stat(self.job.path))

    def is_announced(self, found: Attributes | None) -> bool:
        """Return whether these are a regular file's with the announced size and mtime."""
        mtime = self.job.announcement.mtime_ns
        return self.has_size(found) and mtime is not None and found.mtime == mtime // 10**9

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
        written = {int(name) for name in names if name.isdecimal()}
        failed = {int(name.removesuffix(_FAILED)) for name in names if name.endswith(_FAILED)}
        return Markers(written, failed - written)

    async def create(self) -> File:
        """Open the staging file for writing; create it and its parent directories if missing."""
        path = self.staging_file
        mode = _STAGING_MODE if self.job.sets_attributes else self.job.config.permDefault
        try:
            return await self.with_parents(lambda: self.client.open_file(path, mode))
        except SftpError as status:
            if not status.denied:
                raise
            # An earlier attempt may have given it the final mode already, without write permission.
            with contextlib.suppress(SftpError):
                await self.client.set_attributes(path, Attributes(mode=mode))
                return await self.client.open_file(path, mode)
            raise

    async def with_parents(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """Do something beside the final file; if its directory is missing, create it and repeat."""
        try:
            return await action()
        except SftpError as status:
            if not status.missing:
                raise
        await self.make_directories(self.directory)
        return await action()

    async def create_with_markers(self) -> File:
        """Open the staging file and create the marker directory, both requested at once."""
        file, made = await asyncio.gather(
            self.create(), self.make_marker_directory(), return_exceptions=True
        )
        if isinstance(file, BaseException):
            raise file
        if isinstance(made, BaseException):
            file.close_quietly()
            raise made
        return file

    async def make_directories(self, path: str, mode: int | None = None) -> bool:
        """Create a directory with a mode, by default permDirDefault, and those above it.

        Return False when it exists; another sender may create it at the same time.  Raises
        TransferError 409 when something else has its name.
        """
        if path in ("", "/"):
            return False
        mode = self.job.config.permDirDefault if mode is None else mode
        try:
            return await self._make_directory(path, mode)
        except SftpError as status:
            if not status.missing:
                raise
        await self.make_directories(path.rpartition("/")[0])
        return await self._make_directory(path, mode)

    async def make_marker_directory(self) -> None:
        """Create the directory of the markers, which only senders use, if it is missing."""
        await self.make_directories(self.marker_directory, _MARKERS_MODE)

    async def _make_directory(self, path: str, mode: int) -> bool:
        made, found = await asyncio.gather(
            self.client.mkdir(path, directory_mode(mode, Attributes())),
            self.client.stat(path),
            return_exceptions=True,
        )
        if isinstance(found, BaseException):
            raise found
        if made is None:
            # The server has applied its umask, and the file system may have added S_ISGID.
            wanted = directory_mode(mode, found or Attributes())
            differs = found is not None and stat.S_IMODE(found.mode or 0) != wanted
            if differs and self.job.sets_attributes:
                await self.setter.set(path, Attributes(mode=wanted), f"mode of {path}")
            return True
        if found is None and await self.client.stat(path, follow_symlinks=False) is None:
            raise made
        if found is None or not stat.S_ISDIR(found.mode or 0):
            raise TransferError(409, f"{path} is in the way: no directory") from None
        return False

    async def mark_written(self, number: int) -> None:
        """Mark a block as written.

        When another sender has finished the file meanwhile, remove what would be left over.
        """
        # Requested at once: the server works on one request after the other, in this order.
        marked, _, complete = await asyncio.gather(
            self.client.touch(self.marker(number)),
            self.client.remove_all([self.marker(number, _FAILED)]),
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
        await self.make_marker_directory()
        await self.client.touch(self.marker(number, _FAILED))

    async def finish(
        self, file: File, size: int, check_source: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Set mode and mtime of the staging file, close it, check its size, rename it to its name.

        ``setter`` notes which of them the server refuses to set.

        ``check_source`` is called when all writes are confirmed.  Raises TransferError 500 when the
        size is not ``size`` bytes, 409 when a directory has the name.
        """
        found = await self.setter.finish(file, self.staging_file, self.job.attributes)
        if check_source is not None:
            await check_source()
        if found.size != size:
            raise TransferError(500, f"{found.size} bytes at the destination instead of {size}")
        try:
            await self.client.rename(self.staging_file, self.job.path)
        except SftpError:
            existing = await self.client.stat(self.job.path, follow_symlinks=False)
            if existing is None or not stat.S_ISDIR(existing.mode or 0):
                raise
            raise TransferError(409, "a directory is in the way at the destination") from None

    async def discard(self, known: Markers | None = None) -> None:
        """Remove the staging file, all markers and their directory, as far as they exist.

        ``known``: the markers that were read before, which saves round trips.
        """
        written, failed = known or ((), ())
        markers = [self.marker(number) for number in written]
        markers += [self.marker(number, _FAILED) for number in failed]
        removing = self.client.remove_all([self.staging_file, *markers])
        with contextlib.suppress(SftpError):
            try:
                await asyncio.gather(removing, self.client.rmdir(self.marker_directory))
            except SftpError as status:
                if status.missing:
                    return
                names = await self.client.listdir(self.marker_directory)
                await self.client.remove_all(f"{self.marker_directory}/{name}" for name in names)
                await self.client.rmdir(self.marker_directory)
