"""Divides large files into blocks, and calculates the identity of content."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

import blake3
import msgspec

from sarra_lite.messages.structs import Announcement, Blocks, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    Digest = blake3.blake3 | hashlib._Hash  # noqa: SLF001  typeshed has no public name for it

_MIB: Final = 1024 * 1024
MIN_SIZE: Final = 16 * _MIB  # a smaller block costs more (message, block marker) than it saves
_MAX_SIZE: Final = 1024 * _MIB  # of a larger block, too much is sent again after a crash
_BLOCKS: Final = 1000  # approximate number of blocks of a file, between these two sizes
_CHUNK: Final = 256 * 1024  # bytes to read at once

_COMPLETE: Final = 201  # report codes
_WRITTEN: Final = 206

METHODS: Final = ("sha512", "sha256", "md5")
# blake3 takes a fifth of the time of sha256.  sr3 does not know it, nor does it send our blocks.
COD: Final = Identity("cod", "blake3")


def block_size(size: int, configured: int) -> int:
    """Return the block size for a file of ``size`` bytes.

    ``configured`` is the option blockSize (sr3_options(7)): 0 chooses by size, 1 never divides.
    """
    if configured == 1:
        return max(size, 1)
    if configured:
        return configured
    wanted = -(-size // _BLOCKS)
    return min(_MAX_SIZE, max(MIN_SIZE, -(-wanted // _MIB) * _MIB))


def split(whole: Announcement, configured: int) -> Iterator[Announcement]:
    """Yield an announcement for each block of a file, then the finish.

    All have the pubTime of ``whole``, which identifies them as one file's.
    """
    size = whole.size or 0
    step = block_size(size, configured)
    blocks = Blocks(step, -(-size // step), size % step, finish=True)
    for number in range(blocks.count):
        block = msgspec.structs.replace(blocks, number=number)
        yield msgspec.structs.replace(whole, identity=COD, blocks=block)
    yield msgspec.structs.replace(whole, identity=None, blocks=blocks)


def should_split(announcement: Announcement, configured: int) -> bool:
    """Return whether a file that was announced in one piece should be sent in blocks.

    Not with ``overwrite``: whether the blocks of a file are there is known by its size and mtime.
    """
    size = announcement.size or 0
    return (
        announcement.blocks is None
        and not announcement.file_op
        and announcement.overwrite is None
        and announcement.mtime is not None  # which identifies the version of a block
        and size > block_size(size, configured)
    )


def reports_of(report: Announcement) -> list[Announcement]:
    """Return a report, and after that on a block that completed its file, one on the whole file.

    Where no finish is announced, as by sr3, the file is complete with its last block: that is the
    one with code 201.
    """
    piece, result = report.blocks, report.report
    if piece is None or result is None or piece.finish or piece.number is None:
        return [report]
    if result.code != _COMPLETE or not result.final:
        return [report]
    of_block = msgspec.structs.replace(result, code=_WRITTEN)
    of_whole = msgspec.structs.replace(
        result, bytes=report.size, block=None, identity=None, seconds=None, rate=None
    )
    whole = msgspec.structs.replace(piece, number=None)
    return [
        msgspec.structs.replace(report, report=of_block),
        msgspec.structs.replace(report, report=of_whole, blocks=whole, identity=None),
    ]


def digest(method: str) -> Digest:
    """Return a new hasher for one of METHODS or for ``COD.value``."""
    if method == COD.value:
        return blake3.blake3()
    return hashlib.new(method, usedforsecurity=False)


def hash_file(path: str, method: str) -> Identity:
    """Return the identity of a file's content; raise OSError when it cannot be read."""
    hasher = digest(method)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  any bytes, and half the time
        # hashlib.file_digest would allocate a larger buffer, which costs time for small files.
        while data := file.read(_CHUNK):
            hasher.update(data)
    return identity(method, hasher.digest())


def identity(method: str, digest: bytes) -> Identity:
    """Return the identity for a finished digest."""
    return Identity(method, base64.b64encode(digest).decode())
