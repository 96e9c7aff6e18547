"""The announced file on this host: reads fail as soon as it is another version.

Size and modification time are compared with the announcement after each read, so that no content
of another version is reported as sent; see also ``with_content``.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self, TypeVar

from sarra_lite.errors import SourceUnavailable
from sarra_lite.sftp.sendfile import FileRange, OpenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sarra_lite.messages.v03 import Announcement

_Content = TypeVar("_Content", bytes, memoryview)

# sr3 writes times from floating-point numbers, and loses digits of a fraction below 100 µs, which
# it writes with an exponent (units.nanoseconds).
_TOLERANCE = 1000  # ns
_TOLERANCE_EXPONENT = 100_000  # ns


class Source:
    """The announced version of a local file, open for reading."""

    def __init__(self, path: str, announcement: Announcement) -> None:
        """Open a file.

        Raises SourceUnavailable 410 when it is gone or another version, 403 when not readable.
        """
        self._announced = announcement
        try:
            self._file = OpenFile(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            raise SourceUnavailable(410, "gone at the source") from None
        except OSError as error:
            raise SourceUnavailable(403, f"cannot be read: {error.strerror}") from None
        self.check()
        self.size = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the file; it stays open while ranges of it wait to be sent."""
        del self._file

    @property
    def _fd(self) -> int:
        return self._file.number

    @property
    def mtime_ns(self) -> int:
        """Modification time in nanoseconds since 1970."""
        return os.fstat(self._fd).st_mtime_ns

    def chunks(self, offset: int, length: int, step: int) -> Iterator[tuple[int, bytes]]:
        """Yield offset and content of a byte range, at most ``step`` bytes at once.

        Raises SourceUnavailable 410 as soon as the file is another version; all that was yielded
        before belongs to the announced version.
        """
        return self._read(
            lambda begin, count: os.pread(self._fd, count, begin), offset, length, step
        )

    def with_content(
        self, offset: int, length: int, step: int
    ) -> Iterator[tuple[int, memoryview, FileRange]]:
        """Yield offset, content and the range to send, ``step`` bytes at once.

        The content, for the identity, is valid until the next item.  sendfile(2) reads the range
        again later: call ``check`` after all is sent.  Raises what ``chunks`` raises.
        """
        buffer = memoryview(bytearray(min(step, length)))

        def read(begin: int, count: int) -> memoryview:
            return buffer[: os.preadv(self._fd, [buffer[:count]], begin)]

        for begin, data in self._read(read, offset, length, step):
            yield begin, data, FileRange(self._file, begin, len(data))

    def without_content(
        self, offset: int, length: int, step: int
    ) -> Iterator[tuple[int, FileRange]]:
        """Yield offset and range to send, without reading it; raises what ``check`` raises."""
        end = offset + length
        for begin in range(offset, end, step):
            self.check()
            yield begin, FileRange(self._file, begin, min(step, end - begin))

    def _read(
        self, read: Callable[[int, int], _Content], offset: int, length: int, step: int
    ) -> Iterator[tuple[int, _Content]]:
        """Yield offset and content of a range; ``read`` takes an offset and a number of bytes."""
        end = offset + length
        while offset < end:
            try:
                data = read(offset, min(step, end - offset))
            except OSError as error:
                raise SourceUnavailable(403, f"cannot be read: {error.strerror}") from None
            self.check()
            if not data:
                raise SourceUnavailable(410, "shorter than announced")
            yield offset, data
            offset += len(data)

    def check(self) -> None:
        """Raise SourceUnavailable 410 when the file is not the announced version any more."""
        found, announced = os.fstat(self._fd), self._announced
        if not stat.S_ISREG(found.st_mode):
            raise SourceUnavailable(410, "no regular file any more")
        if announced.size is not None and found.st_size != announced.size:
            raise SourceUnavailable(
                410, f"changed: {found.st_size} bytes now, {announced.size} announced"
            )
        mtime = announced.mtime_ns
        tolerance = _TOLERANCE_EXPONENT if "e" in (announced.mtime or "") else _TOLERANCE
        if mtime is not None and abs(found.st_mtime_ns - mtime) > tolerance:
            raise SourceUnavailable(410, "changed since it was announced")
