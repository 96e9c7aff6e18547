"""Packets of the SFTP protocol, and what is in them.  Pure.

draft-ietf-secsh-filexfer-02 (version 3), and OpenSSH's PROTOCOL.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from paramiko import sftp as names
from paramiko.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE: Final = 1
_OWNER: Final = 2
_MODE: Final = 4
_TIMES: Final = 8
_LENGTH: Final = struct.Struct(">I")


class SftpError(Exception):
    """The server answered with a status other than OK.

    ``writing``: it was asked to make or write a file.
    """

    def __init__(self, code: int, text: str, *, writing: bool = False) -> None:
        """``code`` is SSH_FX_…, see section 7 of the draft."""
        super().__init__(text)
        self.code = code
        self.writing = writing

    @property
    def missing(self) -> bool:
        """There is no such file or directory."""
        return self.code == names.SFTP_NO_SUCH_FILE


class Attributes(NamedTuple):
    """What is known of, or to be set on, a file; times in whole seconds."""

    size: int | None = None
    mode: int | None = None
    mtime: int | None = None


class Response(NamedTuple):
    """What came for a request, not looked at yet."""

    kind: int
    body: bytes


def parse_response(answer: Response, *, writing: bool = False) -> Message:
    """Return what an answer says; Refused when it is a status other than OK."""
    if answer.kind != names.CMD_STATUS:
        return Message(answer.body)
    (code,) = _LENGTH.unpack_from(answer.body)
    message = Message(answer.body)
    if code != names.SFTP_OK:
        message.get_int()
        raise SftpError(code, message.get_text() or f"status {code}", writing=writing)
    return message


def pack_string(content: bytes) -> bytes:
    """Return a string as a request has it, its length first."""
    return _LENGTH.pack(len(content)) + content


def pack_path(path: str) -> bytes:
    """Return a path as a request has it."""
    return pack_string(os.fsencode(path))


def pack_attributes(attributes: Attributes) -> bytes:
    """Return attributes as section 5 of the draft has them."""
    flags, values = 0, []
    if attributes.mode is not None:
        flags |= _MODE
        values.append(attributes.mode)
    if attributes.mtime is not None:
        flags |= _TIMES
        values += [attributes.mtime, attributes.mtime]  # atime comes with it
    return struct.pack(f">{1 + len(values)}I", flags, *values)


def unpack_attributes(message: Message) -> Attributes:
    """Read attributes, see ``packed``."""
    flags = message.get_int()
    size = message.get_int64() if flags & _SIZE else None
    if flags & _OWNER:
        message.get_int64()
    mode = message.get_int() if flags & _MODE else None
    times = (message.get_int(), message.get_int()) if flags & _TIMES else None
    return Attributes(size, mode, times[1] if times else None)


def unpack_pairs(message: Message) -> Iterator[tuple[bytes, bytes]]:
    """Read pairs of strings until the end."""
    while message.get_remainder():
        yield message.get_string(), message.get_string()
