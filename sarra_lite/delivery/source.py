"""The announced file on this host: read only while it is still what was announced."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self, TypeVar

from sarra_lite.errors import SourceUnavailable
from sarra_lite.sftp.sendfile import FileRange, OpenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from sarra_lite.messages.v03 import Announcement

_Content = TypeVar("_Content", bytes, memoryview)

_TOLERANCE = 1000  # ns; sr3 writes times from floating-point numbers
_TOLERANCE_EXPONENT = 100_000  # ns; it loses digits of those so little above the whole second


class Source:
    """A file that is open for reading."""

    def __init__(self, path: str, announcement: Announcement) -> None:
        """Open it; SourceLost 410 when it is gone or another version, 403 when not readable."""
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
        """Nothing to do: it is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, unless extents of it are still to be sent."""
        del self._file

    @property
    def _fd(self) -> int:
        return self._file.number

    @property
    def mtime_ns(self) -> int:
        """Modification time in nanoseconds since 1970."""
        return os.fstat(self._fd).st_mtime_ns

    def chunks(self, offset: int, length: int, step: int) -> Iterator[tuple[int, bytes]]:
        """Yield offset and content of a range, at most ``step`` bytes at once.

        SourceLost 410 as soon as the file is another than was announced: what was yielded
        before the change belongs to the version announced.
        """
        return self._read(
            lambda begin, count: os.pread(self._fd, count, begin), offset, length, step
        )

    def extents(
        self, offset: int, length: int, step: int
    ) -> Iterator[tuple[int, memoryview, FileRange]]:
        """Yield offset and content of a range, ``step`` bytes at once, and the same to be sent.

        What is looked at is valid until the next is asked for.  What is sent is read again: after
        all is sent, ``check`` tells if it was the version announced.  Raises what ``chunks`` does.
        """
        room = memoryview(bytearray(min(step, length)))

        def read(begin: int, count: int) -> memoryview:
            return room[: os.preadv(self._fd, [room[:count]], begin)]

        for begin, data in self._read(read, offset, length, step):
            yield begin, data, FileRange(self._file, begin, len(data))

    def unread(self, offset: int, length: int, step: int) -> Iterator[tuple[int, FileRange]]:
        """Yield offset and content of a range, to be sent unseen; raises what ``check`` does."""
        end = offset + length
        for begin in range(offset, end, step):
            self.check()
            yield begin, FileRange(self._file, begin, min(step, end - begin))

    def _read(
        self, read: Callable[[int, int], _Content], offset: int, length: int, step: int
    ) -> Iterator[tuple[int, _Content]]:
        """Yield what ``read`` returns for an offset and a count, all over a range."""
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
        """Raise SourceLost 410 when it is another version than the one announced."""
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
