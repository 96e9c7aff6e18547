"""Sending content: a whole file, one block of a file, and the finish of a file in blocks."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING, Final

from sarra_lite import blocks, inflight
from sarra_lite.errors import (
    DestinationDown,
    DestinationFull,
    Interrupted,
    SourceLost,
    TransferError,
)
from sarra_lite.job import Job, Outcome
from sarra_lite.sftp import Refused
from sarra_lite.source import Source
from sarra_lite.units import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sarra_lite.inflight import Names
    from sarra_lite.message import Identity
    from sarra_lite.sftp import Connection, File

_SHORT: Final = 8 * 1024 * 1024  # bytes that are still sent when we are asked to stop
_LOOK_AGAIN: Final = 0.2  # seconds until marks are looked at again, for each that is missing
_LOOK_AT_MOST: Final = 5.0
_SECOND: Final = 10**9


def whole(connection: Connection, job: Job, stop: Event, moved: Callable[[int], None]) -> Outcome:
    """Send a file in one piece: 201, or 304 when it is there already, byte for byte."""
    where = inflight.names(job.path, job.announcement)
    with (
        _nothing_left(connection, where),
        Source(job.source, job.announcement) as local,
        inflight.refusals(connection, job.path),
    ):
        if _proven(connection, job):
            if not job.redelivered:
                return Outcome(304, "file is there")
            inflight.discard(connection, where)
            return Outcome(201, "file sent", 0, job.announcement.identity)
        with inflight.refusals(connection, job.path, writing=True):
            file = inflight.create(connection, where.inflight, job.perm_dir_default)
        with file:
            with inflight.refusals(connection, job.path, writing=True):
                sending = _Sending(file, connection.most_write, stop, moved)
                identity = sending.range(local, 0, local.size, _method(job))
            _compare(job, identity)
            inflight.finish(connection, file, where, job.attributes, local.size)
    return Outcome(201, "file sent", local.size, identity)


def block(connection: Connection, job: Job, stop: Event, moved: Callable[[int], None]) -> Outcome:
    """Send one block of a file: 206, or 304 when it is written, or the whole file is there."""
    announcement, number = job.announcement, job.announcement.block
    where = inflight.names(job.path, announcement)
    piece = announcement.blocks
    assert piece is not None  # noqa: S101  for the type checker: is_finish and block say so
    assert number is not None  # noqa: S101
    if inflight.complete(connection, job.path, announcement):
        return Outcome(304, "file is there")
    if connection.stat(where.mark(number)) is not None:
        return _last(connection, job, Outcome(304, f"block {number + 1} is there"))
    try:
        with (
            Source(job.source, announcement) as local,
            inflight.refusals(connection, job.path, writing=True),
        ):
            inflight.make_directories(connection, where.blocks, job.perm_dir_default)
            with inflight.create(connection, where.inflight, job.perm_dir_default) as file:
                sent = _Sending(file, connection.most_write, stop, moved)
                identity = sent.range(local, piece.offset, piece.length, blocks.COD.value)
        _mark(connection, job, where, number)
    except (DestinationDown, DestinationFull):
        raise
    except TransferError as error:
        abandon(connection, job, error)
        raise
    text = f"block {number + 1} of {piece.count} sent"
    return _last(connection, job, Outcome(206, text, piece.length, identity))


def finish(connection: Connection, job: Job) -> Outcome:
    """Put a file in its place when all its blocks are written; ask to wait while some are not."""
    where = inflight.names(job.path, job.announcement)
    if inflight.complete(connection, job.path, job.announcement):
        left = inflight.marks(connection, where) is not None
        inflight.discard(connection, where)
        return _finished(job) if left or job.redelivered else Outcome(304, "file is there")
    with _nothing_left(connection, where), inflight.refusals(connection, job.path):
        wait = _until_finish(connection, job, where)
        if wait > 0:
            return Outcome(0, "blocks are missing", wait=wait)
        with inflight.create(connection, where.inflight, job.perm_dir_default) as file:
            size = job.announcement.size or 0
            inflight.finish(connection, file, where, job.attributes, size)
    inflight.discard(connection, where)
    return _finished(job)


def _until_finish(connection: Connection, job: Job, where: Names) -> float:
    """Return seconds until it is worth looking again; 0: all blocks are there."""
    count = job.announcement.blocks.count if job.announcement.blocks else 0
    with Source(job.source, job.announcement) as local:
        # Until the second of its mtime is over, another version could get the same one.
        young = local.mtime_ns // _SECOND + 1 - time.time()
    marks = inflight.marks(connection, where)
    if marks is None:
        # Here already, since where this fails no block can leave a mark, and we would wait long.
        inflight.make_directories(connection, where.blocks, job.perm_dir_default)
        marks = inflight.Marks(set(), set())
    if (missing := count - len(marks.written) - len(marks.failed)) > 0:
        return min(missing * _LOOK_AGAIN, _LOOK_AT_MOST)
    if marks.failed:
        shown = ", ".join(str(number + 1) for number in sorted(marks.failed)[:5])
        raise TransferError(499, f"given up, since a block failed: {shown} of {count}")
    return young if 0 < young <= 1 else 0.0


def abandon(connection: Connection, job: Job, error: TransferError) -> None:
    """Remove what there is of a file; of a block, leave a mark for those who wait for it."""
    where = inflight.names(job.path, job.announcement)
    number = job.announcement.block
    if number is None or isinstance(error, SourceLost):  # no block of it can be sent any more
        inflight.discard(connection, where)
    elif not isinstance(error, DestinationDown):
        inflight.make_directories(connection, where.blocks, job.perm_dir_default)
        connection.touch(where.failed(number))


class _Sending:
    """Content on its way into one open file."""

    def __init__(self, file: File, step: int, stop: Event, moved: Callable[[int], None]) -> None:
        self._file = file
        self._step = step
        self._stop = stop
        self._moved = moved

    def range(self, local: Source, offset: int, length: int, method: str) -> Identity:
        """Send a range of the source; return its identity when all of it is known written."""
        digest = hashlib.new(method, usedforsecurity=False)
        end = offset + length
        for begin, data in local.chunks(offset, length, self._step):
            if self._stop.is_set() and end - begin > _SHORT:
                raise Interrupted("stopped in the middle of a file; it is taken up again later")
            digest.update(data)
            self._moved(self._file.write(begin, data))
        self._moved(self._file.flush())
        return blocks.identity(method, digest.digest())


def _method(job: Job) -> str:
    """Return the method to fingerprint a whole file with: the one announced, where we have it."""
    announced = job.announcement.identity
    return announced.method if announced and announced.method in blocks.METHODS else "sha512"


def _compare(job: Job, found: Identity) -> None:
    """Refuse content that is not what was announced, though size and time are the same."""
    announced = job.announcement.identity
    if announced is not None and announced.method == found.method and announced != found:
        raise TransferError(410, "changed: its content is not what was announced")


def _proven(connection: Connection, job: Job) -> bool:
    """Whether the destination holds exactly what was announced (decision 0004)."""
    announced = job.announcement.identity
    if announced is None or announced.method not in blocks.METHODS:
        return False
    if not inflight.complete(connection, job.path, job.announcement):
        return False
    digest = hashlib.new(announced.method, usedforsecurity=False)
    try:
        for data in connection.read(job.path):
            digest.update(data)
    except Refused:
        return False  # not readable, or shorter meanwhile: send it
    return blocks.identity(announced.method, digest.digest()) == announced


def _mark(connection: Connection, job: Job, where: Names, number: int) -> None:
    """Say at the destination that a block is written, unless the file was finished meanwhile."""
    try:
        connection.touch(where.mark(number))
        connection.remove_all([where.failed(number)])
    except Refused as status:
        if not status.missing:
            raise
    if inflight.complete(connection, job.path, job.announcement):
        inflight.discard(connection, where)


def _last(connection: Connection, job: Job, outcome: Outcome) -> Outcome:
    """Finish a file of which no finish is announced (sr3 has none) when this was its last block."""
    piece = job.announcement.blocks
    if piece is None or piece.finish:
        return outcome
    marks = inflight.marks(connection, inflight.names(job.path, job.announcement))
    if marks is None or len(marks.written) < piece.count:
        return outcome
    finished = finish(connection, job)
    while finished.wait is not None:
        time.sleep(finished.wait)  # less than a second: for the second of its mtime to be over
        finished = finish(connection, job)
    return Outcome(finished.code, finished.message, outcome.bytes, outcome.identity)


@contextlib.contextmanager
def _nothing_left(connection: Connection, where: Names) -> Iterator[None]:
    """Remove what was begun when it cannot be completed."""
    try:
        yield
    except DestinationDown:
        raise
    except TransferError:
        inflight.discard(connection, where)
        raise


def _finished(job: Job) -> Outcome:
    """All of a file is there: how long it took since it was announced."""
    took = time.time() - nanoseconds(job.announcement.pub_time) / 1e9
    return Outcome(201, "file sent in blocks", job.announcement.size, seconds=max(took, 0.001))
