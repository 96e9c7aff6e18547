"""SFTP client: directories, links and files at one server, over one connection.

A path is text in which lone surrogates stand for bytes that are not UTF-8.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

from paramiko import sftp as constants

from sarra_lite.errors import ConfigError
from sarra_lite.sftp.file import File
from sarra_lite.sftp.packets import Attributes, SftpError, pack_path, pack_string, unpack_names
from sarra_lite.sftp.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from paramiko.message import Message

    from sarra_lite.sftp.target import Sample, Target

__all__ = ["Attributes", "File", "SftpClient", "SftpError"]

_READDIRS: Final = 8  # at once
_WRITE_OVERHEAD: Final = 1024  # bytes of a WRITE packet that are not data, at most
_MIN_WRITE: Final = 32768  # bytes of data that every server accepts in a WRITE (section 3)
_MAX_WRITE: Final = 255 * 1024  # more is not faster; OpenSSH takes this much
_STATVFS_BYTES: Final = 11 * 8
_MIN_FILES: Final = 64  # assumed where the server does not tell how many files may be open
_SPARE_FILES: Final = 32  # kept from the server's limit for directories and its own files


class SftpClient(Session):
    """A session with operations on files: ``open`` it, use it, ``close`` it.

    ``open`` sets ``max_write`` (bytes of data in one WRITE), ``max_files`` (files to keep open at
    once), ``round_trip`` (seconds) and ``opened_at`` (monotonic seconds).

    Methods raise SftpError for an error status, DestinationDown when the connection is lost.
    """

    def __init__(self, target: Target) -> None:
        """Prepare a client in the running event loop."""
        super().__init__(target)
        self.max_write = _MIN_WRITE
        self.max_files = _MIN_FILES
        self.round_trip = 0.0
        self.opened_at = 0.0

    async def open(self) -> None:
        """Connect, log in, and ask for the limits of the server (PROTOCOL 4.8).

        Raise ConfigError when the server cannot replace a file by renaming.
        """
        await super().open()
        self.opened_at = time.monotonic()
        if b"posix-rename@openssh.com" not in self.extensions:
            raise ConfigError(
                f"{self.target.endpoint}: its SFTP server cannot replace a file by"
                " renaming (no posix-rename@openssh.com); OpenSSH's can"
            )
        if b"limits@openssh.com" in self.extensions:
            began = time.monotonic()
            with contextlib.suppress(SftpError):
                self._set_limits(await self._extended(b"limits@openssh.com"))
            self.round_trip = time.monotonic() - began

    def sample(self) -> Sample | None:
        """Return what its connection has used; None when it is closed.  For a thread: 0.1 ms."""
        stream = self._stream
        return None if stream is None or self.error is not None else stream.sample()

    def _set_limits(self, limits: Message) -> None:
        packet, _, write, handles = (limits.get_int64() for _ in range(4))
        self.max_write = min(write or max(packet - _WRITE_OVERHEAD, _MIN_WRITE), _MAX_WRITE)
        self.max_files = max(handles - _SPARE_FILES, _MIN_FILES)

    async def stat(self, path: str, *, follow_symlinks: bool = True) -> Attributes | None:
        """Return the attributes of a path; None if missing (section 6.8)."""
        kind = constants.CMD_STAT if follow_symlinks else constants.CMD_LSTAT
        try:
            return Attributes.unpack(await self.send(kind, pack_path(path)))
        except SftpError as error:
            if error.missing:
                return None
            raise

    async def set_attributes(self, path: str, attributes: Attributes) -> None:
        """Set mode or mtime of a path, symbolic links followed (section 6.9)."""
        await self.send(constants.CMD_SETSTAT, pack_path(path), attributes.pack())

    async def mkdir(self, path: str, mode: int) -> None:
        """Create a directory (section 6.6)."""
        values = Attributes(mode=mode).pack()
        await self.send(constants.CMD_MKDIR, pack_path(path), values, writing=True)

    async def rmdir(self, path: str) -> None:
        """Remove an empty directory (section 6.6)."""
        await self.send(constants.CMD_RMDIR, pack_path(path))

    async def remove(self, path: str) -> None:
        """Remove a file or a symbolic link (section 6.5)."""
        await self.send(constants.CMD_REMOVE, pack_path(path))

    async def remove_all(self, paths: Iterable[str]) -> None:
        """Send requests to remove files, wait for all responses, and ignore error statuses."""
        sending = [self.send(constants.CMD_REMOVE, pack_path(path)) for path in paths]
        for future in sending:
            with contextlib.suppress(SftpError):
                await future

    async def rename(self, old: str, new: str) -> None:
        """Rename a file; an existing ``new`` is replaced atomically (PROTOCOL 4.3)."""
        await self._extended(b"posix-rename@openssh.com", pack_path(old), pack_path(new))

    async def symlink(self, target: str, path: str) -> None:
        """Create a symbolic link at ``path`` (section 6.10)."""
        # OpenSSH has the arguments in the other order than the draft (PROTOCOL 4.1).
        await self.send(constants.CMD_SYMLINK, pack_path(target), pack_path(path))

    async def readlink(self, path: str) -> str:
        """Return the target of a symbolic link (section 6.10)."""
        message = await self.send(constants.CMD_READLINK, pack_path(path))
        message.get_int()  # the number of names, which is 1
        return os.fsdecode(message.get_string())

    async def realpath(self, path: str) -> str:
        """Return the absolute path without symbolic links, as OpenSSH does (section 6.11)."""
        return unpack_names(await self.send(constants.CMD_REALPATH, pack_path(path)))[0][0]

    async def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, without . and .. (section 6.7)."""
        return list(await self.scandir(path))

    async def scandir(self, path: str) -> dict[str, Attributes]:
        """Return the attributes of each name in a directory; those of a link are its own."""
        names: dict[str, Attributes] = {}
        opened = await self.send(constants.CMD_OPENDIR, pack_path(path))
        handle = pack_string(opened.get_string())
        try:
            while True:
                sending = [self.send(constants.CMD_READDIR, handle) for _ in range(_READDIRS)]
                before = len(names)
                for future in sending:
                    names.update(unpack_names(await future))
                if len(names) == before:  # the server does not tell the end, as it should
                    break
        except SftpError as error:
            if error.code != constants.SFTP_EOF:
                raise
        finally:
            self.send(constants.CMD_CLOSE, handle)
        return {name: found for name, found in names.items() if name not in (".", "..")}

    async def statvfs(self, path: str) -> os.statvfs_result | None:
        """Return the state of a path's file system (PROTOCOL 4.4), None for an error status."""
        try:
            message = await self._extended(b"statvfs@openssh.com", pack_path(path))
        except SftpError:
            return None
        if len(message.get_remainder()) < _STATVFS_BYTES:
            return None
        values = [message.get_int64() for _ in range(11)]
        values.append(values.pop(8))  # f_fsid, which Python has last
        return os.statvfs_result(values)

    async def touch(self, path: str) -> None:
        """Create an empty file; leave an existing one as it is."""
        (await self.open_file(path, 0o600)).close_quietly()

    async def open_file(self, path: str, mode: int | None = None) -> File:
        """Open a file for writing (section 6.3), not truncated; ``mode``: create it if missing."""
        create = 0 if mode is None else constants.SFTP_FLAG_CREATE
        return await self._open_file(path, constants.SFTP_FLAG_WRITE | create, mode)

    async def read(self, path: str, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield the content of a range of a file, in order."""
        async with await self._open_file(path, constants.SFTP_FLAG_READ) as file:
            async for data in file.chunks(offset, length, self.max_write):
                yield data

    async def _open_file(self, path: str, flags: int, mode: int | None = None) -> File:
        writing = flags != constants.SFTP_FLAG_READ
        arguments = (pack_path(path), flags.to_bytes(4), Attributes(mode=mode).pack())
        message = await self.send(constants.CMD_OPEN, *arguments, writing=writing)
        return File(self, pack_string(message.get_string()))

    async def _extended(self, name: bytes, *arguments: bytes) -> Message:
        return await self.send(constants.CMD_EXTENDED, pack_string(name), *arguments)
