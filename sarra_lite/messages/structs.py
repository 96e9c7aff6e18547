"""Announcement, report, blocks and identity as structs; ``messages.v03`` exports them.

Fields are those of metpx-sr3's v03 messages (sr_post(7)) in snake case.  Sizes are in bytes, times
are Sarracenia time strings in UTC (``units.time_string``).
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec

from sarra_lite.units import nanoseconds

_EVENTS: Final = {"remove": "remove", "link": "link", "directory": "mkdir"}  # of operations
_CONTENT: Final = frozenset({"create", "modify", "attributes"})

Code = Annotated[int, msgspec.Meta(ge=100, le=999)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # bytes in a file for POSIX and SFTP
UNDER_WAY: Final = 102  # code of a report on how far a file or block has come


class Identity(msgspec.Struct, frozen=True):
    """Checksum of content: digest in base64; for cod (calculate on delivery) the method to use."""

    method: str
    value: str


class Blocks(msgspec.Struct, frozen=True, rename="camel"):
    """How a file is divided into blocks, and which of them this message is about.

    ``number`` counts from 0; None means the finish of the file.  Each block has ``size`` bytes,
    but the last one has ``remainder`` bytes when that is not 0.  ``finish`` is true when the poster
    announces a finish after the blocks; sr3 does not.
    """

    size: int
    count: int
    remainder: int = 0
    number: int | None = None
    method: str = "inplace"
    finish: bool = False

    @property
    def file_size(self) -> int:
        """Length of the whole file."""
        return self.size * self.count - (self.size - self.remainder if self.remainder else 0)

    @property
    def offset(self) -> int:
        """Offset of this block in the file."""
        return self.size * (self.number or 0)

    @property
    def length(self) -> int:
        """Length of this block."""
        last = self.number == self.count - 1
        return self.remainder if last and self.remainder else self.size


class Report(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a sender did with one announcement.

    ``seconds`` is the duration of the transfer, ``rate`` is in MB/s as sr3 writes it.
    ``will_retry`` is the number of seconds until the sender's next attempt; None when there is no
    other.  ``rejected`` is the reason why sr_src2log does not trust the report; only it sets this.
    ``limited_by`` is a word for what kept a transfer of some seconds from being faster, ``why`` a
    sentence with the figures; ``connections`` says why the sender has as many as it has.
    """

    code: Code
    message: str
    time_completed: str
    host: str | None = None
    user: str | None = None
    instance: str | None = None
    bytes: Size | None = None
    seconds: Seconds | None = None
    rate: float | None = None
    block: Number | None = None
    identity: Identity | None = None
    attempt: Number | None = None
    will_retry: Seconds | None = None
    rejected: str | None = None
    limited_by: str | None = None
    why: str | None = None
    connections: str | None = None

    @property
    def final(self) -> bool:
        """Whether this is the last report on its announcement."""
        return self.will_retry is None and not self.under_way

    @property
    def under_way(self) -> bool:
        """Whether it says how far a file or block has come: ``bytes`` of it are written."""
        return self.code == UNDER_WAY

    @property
    def arrived(self) -> bool:
        """Whether the file or block is at its destination."""
        succeeded = self.code < 300 or self.code == 304  # noqa: PLR2004  HTTP's classes
        return succeeded and not self.under_way


class Announcement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, dict=True):
    """Message about a file or block to send, or a name to remove, rename, link or make a directory.

    sr3 calls it notification message.  ``rel_path`` has no leading slash.  ``size`` is the length
    of the whole file, even where sr3 writes the block's length.  ``file_op`` is set for operations:
    link, directory, rename, remove.  ``overwrite`` tells which file at the destination is replaced:
    one with different content, always, or None: one whose size, mtime or content is different, but
    of a file in blocks the content is not compared.  ``report`` is set in report messages only.
    ``extra`` has the unknown fields, which are passed on.
    """

    pub_time: str
    base_url: str
    rel_path: str
    size: Size | None = None
    mtime: str | None = None
    atime: str | None = None
    mode: int | None = None
    identity: Identity | None = None
    blocks: Blocks | None = None
    file_op: dict[str, str] | None = None
    overwrite: Literal["different", "always"] | None = None
    source: str | None = None
    content_type: str | None = None
    report: Report | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_finish(self) -> bool:
        """Whether this asks to complete a file whose blocks were announced before."""
        return self.blocks is not None and self.blocks.number is None

    @property
    def block(self) -> int | None:
        """Number of the block announced; None for a whole file and for a finish."""
        return self.blocks.number if self.blocks else None

    @property
    def events(self) -> frozenset[str]:
        """The events, as the option of that name has them, any of which this may be.

        A rename is also what it is where the old name does not exist.
        """
        operation = self.file_op
        if operation is None:
            return _CONTENT
        named = (frozenset({event}) for name, event in _EVENTS.items() if name in operation)
        events = next(named, _CONTENT)
        renames = "rename" in operation and "remove" not in operation
        return events | {"rename"} if renames else events

    @property
    def key(self) -> tuple[str, str, int | None]:
        """Identifies the work: a redelivered message has the same key.

        A file announced whole and the finish of its blocks have the same key, too.
        """
        return (self.pub_time, self.rel_path, self.block)

    @property
    def bare(self) -> Announcement:
        """The same announcement with nothing but what identifies it."""
        return Announcement(self.pub_time, self.base_url, self.rel_path, blocks=self.blocks)

    @functools.cached_property
    def mtime_ns(self) -> int | None:
        """Modification time in nanoseconds since 1970."""
        return nanoseconds(self.mtime) if self.mtime else None

    @property
    def version(self) -> str:
        """First 8 hex digits of SHA-256 of path, size and mtime; in the staging file's name.

        With ``overwrite`` also of the pubTime: size and mtime do not tell its content.
        """
        seed = f"{self.rel_path}\0{self.size}\0{self.mtime}"
        seed += f"\0{self.pub_time}" if self.overwrite else ""
        return hashlib.sha256(seed.encode(errors="surrogateescape")).hexdigest()[:8]
