"""A disk in memory behind scripted SFTP servers, with open files that outlive their names.

Each ``Connection`` to a ``Disk`` is a script for ``scripted.Scripted``; it answers as OpenSSH's
server does.  ``Stepped`` is a server that does one request after the other, when the test lets it.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paramiko import sftp as constants
from paramiko.message import Message
from paramiko.sftp_attr import SFTPAttributes

from sarra_lite.sftp.packets import Attributes, pack_string
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from tests.lab.scripted import Request

_DIRECTORY = 0o040000
_FILE = 0o100000


@dataclass(eq=False)
class Node:
    """A file or directory, whatever its names are."""

    mode: int
    mtime: int
    content: bytearray = field(default_factory=bytearray)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return bool(self.mode & _DIRECTORY)


class Disk:
    """Names and nodes; ``now`` is the server's clock, in seconds."""

    def __init__(self) -> None:
        """Begin with an empty directory."""
        self.nodes: dict[bytes, Node] = {}
        self.now = 2_000_000_000

    def below(self, path: bytes) -> list[bytes]:
        """Return the paths below a directory."""
        return [name for name in self.nodes if name.startswith(path + b"/")]

    def rename(self, old: bytes, new: bytes) -> int:
        """Give another name to a file or directory; return a status."""
        if old not in self.nodes:
            return constants.SFTP_NO_SUCH_FILE
        target = self.nodes.get(new)
        if target is not None and (target.is_directory and self.below(new)):
            return constants.SFTP_FAILURE
        for path in [old, *self.below(old)]:
            self.nodes[new + path[len(old) :]] = self.nodes.pop(path)
        return constants.SFTP_OK

    def remove(self, path: bytes, *, directory: bool) -> int:
        """Remove a file or an empty directory; return a status."""
        if path not in self.nodes:
            return constants.SFTP_NO_SUCH_FILE
        if self.nodes[path].is_directory is not directory or self.below(path):
            return constants.SFTP_FAILURE
        del self.nodes[path]
        return constants.SFTP_OK

    def mkdir(self, path: bytes, mode: int) -> int:
        """Create a directory; return a status."""
        parent = path.rpartition(b"/")[0]
        if parent and parent not in self.nodes:
            return constants.SFTP_NO_SUCH_FILE
        if path in self.nodes:
            return constants.SFTP_FAILURE
        self.nodes[path] = Node(_DIRECTORY | mode, self.now)
        return constants.SFTP_OK


