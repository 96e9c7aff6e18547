"""Uploads a small file, with one WRITE, as a state machine: no task and no future for a request.

A coroutine that awaits each response costs several times as much processor time as the responses
of a small file themselves (decision 0017).  Anything but the usual course ends the upload without a
result: the caller then starts it again with ``SftpClient`` and gets the errors there.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from paramiko import sftp as constants
from paramiko.message import Message
from paramiko.sftp_attr import SFTPAttributes

from sarra_lite.sftp import packets
from sarra_lite.sftp.packets import UINT32, Attributes, pack_path, pack_string

if TYPE_CHECKING:
    from collections.abc import Callable

_STAT, _OPEN, _WRITE, _FSTAT, _FSETSTAT, _CLOSE, _RENAME = range(7)
_UINT64: Final = struct.Struct(">Q")
# Write and create, not truncate; mode of the staging file.
_OPEN_ARGUMENTS: Final = struct.pack(
    ">III",
    constants.SFTP_FLAG_WRITE | constants.SFTP_FLAG_CREATE,
    SFTPAttributes.FLAG_PERMISSIONS,
    0o600,
)
_POSIX_RENAME: Final = pack_string(b"posix-rename@openssh.com")


class End(Enum):
    """How an upload ended: UNUSUAL and NO_DIRECTORY are without a result."""

    UPLOADED = 0
    UNUSUAL = 1
    NO_DIRECTORY = 2


@dataclass(slots=True, eq=False)
class SmallFile:
    """One upload: STAT, OPEN, then WRITE, FSTAT, FSETSTAT and CLOSE at once, then a rename.

    ``on_end`` is called with an End, or with what ended the session.  ``unless_mtime``: end
    without a result if a file of this time and size exists already.  ``is_current`` is asked just
    before the rename whether to do it.
    """

    staging: str
    path: str
    content: bytes | memoryview
    attributes: Attributes
    unless_mtime: int | None
    on_end: Callable[[End | BaseException], None]
    is_current: Callable[[], bool] = lambda: True
    _first_id: int = field(default=0, init=False)
    _send: Callable[..., None] = field(init=False)
    _left: int = field(default=4, init=False)  # responses due before the rename
    _ok: bool = field(default=True, init=False)

    def start(self, first_id: int, send: Callable[..., None]) -> None:
        """Begin; the requests have the eight ids from ``first_id`` on."""
        self._first_id = first_id
        self._send = send
        if self.unless_mtime is None:
            self._open()
        else:
            send(self._request(_STAT, constants.CMD_STAT, pack_path(self.path)))

    def respond(self, step: int, kind: int, body: bytes) -> bool:
        """Handle the response to a request; return whether the upload has ended."""
        code = UINT32.unpack_from(body)[0] if kind == constants.CMD_STATUS else -1
        if step == _STAT and (code == constants.SFTP_NO_SUCH_FILE or self._differs(kind, body)):
            self._open()
            return False
        if step == _OPEN and kind == constants.CMD_HANDLE:
            self._write(body)
            return False
        if _OPEN < step < _RENAME:
            if step == _FSTAT:
                self._ok &= kind == constants.CMD_ATTRS and _size(body) == len(self.content)
            else:
                self._ok &= code == constants.SFTP_OK
            self._left -= 1
            if self._left:
                return False
            if self._ok and self.is_current():
                names = _POSIX_RENAME + pack_path(self.staging) + pack_path(self.path)
                self._send(self._request(_RENAME, constants.CMD_EXTENDED, names))
                return False
        if step == _OPEN and code == constants.SFTP_NO_SUCH_FILE:
            self.on_end(End.NO_DIRECTORY)
        else:
            uploaded = step == _RENAME and code == constants.SFTP_OK
            self.on_end(End.UPLOADED if uploaded else End.UNUSUAL)
        return True

    def _open(self) -> None:
        arguments = pack_path(self.staging) + _OPEN_ARGUMENTS
        self._send(self._request(_OPEN, constants.CMD_OPEN, arguments))

    def _write(self, handle: bytes) -> None:
        size = len(self.content)
        arguments = handle + packets.OFFSET_LENGTH.pack(0, size)
        self._send(
            self._request(_WRITE, constants.CMD_WRITE, arguments, size),
            self.content,
            self._request(_FSTAT, constants.CMD_FSTAT, handle)
            + self._request(_FSETSTAT, constants.CMD_FSETSTAT, handle + self.attributes.pack())
            + self._request(_CLOSE, constants.CMD_CLOSE, handle),
        )

    def _request(self, step: int, kind: int, arguments: bytes, data_size: int = 0) -> bytes:
        """Return a request; ``data_size`` bytes of data are sent after it."""
        length = 5 + len(arguments) + data_size
        return packets.HEADER.pack(length, kind, self._first_id + step) + arguments

    def _differs(self, kind: int, body: bytes) -> bool:
        """Return whether a regular file exists that is another one for certain."""
        found = Attributes.unpack(Message(body)) if kind == constants.CMD_ATTRS else Attributes()
        expected = (len(self.content), self.unless_mtime)
        return stat.S_ISREG(found.mode or 0) and (found.size, found.mtime) != expected


def _size(body: bytes) -> int | None:
    """Return the size in ATTRS (section 5), where it is the first value."""
    (flags,) = UINT32.unpack_from(body)
    return int(_UINT64.unpack_from(body, 4)[0]) if flags & SFTPAttributes.FLAG_SIZE else None
