"""A message by which sr_quota tells a user how much of the quotas is used, and its topic."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec

from sarra_lite import units
from sarra_lite.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A user is told this often at least, so that one who reads so far back finds a message.
AT_LEAST_EVERY: Final = timedelta(hours=1)
_MAX_ROWS: Final = 10  # a user and a group are two
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Name = Annotated[str, msgspec.Meta(max_length=255)]


class Disk(NamedTuple):
    """Bytes of disk space that are used, and how many may be."""

    used: int
    limit: int


Disks = dict[tuple[str, str], Disk]  # by kind (user, group) and name


class Used(msgspec.Struct, frozen=True):
    """What a user or group has sent this day and month (UTC), and has on disk, in bytes.

    A limit of None is no limit; ``disk`` is None where nobody tells it.
    """

    kind: Literal["user", "group"]
    name: _Name
    day: _Bytes
    dayLimit: _Bytes | None
    month: _Bytes
    monthLimit: _Bytes | None
    disk: _Bytes | None = None
    diskLimit: _Bytes | None = None

    def amounts(self) -> Iterator[tuple[str, int, int | None]]:
        """Yield ``day``, ``month`` and, where it is known, ``disk``, each with use and limit."""
        yield "day", self.day, self.dayLimit
        yield "month", self.month, self.monthLimit
        if self.disk is not None:
            yield "disk", self.disk, self.diskLimit


class Usage(msgspec.Struct, frozen=True):
    """What ``user``, and the user's group, have used at a time (``units.time_string``)."""

    time: Annotated[str, msgspec.Meta(max_length=32)]
    user: _Name
    used: Annotated[tuple[Used, ...], msgspec.Meta(max_length=_MAX_ROWS)]


_DECODER = msgspec.json.Decoder(Usage)


def topic(user: str) -> str:
    """Return the topic of what a user is told; sr3, which may bind ``v03.#``, does not get it."""
    return f"usage.{user}"


def encode(usage: Usage) -> bytes:
    """Return the body of the message."""
    return msgspec.json.encode(usage)


def decode(body: bytes) -> Usage:
    """Return the usage that a message tells; raise MessageError when it is none."""
    try:
        usage = _DECODER.decode(body)
        units.nanoseconds(usage.time)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise MessageError(f"no usage: {error}") from None
    return usage
