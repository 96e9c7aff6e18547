"""What a destination holds while a file is not complete: names, marks, and what is done with them.

Beside the file: its content so far, in ``.<name>.<version>.inflight``, and for a file in blocks a
directory ``.<name>.<version>.blocks`` with an empty file for each block that is written, named by
its number, and ``<number>.failed`` for each that was given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.errors import DestinationFull, TransferError
from sarra_lite.sftp.client import Attributes, File, SftpClient, SftpError

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement

PRIVATE: Final = 0o600  # nobody reads what is not complete
_LONGEST: Final = 255  # bytes in a name, on all file systems that matter
_FAILED: Final = ".failed"
_SECOND: Final = 10**9
_DENIED: Final = 3  # SSH_FX_PERMISSION_DENIED


class Names(NamedTuple):
    """Where things are while a file is not complete."""

    path: str
    inflight: str
    blocks: str

    def mark(self, number: int) -> str:
        """Where it says that a block is written."""
        return f"{self.blocks}/{number}"

    def failed(self, number: int) -> str:
        """Where it says that a block was given up."""
        return f"{self.blocks}/{number}{_FAILED}"


def names(path: str, announcement: Announcement) -> Names:
    """Return the names for one version of a file."""
    directory, _, name = path.rpartition("/")
    room = _LONGEST - len(f"..{announcement.version}.inflight")
    short = os.fsdecode(os.fsencode(name)[:room])
    stem = posixpath.join(directory or ("/" if path.startswith("/") else ""), "." + short)
    return Names(
        path, f"{stem}.{announcement.version}.inflight", f"{stem}.{announcement.version}.blocks"
    )


class Marks(NamedTuple):
    """Numbers of the blocks that are written, and of those given up."""

    written: set[int]
    failed: set[int]


async def marks(connection: SftpClient, where: Names) -> Marks | None:
    """Read the marks; None when no block was ever begun."""
    try:
        found = await connection.listdir(where.blocks)
    except SftpError as status:
        if status.missing:
            return None
        raise
    written = {int(name) for name in found if name.isdecimal()}
    failed = {int(n) for name in found if (n := name.removesuffix(_FAILED)) != name}
    return Marks(written, failed - written)


async def complete(connection: SftpClient, path: str, announcement: Announcement) -> bool:
    """Whether a file of this size and modification time stands at the destination."""
    found = await connection.stat(path)
    return (
        found is not None
        and announcement.mtime_ns is not None
        and found.size == announcement.size
        and found.mtime == announcement.mtime_ns // _SECOND
        and stat.S_ISREG(found.mode or 0)
    )


async def create(connection: SftpClient, path: str, directory_mode: int) -> File:
    """Open a file for writing, and make the directories above it when they are missing."""
    try:
        return await connection.create(path, PRIVATE)
    except SftpError as status:
        if not status.missing:
            raise
    await make_directories(connection, path.rpartition("/")[0], directory_mode)
    return await connection.create(path, PRIVATE)


async def create_for_block(
    connection: SftpClient, where: Names, directory_mode: int, *, begun: bool
) -> File:
    """Open a file for writing and make the directory for its marks, asked for at once.

    ``begun``: the directory is there.
    """
    if begun:
        return await create(connection, where.inflight, directory_mode)
    file, made = await asyncio.gather(
        create(connection, where.inflight, directory_mode),
        make_directories(connection, where.blocks, directory_mode),
        return_exceptions=True,
    )
    if isinstance(file, BaseException):
        raise file
    if isinstance(made, BaseException):
        await file.close()
        raise made
    return file


async def make_directories(connection: SftpClient, path: str, mode: int) -> bool:
    """Make a directory and those above it; False when it is there.  Others may do so meanwhile."""
    if path in ("", "/"):
        return False
    try:
        await connection.mkdir(path, mode)
    except SftpError as status:
        if status.missing:
            await make_directories(connection, path.rpartition("/")[0], mode)
            with contextlib.suppress(SftpError):
                await connection.mkdir(path, mode)
                return True
        found = await connection.stat(path)
        if found is None:
            raise
        if not stat.S_ISDIR(found.mode or 0):
            raise TransferError(409, f"{path} is in the way: no directory") from None
        return False
    return True


async def discard(connection: SftpClient, where: Names, known: Marks | None = None) -> None:
    """Remove all that is not complete; what is gone already does not matter.

    ``known``: the marks that are there, as far as we know; then all is asked for at once.
    """
    if known is not None:
        marks = [where.mark(number) for number in known.written]
        marks += [where.failed(number) for number in known.failed]
        with contextlib.suppress(SftpError):
            removing = connection.remove_all([where.inflight, *marks])
            await asyncio.gather(removing, connection.rmdir(where.blocks))
            return
    await connection.remove_all([where.inflight])
    with contextlib.suppress(SftpError):
        listed = await connection.listdir(where.blocks)
        await connection.remove_all(f"{where.blocks}/{name}" for name in listed)
        await connection.rmdir(where.blocks)


async def finish(
    connection: SftpClient, file: File, where: Names, attributes: Attributes, size: int
) -> int:
    """Give a file its attributes, close it, check its size and put it in its place.

    Return the bytes now known written, not told before.
    """
    written, found = await file.finish(attributes)
    if found.size != size:
        raise TransferError(500, f"{found.size} bytes at the destination instead of {size}")
    try:
        await connection.rename(where.inflight, where.path)
    except SftpError:
        there = await connection.lstat(where.path)
        if there is None or not stat.S_ISDIR(there.mode or 0):
            raise
        raise TransferError(409, "a directory is in the way at the destination") from None
    return written


async def explained(connection: SftpClient, path: str, status: SftpError) -> TransferError:
    """Turn what the server refuses into the code and the line of a report.

    The server's "failure" may mean a full disk, a quota or a file system that is read-only; it does
    not say which.
    """
    if status.code == _DENIED:
        return TransferError(403, f"destination: {str(status).lower()}")
    if status.missing:
        return TransferError(404, "destination: a directory vanished")
    space = None
    directory = path.rpartition("/")[0]
    while space is None and directory:
        space = await connection.free_space(directory)
        directory = directory.rpartition("/")[0]
    space = space or await connection.free_space("/" if path.startswith("/") else ".")
    if space is not None and space.read_only:
        return TransferError(403, "destination: read-only file system")
    if space is not None and (space.bytes == 0 or space.names == 0):
        return DestinationFull("destination: no space left")
    if status.writing:
        return DestinationFull("destination: write refused: over quota, or its disk failed")
    return TransferError(499, f"destination: {str(status).lower()}")
