"""Encodes and decodes the content of SFTP packets; this module does no input or output."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from paramiko import sftp as constants
from paramiko.message import Message
from paramiko.sftp_attr import SFTPAttributes

if TYPE_CHECKING:
    from collections.abc import Iterator

UINT32: Final = struct.Struct(">I")
HEADER: Final = struct.Struct(">IBI")  # length of what follows, packet type, request id
_MAX_PACKET: Final = 1024 * 1024  # bytes; what is longer is not SFTP
OFFSET_LENGTH: Final = struct.Struct(">QI")  # in READ and WRITE

_FAILURES: Final = (
    constants.SFTP_FAILURE,
    constants.SFTP_NO_CONNECTION,
    constants.SFTP_CONNECTION_LOST,
)
_WITHOUT_RESULT: Final = (
    constants.CMD_CLOSE,
    constants.CMD_WRITE,
    constants.CMD_SETSTAT,
    constants.CMD_FSETSTAT,
    constants.CMD_REMOVE,
    constants.CMD_MKDIR,
    constants.CMD_RMDIR,
    constants.CMD_RENAME,
    constants.CMD_SYMLINK,
)
_EXTENSIONS_WITHOUT_RESULT: Final = (
    b"\0\0\0\x18posix-rename@openssh.com",
    b"\0\0\0\x11fsync@openssh.com",
)


class SftpError(Exception):
    """The server responded with a status other than OK; the text is the server's.

    ``writing`` is true when the request was to create or write a file, or to create a directory.
    """

    def __init__(self, code: int, text: str, *, writing: bool = False) -> None:
        """``code`` is the SSH_FX_ status code (section 7)."""
        super().__init__(text)
        self.code = code
        self.writing = writing

    @property
    def missing(self) -> bool:
        """Whether the status is "no such file": the path, or a directory of it, does not exist."""
        return self.code == constants.SFTP_NO_SUCH_FILE

    @property
    def failed(self) -> bool:
        """Whether the status does not tell what went wrong."""
        return self.code in _FAILURES

    @property
    def denied(self) -> bool:
        """Whether the status is "permission denied"."""
        return self.code == constants.SFTP_PERMISSION_DENIED


class Attributes(NamedTuple):
    """Attributes of a file: ``size`` in bytes, ``mtime`` and ``atime`` in whole seconds since 1970.

    None means that the server did not send the attribute, or that it is not to be changed; but
    ``atime`` is changed with ``mtime``, to the same time if it is None.
    """

    size: int | None = None
    mode: int | None = None
    mtime: int | None = None
    atime: int | None = None

    def pack(self) -> bytes:
        """Return the attributes that are set as ATTRS (section 5)."""
        flags, size, values = 0, b"", []
        if self.size is not None:
            flags |= SFTPAttributes.FLAG_SIZE
            size = self.size.to_bytes(8)
        if self.mode is not None:
            flags |= SFTPAttributes.FLAG_PERMISSIONS
            values.append(self.mode)
        if self.mtime is not None:
            flags |= SFTPAttributes.FLAG_AMTIME
            values += [self.mtime if self.atime is None else self.atime, self.mtime]
        return UINT32.pack(flags) + size + struct.pack(f">{len(values)}I", *values)

    @classmethod
    def unpack(cls, message: Message) -> Self:
        """Read ATTRS (section 5) from a message; the owner is dropped."""
        flags, atime, mtime = message.get_int(), None, None
        size = message.get_int64() if flags & SFTPAttributes.FLAG_SIZE else None
        if flags & SFTPAttributes.FLAG_UIDGID:
            message.get_int64()
        mode = message.get_int() if flags & SFTPAttributes.FLAG_PERMISSIONS else None
        if flags & SFTPAttributes.FLAG_AMTIME:
            atime, mtime = message.get_int(), message.get_int()
        return cls(size, mode, mtime, atime)


def has_result(kind: int, *arguments: bytes) -> bool:
    """Return whether the response to a request may be another packet than STATUS (section 7)."""
    if kind == constants.CMD_EXTENDED:
        return arguments[0] not in _EXTENSIONS_WITHOUT_RESULT
    return kind not in _WITHOUT_RESULT


def parse_response(kind: int, body: bytes, *, result: bool, writing: bool) -> Message | SftpError:
    """Return what follows the request id of a response; SftpError for a status other than OK.

    Without ``result``, any other packet than STATUS is an error, too.
    """
    message = Message(body)
    if kind != constants.CMD_STATUS and not result:
        text = f"answered by a packet of type {kind}"
        return SftpError(constants.SFTP_BAD_MESSAGE, text, writing=writing)
    if kind == constants.CMD_STATUS and (code := message.get_int()) != constants.SFTP_OK:
        text = message.get_string().decode(errors="replace")
        return SftpError(code, text or f"status {code}", writing=writing)
    return message


def take_packets(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Yield packet type, request id and the rest of each whole packet, and remove it.

    Raises ValueError for a length that no packet has.
    """
    begin, end = 0, len(buffer)
    try:
        while end - begin >= UINT32.size:
            (length,) = UINT32.unpack_from(buffer, begin)
            if not HEADER.size - UINT32.size <= length <= _MAX_PACKET:
                raise ValueError(f"a packet of {length} bytes")
            after = begin + UINT32.size + length
            if after > end:
                return
            _, kind, request_id = HEADER.unpack_from(buffer, begin)
            body = bytes(buffer[begin + HEADER.size : after])
            begin = after
            yield kind, request_id, body
    finally:
        del buffer[:begin]


def pack_string(content: bytes) -> bytes:
    """Return an SFTP string: the length and the content."""
    return UINT32.pack(len(content)) + content


def pack_path(path: str) -> bytes:
    """Return a path as an SFTP string; lone surrogates become the bytes that they stand for."""
    return pack_string(os.fsencode(path))


def unpack_names(message: Message) -> list[tuple[str, Attributes]]:
    """Return names and their attributes in an SSH_FXP_NAME response (section 7)."""
    names = []
    most = len(message.asbytes()) // 12  # bytes of a name at least, whatever the server counts
    for _ in range(min(message.get_int(), most)):
        name = os.fsdecode(message.get_string())
        message.get_string()  # the same as a line of "ls -l"
        names.append((name, Attributes.unpack(message)))
    return names
