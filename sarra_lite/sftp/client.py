"""Files and names at an SFTP server.

A connection lives in one asyncio loop, where any number of files may be under way on it.  Paths are
text with bytes that are no UTF-8 as lone surrogates.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from paramiko import sftp as names

from sarra_lite.errors import ConfigError
from sarra_lite.sftp.file import File
from sarra_lite.sftp.packets import (
    Attributes,
    Response,
    SftpError,
    pack_attributes,
    pack_path,
    pack_string,
    parse_response,
    unpack_attributes,
)
from sarra_lite.sftp.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sarra_lite.sftp.target import Target

__all__ = ["Attributes", "File", "SftpClient", "SftpError", "Space"]

_READDIRS: Final = 8  # questions for more names under way at once
_HEADER: Final = 1024  # bytes of a WRITE that are not data, generously
_LEAST_WRITE: Final = 32768  # bytes that every server must take in a WRITE
_LEAST_FILES: Final = 64  # files that every server keeps open
_SPARE_FILES: Final = 32  # of those that the server keeps open, not used for sending
_READ_ONLY: Final = 1  # statvfs@openssh.com, f_flag
_RENAME: Final = pack_string(b"posix-rename@openssh.com")
_NUMBER: Final = struct.Struct(">I")


class Space(NamedTuple):
    """Room on a file system: bytes and names that we may still use."""

    bytes: int
    names: int
    read_only: bool


class SftpClient:
    """A connection to the SFTP server.

    ``round_trip``: seconds from a question to its answer, when it was opened.

    Methods raise Refused when the server says no, DestinationDown when the connection is gone.
    """

    def __init__(self, target: Target) -> None:
        """Nothing is connected yet."""
        self.max_write = _LEAST_WRITE
        self.max_files = _LEAST_FILES
        self.can_sync = False
        self.round_trip = 0.0
        self._session = Session(target)

    async def open(self) -> None:
        """Connect, log in, and learn what the server can do."""
        extensions = await self._session.open()
        self.can_sync = b"fsync@openssh.com" in extensions
        if b"posix-rename@openssh.com" not in extensions:
            raise ConfigError(
                f"{self._session.target.endpoint}: its SFTP server cannot replace a file by"
                " renaming (no posix-rename@openssh.com); OpenSSH's can"
            )
        if b"limits@openssh.com" in extensions:
            asked = time.monotonic()
            limits = await self._session.request(
                names.CMD_EXTENDED, pack_string(b"limits@openssh.com")
            )
            self.round_trip = time.monotonic() - asked
            packet, _, write, handles = (limits.get_int64() for _ in range(4))
            self.max_write = write or max(packet - _HEADER, _LEAST_WRITE)
            self.max_files = max(handles - _SPARE_FILES, _LEAST_FILES)

    def close(self) -> None:
        """End the connection; what is under way on it gets DestinationDown."""
        self._session.close()

    @property
    def closed(self) -> bool:
        """Whether it can be used no more."""
        return self._session.closed

    # Names.

    async def stat(self, path: str) -> Attributes | None:
        """Attributes of what a path leads to; None when there is nothing."""
        return await self._attributes_of(names.CMD_STAT, path)

    async def lstat(self, path: str) -> Attributes | None:
        """Attributes of a name itself, a symbolic link not followed; None when there is none."""
        return await self._attributes_of(names.CMD_LSTAT, path)

    async def set_attributes(self, path: str, attributes: Attributes) -> None:
        """Set mode or mtime of what a path leads to."""
        await self._session.request(names.CMD_SETSTAT, pack_path(path), pack_attributes(attributes))

    async def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        attributes = pack_attributes(Attributes(mode=mode))
        await self._session.request(names.CMD_MKDIR, pack_path(path), attributes, writing=True)

    async def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        await self._session.request(names.CMD_RMDIR, pack_path(path))

    async def remove(self, path: str) -> None:
        """Remove a file or link."""
        await self._session.request(names.CMD_REMOVE, pack_path(path))

    async def remove_all(self, paths: Iterable[str]) -> None:
        """Remove files, all at once; those that are gone already do not matter."""
        for asked in [self._session.send(names.CMD_REMOVE, pack_path(path)) for path in paths]:
            await asked

    async def rename(self, old: str, new: str) -> None:
        """Give a name to a file, replacing atomically what had that name."""
        await self._session.request(names.CMD_EXTENDED, _RENAME, pack_path(old), pack_path(new))

    async def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link at ``path``."""
        # OpenSSH has the two the other way round than the draft (PROTOCOL, 4.1).
        await self._session.request(names.CMD_SYMLINK, pack_path(target), pack_path(path))

    async def readlink(self, path: str) -> str:
        """Return where a symbolic link points."""
        answer = await self._session.request(names.CMD_READLINK, pack_path(path))
        answer.get_int()
        return os.fsdecode(answer.get_string())

    async def listdir(self, path: str) -> list[str]:
        """Names in a directory, without . and .."""
        found: list[str] = []
        opened = await self._session.request(names.CMD_OPENDIR, pack_path(path))
        handle = pack_string(opened.get_string())
        try:
            while True:
                asked = [self._session.send(names.CMD_READDIR, handle) for _ in range(_READDIRS)]
                for answer in [await one for one in asked]:
                    found += _names_of(answer)
        except SftpError as status:
            if status.code != names.SFTP_EOF:
                raise
        finally:
            self._session.send(names.CMD_CLOSE, handle)
        return [name for name in found if name not in (".", "..")]

    async def free_space(self, path: str) -> Space | None:
        """Room where a path is; None when the server cannot tell."""
        try:
            answer = await self._session.request(
                names.CMD_EXTENDED, pack_string(b"statvfs@openssh.com"), pack_path(path or ".")
            )
        except SftpError:
            return None
        _, unit, _, _, free, _, _, free_names, _, flags, _ = (answer.get_int64() for _ in range(11))
        return Space(free * unit, free_names, bool(flags & _READ_ONLY))

    async def touch(self, path: str) -> None:
        """Make an empty file, or leave it as it is."""
        (await self.create(path, 0o600)).close_quietly()

    # Content.

    async def create(self, path: str, mode: int) -> File:
        """Open a file for writing, made when it is not there, and never truncated."""
        flags = names.SFTP_FLAG_WRITE | names.SFTP_FLAG_CREATE
        return await self._opened(path, flags, mode, writing=True)

    async def open_existing(self, path: str) -> File:
        """Open a file for writing that is there; Refused otherwise."""
        return await self._opened(path, names.SFTP_FLAG_WRITE, writing=True)

    async def read(
        self, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the content of a file, or of a range of it, in order."""
        async with await self._opened(path, names.SFTP_FLAG_READ) as file:
            async for data in file.chunks(offset, length):
                yield data

    async def _opened(
        self, path: str, flags: int, mode: int | None = None, *, writing: bool = False
    ) -> File:
        request = (pack_path(path), _NUMBER.pack(flags), pack_attributes(Attributes(mode=mode)))
        answer = await self._session.request(names.CMD_OPEN, *request, writing=writing)
        return File(self._session, pack_string(answer.get_string()), self.max_write)

    async def _attributes_of(self, kind: int, path: str) -> Attributes | None:
        try:
            return unpack_attributes(await self._session.request(kind, pack_path(path)))
        except SftpError as status:
            if status.missing:
                return None
            raise


def _names_of(answer: Response) -> list[str]:
    """Return the names of an answer to READDIR; Refused at the end."""
    message = parse_response(answer)
    found = []
    for _ in range(message.get_int()):
        found.append(os.fsdecode(message.get_string()))
        message.get_string()
        unpack_attributes(message)
    return found
