"""Requests to an SFTP server and its answers, many under way at once.

draft-ietf-secsh-filexfer-02 (version 3), and OpenSSH's PROTOCOL.  One thread uses a wire; ``abort``
alone may come from another.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from paramiko import sftp as names
from paramiko.message import Message

from sarra_lite import ssh
from sarra_lite.errors import DestinationDown

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION: Final = 3
_SIZE: Final = 1
_OWNER: Final = 2
_MODE: Final = 4
_TIMES: Final = 8
_ANSWERS_AT_ONCE: Final = 256 * 1024
_MOST: Final = 1024 * 1024  # bytes of an answer; longer ones are none


class Refused(Exception):
    """The server answered with a status other than OK."""

    def __init__(self, code: int, text: str) -> None:
        """``code`` is SSH_FX_…, see section 7 of the draft."""
        super().__init__(text)
        self.code = code

    @property
    def missing(self) -> bool:
        """There is no such file or directory."""
        return self.code == names.SFTP_NO_SUCH_FILE


class Attributes(NamedTuple):
    """What is known of, or to be set on, a file; times in whole seconds."""

    size: int | None = None
    mode: int | None = None
    mtime: int | None = None


class Wire:
    """Numbered requests on one stream, and the answers to them."""

    def __init__(self, target: ssh.Target) -> None:
        """Nothing is connected yet."""
        self.target = target
        self._stream: ssh.Stream | None = None
        self._aborted = False
        self._number = 0
        self._buffer = bytearray()
        self._answers: dict[int, tuple[int, Message]] = {}

    def open(self) -> dict[bytes, bytes]:
        """Connect, log in, and return the extensions that the server has."""
        self._stream = ssh.connect(self.target)
        if self._aborted:
            self._stream.close()
        self._write_all(struct.pack(">IBI", 5, names.CMD_INIT, _VERSION))
        kind, answer = self._read_packet()
        if kind != names.CMD_VERSION:
            raise DestinationDown(f"{self.target.endpoint}: no SFTP server answers")
        answer.get_int()
        return dict(_pairs(answer))

    def close(self) -> None:
        """End the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def abort(self) -> None:
        """Wake the thread that uses this wire with an error."""
        self._aborted = True
        if (stream := self._stream) is not None:
            stream.close()

    def ask(self, kind: int, *arguments: bytes | int | Packed) -> Message:
        """Send a request and wait for its answer."""
        return self.answer(self.send(kind, *arguments))

    def settle(self, number: int) -> None:
        """Wait for an answer that does not matter."""
        with contextlib.suppress(Refused):
            self.answer(number)

    def send(
        self, kind: int, *arguments: bytes | int | Packed, data: bytes | memoryview = b""
    ) -> int:
        """Send a request and return its number; ``data`` goes after it, not copied."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        message = Message()
        message.add_int(self._number)
        for argument in arguments:
            if isinstance(argument, Packed):
                message.add_bytes(argument)
            elif isinstance(argument, bytes):
                message.add_string(argument)
            else:
                message.add_int(argument)
        body = message.asbytes()
        head = struct.pack(">IB", 1 + len(body) + len(data), kind)
        self._write_all(head + body, data)
        return self._number

    def answer(self, number: int) -> Message:
        """Wait for the answer to a request; Refused when it is a status other than OK."""
        while number not in self._answers:
            kind, message = self._read_packet()
            self._answers[message.get_int()] = (kind, message)
        kind, message = self._answers.pop(number)
        if kind == names.CMD_STATUS:
            code = message.get_int()
            if code != names.SFTP_OK:
                raise Refused(code, message.get_text() or f"status {code}")
        return message

    def _write_all(self, *parts: bytes | memoryview) -> None:
        stream = self._connected()
        try:
            stream.send(*[part for part in parts if part])
        except (OSError, EOFError) as error:
            raise self._gone(error) from None

    def _read_packet(self) -> tuple[int, Message]:
        length = int.from_bytes(self._read(4), "big")
        if not 0 < length <= _MOST:
            raise DestinationDown(f"{self.target.endpoint}: no SFTP server answers")
        packet = self._read(length)
        return packet[0], Message(packet[1:])

    def _read(self, count: int) -> bytes:
        stream = self._connected()
        while len(self._buffer) < count:
            try:
                got = stream.receive(_ANSWERS_AT_ONCE)
            except (OSError, EOFError) as error:
                raise self._gone(error) from None
            if not got:
                raise self._gone(EOFError())
            self._buffer += got
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _connected(self) -> ssh.Stream:
        if self._stream is None:
            raise DestinationDown(f"{self.target.endpoint}: not connected")
        return self._stream

    def _gone(self, error: Exception) -> Exception:
        """Why the connection cannot be used any more."""
        if isinstance(error, TimeoutError):
            return DestinationDown(
                f"{self.target.endpoint}: no answer for {self.target.timeout:.0f} s"
            )
        return self._connected().why_ended()


class Packed(bytes):
    """Bytes that go into a request as they are."""


def halves(offset: int) -> tuple[int, int]:
    """Return the two 32-bit halves of a 64-bit number."""
    return offset >> 32, offset & 0xFFFFFFFF


def encoded(path: str) -> bytes:
    """Return the bytes of a path."""
    return os.fsencode(path)


def packed(attributes: Attributes) -> Packed:
    """Return attributes as section 5 of the draft has them."""
    message = Message()
    flags = 0
    if attributes.mode is not None:
        flags |= _MODE
    if attributes.mtime is not None:
        flags |= _TIMES
    message.add_int(flags)
    if attributes.mode is not None:
        message.add_int(attributes.mode)
    if attributes.mtime is not None:
        message.add_int(attributes.mtime)  # atime comes with it
        message.add_int(attributes.mtime)
    return Packed(message.asbytes())


def unpacked(message: Message) -> Attributes:
    """Read attributes, see ``packed``."""
    flags = message.get_int()
    size = message.get_int64() if flags & _SIZE else None
    if flags & _OWNER:
        message.get_int64()
    mode = message.get_int() if flags & _MODE else None
    times = (message.get_int(), message.get_int()) if flags & _TIMES else None
    return Attributes(size, mode, times[1] if times else None)


def _pairs(message: Message) -> Iterator[tuple[bytes, bytes]]:
    while message.get_remainder():
        yield message.get_string(), message.get_string()
