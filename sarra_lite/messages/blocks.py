"""How large files are cut into blocks, and how content is fingerprinted."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

import blake3
import msgspec

from sarra_lite.messages.v03 import Announcement, Blocks, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    Digest = blake3.blake3 | hashlib._Hash  # noqa: SLF001  the only name that typeshed has

_MIB: Final = 1024 * 1024
LEAST: Final = 16 * _MIB  # below, a message and a mark for each block cost more than they bring
MOST: Final = 1024 * _MIB  # above, too much is sent again after a crash
_BLOCKS: Final = 1000  # of a file, about, between the two
NEVER: Final = 1  # sr3's value of blockSize for "send files in one piece"

_READ: Final = 256 * 1024  # bytes at once

METHODS: Final = ("sha512", "sha256", "md5")
# Only our senders send blocks of ours; this one takes a fifth of the time of sha256.
COD: Final = Identity("cod", "blake3")


def block_size(size: int, configured: int) -> int:
    """Bytes in a block of a file of ``size`` bytes.

    ``configured`` is the option blockSize of sr3_options(7): 0 chooses by size, 1 never cuts.
    """
    if configured == NEVER:
        return max(size, 1)
    if configured:
        return configured
    wanted = -(-size // _BLOCKS)
    return min(MOST, max(LEAST, -(-wanted // _MIB) * _MIB))


def split(whole: Announcement, configured: int) -> Iterator[Announcement]:
    """Yield the announcements of a file's blocks, then the one of its finish.

    All carry the pubTime of the whole, which tells that they belong together.
    """
    size = whole.size or 0
    step = block_size(size, configured)
    blocks = Blocks(step, -(-size // step), size % step, finish=True)
    for number in range(blocks.count):
        block = msgspec.structs.replace(blocks, number=number)
        yield msgspec.structs.replace(whole, identity=COD, blocks=block)
    yield msgspec.structs.replace(whole, identity=None, blocks=blocks)


def should_split(announcement: Announcement, configured: int) -> bool:
    """Whether a file that was announced whole is so large that it is better sent in blocks."""
    size = announcement.size or 0
    return (
        announcement.blocks is None
        and not announcement.file_op
        and announcement.mtime is not None
        and size > block_size(size, configured)
    )


def digest(method: str) -> Digest:
    """Return a new fingerprint by a method: one of METHODS, or that of COD."""
    if method == COD.value:
        return blake3.blake3()
    return hashlib.new(method, usedforsecurity=False)


def hash_file(path: str, method: str) -> Identity:
    """Identity of a file's content; OSError when it cannot be read."""
    made = digest(method)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  any bytes, and half the time
        # Unlike hashlib.file_digest, no more memory is made ready than a small file has.
        while data := file.read(_READ):
            made.update(data)
    return identity(method, made.digest())


def identity(method: str, digest: bytes) -> Identity:
    """Identity as it goes on the wire, from a finished digest."""
    return Identity(method, base64.b64encode(digest).decode())