class Connection:
    """The server's side of one connection: its open files and directories."""

    def __init__(self, disk: Disk) -> None:
        """Begin without open files."""
        self.disk = disk
        self._files: dict[bytes, Node] = {}
        self._listings: dict[bytes, list[bytes]] = {}
        self._opened = 0

    def __call__(self, request: Request) -> bytes:
        """Return the response to a request."""
        kind, argument = request.kind, request.string()
        if kind in (constants.CMD_STAT, constants.CMD_LSTAT):
            return self._attributes(request, self.disk.nodes.get(argument))
        if kind == constants.CMD_OPEN:
            return self._open(request, argument)
        if kind == constants.CMD_OPENDIR:
            return self._open_directory(request, argument)
        if kind == constants.CMD_READDIR:
            return self._list(request, argument)
        if argument in self._files or argument in self._listings:
            return self._on_handle(request, argument)
        return request.status(self._on_path(request, argument))

    def _handle(self) -> bytes:
        self._opened += 1
        return b"handle %d" % self._opened

    def _open(self, request: Request, path: bytes) -> bytes:
        (flags,) = struct.unpack_from(">I", request.rest)
        mode = Attributes.unpack(Message(request.rest[4:])).mode
        node, parent = self.disk.nodes.get(path), path.rpartition(b"/")[0]
        if node is None:
            if (parent and parent not in self.disk.nodes) or not flags & constants.SFTP_FLAG_CREATE:
                return request.status(constants.SFTP_NO_SUCH_FILE)
            node = self.disk.nodes[path] = Node(_FILE | (mode or 0o666), self.disk.now)
        elif flags & constants.SFTP_FLAG_WRITE and not node.mode & 0o200:
            return request.status(constants.SFTP_PERMISSION_DENIED)
        handle = self._handle()
        self._files[handle] = node
        return request.answer(constants.CMD_HANDLE, pack_string(handle))

    def _open_directory(self, request: Request, path: bytes) -> bytes:
        if path not in self.disk.nodes:
            return request.status(constants.SFTP_NO_SUCH_FILE)
        handle = self._handle()
        self._listings[handle] = [name.rpartition(b"/")[2] for name in self.disk.below(path)]
        return request.answer(constants.CMD_HANDLE, pack_string(handle))

    def _list(self, request: Request, handle: bytes) -> bytes:
        names, self._listings[handle] = self._listings[handle], []
        if not names:
            return request.status(constants.SFTP_EOF)
        entry = b"".join(pack_string(name) + pack_string(b"") + bytes(4) for name in names)
        return request.answer(constants.CMD_NAME, struct.pack(">I", len(names)) + entry)

    def _on_handle(self, request: Request, handle: bytes) -> bytes:
        node = self._files.get(handle)
        if request.kind == constants.CMD_CLOSE:
            self._files.pop(handle, None)
            self._listings.pop(handle, None)
            return request.status()
        assert node is not None
        if request.kind == constants.CMD_FSTAT:
            return self._attributes(request, node)
        if request.kind == constants.CMD_READ:
            offset, count = struct.unpack_from(">QI", request.rest)
            data = bytes(node.content[offset : offset + count])
            return request.answer(constants.CMD_DATA, pack_string(data))
        if request.kind == constants.CMD_WRITE:
            (offset,) = struct.unpack_from(">Q", request.rest)
            request.rest = request.rest[8:]
            data = request.string()
            node.content.extend(bytes(max(0, offset + len(data) - len(node.content))))
            node.content[offset : offset + len(data)] = data
            node.mtime = self.disk.now
        elif request.kind == constants.CMD_FSETSTAT:
            _change(node, request)
        return request.status()

    def _on_path(self, request: Request, argument: bytes) -> int:
        disk, kind = self.disk, request.kind
        if kind == constants.CMD_EXTENDED and argument == b"posix-rename@openssh.com":
            return disk.rename(request.string(), request.string())
        if kind in (constants.CMD_REMOVE, constants.CMD_RMDIR):
            return disk.remove(argument, directory=kind == constants.CMD_RMDIR)
        if kind == constants.CMD_MKDIR:
            return disk.mkdir(argument, Attributes.unpack(Message(request.rest)).mode or 0o777)
        if kind == constants.CMD_SETSTAT:
            if argument not in disk.nodes:
                return constants.SFTP_NO_SUCH_FILE
            _change(disk.nodes[argument], request)
            return constants.SFTP_OK
        return constants.SFTP_OP_UNSUPPORTED

    @staticmethod
    def _attributes(request: Request, node: Node | None) -> bytes:
        if node is None:
            return request.status(constants.SFTP_NO_SUCH_FILE)
        flags = (
            SFTPAttributes.FLAG_SIZE | SFTPAttributes.FLAG_PERMISSIONS | SFTPAttributes.FLAG_AMTIME
        )
        body = struct.pack(">IQIII", flags, len(node.content), node.mode, node.mtime, node.mtime)
        return request.answer(constants.CMD_ATTRS, body)


class Stepped(Scripted):
    """A server that carries out a request only when ``step`` lets it.

    ``waiting``: the request that is next.  ``free``: it carries out all.
    """

    def __init__(self, disk: Disk) -> None:
        """Start serving."""
        self._allowed = asyncio.Semaphore(0)
        self.free = False
        self.waiting: bytes | None = None
        super().__init__(Connection(disk))

    def step(self) -> None:
        """Let it carry out one more request."""
        self._allowed.release()

    async def _handle(self, packet: bytes) -> None:
        if packet[0] != constants.CMD_INIT and not self.free:
            self.waiting = packet
            await self._allowed.acquire()
            self.waiting = None
        await super()._handle(packet)


def _change(node: Node, request: Request) -> None:
    new = Attributes.unpack(Message(request.rest))
    if new.size is not None:
        node.content[new.size :] = bytes(max(0, new.size - len(node.content)))
    if new.mode is not None:
        node.mode = node.mode & ~0o7777 | new.mode
    if new.mtime is not None:
        node.mtime = new.mtime
