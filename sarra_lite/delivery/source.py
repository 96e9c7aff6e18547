"""The announced file on this host: reads fail as soon as it is another version.

Size and modification time are compared with the announcement after each read, so that no byte of
another version is ever sent.  What is in the page cache of a local file system is read in the event
loop, since a thread for each read would cost more than the read; all else is read in threads, since
a network file system may not answer for minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sarra_lite.config.private import private_part
from sarra_lite.delivery.version import check_version, is_current
from sarra_lite.errors import NotPermitted, SourceUnavailable
from sarra_lite.sftp.sendfile import FileRange, OpenFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sarra_lite.delivery.job import Job
    from sarra_lite.messages.v03 import Announcement

_LOCAL: Final = (
    *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs"),
    *("rootfs", "tmpfs", "vfat", "xfs", "zfs"),
)
_VALID: Final = 30.0  # seconds; something else may be mounted there later
_MAX_KNOWN: Final = 10_000
_LEAST_DATA: Final = 64 * 1024  # bytes read at once before a hole, so that writes are not too many
_ZEROS: Final = memoryview(bytes(1024 * 1024))  # the content of a hole, as much as is taken at once
_known: dict[str, tuple[bool, float]] = {}  # by directory; with the time when it expires


@contextlib.asynccontextmanager
async def open_source(job: Job) -> AsyncIterator[Source]:
    """Open the file of a job; raise as ``Source`` does."""
    path, announcement = job.source, job.announcement
    local = known_local(path)
    if local is None:
        directory = path.rpartition("/")[0]
        local = await asyncio.to_thread(_look_up, directory or "/")
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[directory] = local, time.monotonic() + _VALID
    opening = functools.partial(Source, path, announcement, local=local, root=job.source_root)
    source = opening() if local else await asyncio.to_thread(opening)
    try:
        yield source
    finally:
        source.release()


class Source:
    """The announced version of a local file, open for reading; see ``open_source``."""

    def __init__(
        self, path: str, announcement: Announcement, *, local: bool, root: str | None = None
    ) -> None:
        """Open the file; ``local``: it is on a local file system.

        ``root``: the directory that symbolic links must not lead out of, nor to keys.  Raises
        SourceUnavailable 410 when it is gone or another version, 403 when not readable, and
        NotPermitted.
        """
        self._path = path
        self._announced = announcement
        self._local = local
        self._flags = os.RWF_NOWAIT
        try:
            self._file = OpenFile(path)
        except FileNotFoundError:
            raise SourceUnavailable(410, "gone at the source") from None
        except OSError as error:
            raise SourceUnavailable(403, f"cannot be read: {error.strerror}") from None
        self._fd = self._file.number
        if root is not None:
            _check_beneath(self._fd, root)
        found = self._check()
        self.size, self.mtime_ns = found.st_size, found.st_mtime_ns
        self.allocated = min(found.st_blocks * 512, found.st_size)  # bytes without the holes
        self.sparse = self.allocated < found.st_size  # or compressed

    def release(self) -> None:
        """Close the file; it stays open while ranges of it wait to be sent."""
        del self._file

    def read_all(self) -> memoryview:
        """Return the content of a small local file; blocks while it is read from the disk."""
        content = memoryview(bytearray(self.size))
        if self.size and self._read_now(content, 0, 0) < self.size:
            raise SourceUnavailable(410, "shorter than announced")
        return content

    async def ranges(
        self, offset: int, length: int, step: int
    ) -> AsyncIterator[tuple[int, memoryview, FileRange | bytes | None]]:
        """Yield offset, content and what to send, at most ``step`` bytes of data at once.

        What to send is None for a hole, whose content is zeros.  The content is valid until the
        next item, that of a hole always.  Of a local file a range is sent, which
        sendfile(2) reads again from the page cache later: call ``check`` after all is sent.

        Raises SourceUnavailable 410 as soon as the file is another version; all that was yielded
        before belongs to the announced version.
        """
        buffer = memoryview(bytearray(min(step, length)))
        end = offset + length
        while offset < end:
            hole, data = await self._extent(offset)
            if hole:
                zeros = _ZEROS[: min(hole, end - offset)]
                yield offset, zeros, None
                offset += len(zeros)
                continue
            count = await self._read(buffer[: min(data, end - offset)], offset)
            content = buffer[:count]
            in_file = FileRange(self._file, offset, count)
            yield offset, content, in_file if self._local else bytes(content)
            offset += count

    async def check(self) -> None:
        """Raise SourceUnavailable 410 when the file is not the announced version any more."""
        if self._local:
            self._check()
        else:
            await asyncio.to_thread(self._check)

    async def _extent(self, offset: int) -> tuple[int, int]:
        """Return how many bytes of hole there are at an offset or, if there are none, of data.

        Raises SourceUnavailable 410 when the file is another version.
        """
        if not self.sparse:
            return 0, self.size
        if self._local:
            return self._extent_now(offset)
        return await asyncio.to_thread(self._extent_now, offset)

    def _extent_now(self, offset: int) -> tuple[int, int]:
        try:
            data = os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as error:
            # A file system without SEEK_DATA has no holes that it could tell of.
            data = self.size if error.errno == errno.ENXIO else offset
        self._check()
        if data > offset:
            return data - offset, 0
        with contextlib.suppress(OSError):
            hole = os.lseek(self._fd, offset, os.SEEK_HOLE)
            return 0, max(hole - offset, _LEAST_DATA)
        return 0, self.size

    async def check_name(self) -> None:
        """As ``check``, and raise 410 when another version has taken the name of the file.

        A file that was removed is no other version.
        """
        await self.check()
        if not (
            is_current(self._path, self._announced)
            if self._local
            else await asyncio.to_thread(is_current, self._path, self._announced)
        ):
            raise SourceUnavailable(410, "changed since it was announced")

    async def _read(self, buffer: memoryview, offset: int) -> int:
        """Read into a buffer; return the number of bytes, at least one."""
        if self._local:
            with contextlib.suppress(BlockingIOError):  # it is not in the page cache
                return self._read_now(buffer, offset, self._flags)
        return await asyncio.to_thread(self._read_now, buffer, offset, 0)

    def _read_now(self, buffer: memoryview, offset: int, flags: int) -> int:
        try:
            count = os.preadv(self._fd, [buffer], offset, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP and flags:  # nothing of it is ever on a disk
                self._flags = 0
                return self._read_now(buffer, offset, 0)
            raise SourceUnavailable(403, f"cannot be read: {error.strerror}") from None
        self._check()
        if not count:
            raise SourceUnavailable(410, "shorter than announced")
        return count

    def _check(self) -> os.stat_result:
        found = os.fstat(self._fd)
        check_version(found, self._announced)
        return found


def _check_beneath(fd: int, root: str) -> None:
    """Raise NotPermitted for an open file that is not below a directory, or holds keys there.

    The open file is asked, since its path may lead to another one by now.
    """
    name = os.readlink(f"/proc/self/fd/{fd}")
    base = os.path.realpath(root).rstrip("/") + "/"
    if not name.startswith(base) or private_part(name[len(base) :]):
        raise NotPermitted(403, "a symbolic link leads out of baseDir, or to keys")


def known_local(path: str) -> bool | None:
    """Return whether a file is on a local file system; None: not looked up in the last 30 s."""
    local, expires = _known.get(path.rpartition("/")[0], (False, 0.0))
    return local if time.monotonic() < expires else None


def _look_up(directory: str) -> bool:
    """Return whether the innermost mount above a directory has a local type (proc(5))."""
    path = os.path.realpath(directory) + "/"
    found, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields, _, rest = line.partition(b" - ")
        point = os.fsdecode(fields.split()[4].decode("unicode_escape").encode("latin-1"))
        prefix = point.rstrip("/") + "/"
        if path.startswith(prefix) and len(prefix) >= len(found):  # the last one is on top
            found, kind = prefix, rest.split()[0].decode()
    return kind in _LOCAL


def has_size(path: str, size: int | None) -> bool:
    """Return whether a file has this size; False when it cannot be told."""
    try:
        return os.stat(path).st_size == size  # noqa: PTH116  any bytes
    except OSError:
        return False
