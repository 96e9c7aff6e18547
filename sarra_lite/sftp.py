"""Files and names at an SFTP server.

One thread uses a connection; ``abort`` alone may come from another.  Paths are text with bytes that
are no UTF-8 as lone surrogates.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from paramiko import sftp as names

from sarra_lite.errors import ConfigError, DestinationDown
from sarra_lite.sftpwire import (
    Attributes,
    Packed,
    Refused,
    Wire,
    encoded,
    halves,
    packed,
    unpacked,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from paramiko.message import Message

    from sarra_lite.ssh import Target

__all__ = ["Attributes", "Connection", "File", "Refused", "Space"]

_WINDOW: Final = 64  # requests under way at once; 16 are enough in a LAN, the rest is for the WAN
_READ_AHEAD: Final = 16  # reads under way at once
_HEADER: Final = 1024  # bytes of a WRITE that are not data, generously
_LEAST_WRITE: Final = 32768  # bytes that every server must take in a WRITE
_READ_ONLY: Final = 1  # statvfs@openssh.com, f_flag


class Space(NamedTuple):
    """Room on a file system: bytes and names that we may still use."""

    bytes: int
    names: int
    read_only: bool


class Connection:
    """A connection to the SFTP server; every method waits for the answer, but for ``write``."""

    def __init__(self, target: Target) -> None:
        """Nothing is connected yet."""
        self.most_write = _LEAST_WRITE
        self._wire = Wire(target)

    def open(self) -> None:
        """Connect, log in, and learn what the server can do."""
        extensions = self._wire.open()
        if b"posix-rename@openssh.com" not in extensions:
            raise ConfigError(
                f"{self._wire.target.endpoint}: its SFTP server cannot replace a file by renaming"
                " (no posix-rename@openssh.com); OpenSSH's can"
            )
        if b"limits@openssh.com" in extensions:
            limits = self._wire.ask(names.CMD_EXTENDED, b"limits@openssh.com")
            packet, _, write = (limits.get_int64() for _ in range(3))
            self.most_write = write or max(packet - _HEADER, _LEAST_WRITE)

    def close(self) -> None:
        """End the connection."""
        self._wire.close()

    def abort(self) -> None:
        """Wake the thread that uses this connection with an error."""
        self._wire.abort()

    # Names.

    def stat(self, path: str) -> Attributes | None:
        """Attributes of what a path leads to; None when there is nothing."""
        return self._attributes_of(names.CMD_STAT, path)

    def lstat(self, path: str) -> Attributes | None:
        """Attributes of a name itself, a symbolic link not followed; None when there is none."""
        return self._attributes_of(names.CMD_LSTAT, path)

    def set(self, path: str, attributes: Attributes) -> None:
        """Set mode or mtime of what a path leads to."""
        self._wire.ask(names.CMD_SETSTAT, encoded(path), packed(attributes))

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        self._wire.ask(names.CMD_MKDIR, encoded(path), packed(Attributes(mode=mode)))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._wire.ask(names.CMD_RMDIR, encoded(path))

    def remove(self, path: str) -> None:
        """Remove a file or link."""
        self._wire.ask(names.CMD_REMOVE, encoded(path))

    def remove_all(self, paths: Iterable[str]) -> None:
        """Remove files, many at once; those that are gone already do not matter."""
        waiting: deque[int] = deque()
        for path in paths:
            waiting.append(self._wire.send(names.CMD_REMOVE, encoded(path)))
            if len(waiting) >= _WINDOW:
                self._wire.settle(waiting.popleft())
        while waiting:
            self._wire.settle(waiting.popleft())

    def rename(self, old: str, new: str) -> None:
        """Give a name to a file, replacing atomically what had that name."""
        self._wire.ask(names.CMD_EXTENDED, b"posix-rename@openssh.com", encoded(old), encoded(new))

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link at ``path``."""
        # OpenSSH has the two the other way round than the draft (PROTOCOL, 4.1).
        self._wire.ask(names.CMD_SYMLINK, encoded(target), encoded(path))

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points."""
        answer = self._wire.ask(names.CMD_READLINK, encoded(path))
        answer.get_int()
        return os.fsdecode(answer.get_string())

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, without . and .."""
        found: list[str] = []
        handle = self._handle(names.CMD_OPENDIR, encoded(path))
        try:
            while True:
                answer = self._wire.ask(names.CMD_READDIR, handle)
                for _ in range(answer.get_int()):
                    found.append(os.fsdecode(answer.get_string()))
                    answer.get_string()
                    unpacked(answer)
        except Refused as status:
            if status.code != names.SFTP_EOF:
                raise
        finally:
            self._wire.ask(names.CMD_CLOSE, handle)
        return [name for name in found if name not in (".", "..")]

    def space(self, path: str) -> Space | None:
        """Room where a path is; None when the server cannot tell."""
        try:
            answer = self._wire.ask(
                names.CMD_EXTENDED, b"statvfs@openssh.com", encoded(path or ".")
            )
        except Refused:
            return None
        _, unit, _, _, free, _, _, free_names, _, flags, _ = (answer.get_int64() for _ in range(11))
        return Space(free * unit, free_names, bool(flags & _READ_ONLY))

    def touch(self, path: str) -> None:
        """Make an empty file, or leave it as it is."""
        self.create(path, 0o600).close()

    # Content.

    def create(self, path: str, mode: int) -> File:
        """Open a file for writing, made when it is not there, and never truncated."""
        flags = names.SFTP_FLAG_WRITE | names.SFTP_FLAG_CREATE
        attributes = packed(Attributes(mode=mode))
        return File(
            self._wire,
            self._handle(names.CMD_OPEN, encoded(path), flags, attributes),
            self.most_write,
        )

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the content of a file, in order."""
        request = (encoded(path), names.SFTP_FLAG_READ, packed(Attributes()))
        with File(self._wire, self._handle(names.CMD_OPEN, *request), self.most_write) as file:
            yield from file.chunks()

    def _attributes_of(self, kind: int, path: str) -> Attributes | None:
        try:
            return unpacked(self._wire.ask(kind, encoded(path)))
        except Refused as status:
            if status.missing:
                return None
            raise

    def _handle(self, kind: int, *arguments: bytes | int | Packed) -> bytes:
        return self._wire.ask(kind, *arguments).get_string()


class File:
    """An open file at the destination."""

    def __init__(self, wire: Wire, handle: bytes, most: int) -> None:
        """``handle`` is the server's name for it, ``most`` the bytes to ask for at once."""
        self._wire = wire
        self._most = most
        self._handle = handle
        self._waiting: deque[tuple[int, int]] = deque()
        self._open = True

    def __enter__(self) -> Self:
        """Nothing to do: it is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; after an error, whatever the server says to it."""
        if error is None:
            self.close()
        elif self._open and not isinstance(error, DestinationDown):
            with contextlib.suppress(Refused, DestinationDown):
                self.abandon()

    def write(self, offset: int, data: bytes | memoryview) -> int:
        """Send data; return the number of bytes, of this and earlier calls, now known written.

        Refused, as soon as it is known, when the server could not write.
        """
        number = self._wire.send(
            names.CMD_WRITE, self._handle, *halves(offset), len(data), data=data
        )
        self._waiting.append((number, len(data)))
        written = 0
        while len(self._waiting) >= _WINDOW:
            written += self._written()
        return written

    def flush(self) -> int:
        """Wait until all is written; return the bytes now known written, not told before."""
        written = 0
        while self._waiting:
            written += self._written()
        return written

    def stat(self) -> Attributes:
        """Return the attributes of the open file."""
        answer = self._ask(names.CMD_FSTAT)
        return unpacked(answer)

    def set(self, attributes: Attributes) -> None:
        """Set mode or mtime."""
        self._ask(names.CMD_FSETSTAT, packed(attributes))

    def close(self) -> None:
        """Wait until all is written, then close; Refused when either fails.  Once is enough."""
        if not self._open:
            return
        self.flush()
        self._open = False
        self._ask(names.CMD_CLOSE)

    def abandon(self) -> None:
        """Close without asking how the writes ended."""
        self._open = False
        while self._waiting:
            self._wire.settle(self._waiting.popleft()[0])
        self._ask(names.CMD_CLOSE)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, in order, with reads under way ahead."""
        size = self.stat().size or 0
        step = self._most
        offsets = iter(range(0, size, step))
        waiting: deque[int] = deque()
        try:
            while True:
                while len(waiting) < _READ_AHEAD and (offset := next(offsets, None)) is not None:
                    waiting.append(self._read(offset, min(step, size - offset)))
                if not waiting:
                    return
                answer = self._wire.answer(waiting.popleft())
                yield answer.get_string()
        finally:
            while waiting:
                self._wire.settle(waiting.popleft())

    def _read(self, offset: int, count: int) -> int:
        return self._wire.send(names.CMD_READ, self._handle, *halves(offset), count)

    def _ask(self, kind: int, *arguments: Packed) -> Message:
        return self._wire.ask(kind, self._handle, *arguments)

    def _written(self) -> int:
        number, count = self._waiting.popleft()
        self._wire.answer(number)
        return count
