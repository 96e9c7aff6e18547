"""A grant: the message by which sr_quota lets one sender of a group send so many bytes."""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec

from sarra_lite import units
from sarra_lite.errors import MessageError

_MAX_BYTES: Final = 2**40


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """Permission to send ``bytes``; with 0, ``reason`` says why there are none ``until`` a time.

    ``until`` is a Sarracenia time string in UTC (``units.time_string``).
    """

    bytes: Annotated[int, msgspec.Meta(ge=0, le=_MAX_BYTES)]
    reason: Annotated[str, msgspec.Meta(max_length=255)] = ""
    until: Annotated[str, msgspec.Meta(max_length=32)] = ""

    @property
    def expired(self) -> bool:
        """Whether the time that there were no grants is over."""
        try:
            return bool(self.until) and units.nanoseconds(self.until) < time.time_ns()
        except ValueError:
            return True


_DECODER = msgspec.json.Decoder(Grant)


def encode(grant: Grant) -> bytes:
    """Return the body of the message."""
    return msgspec.json.encode(grant)


def decode(body: bytes) -> Grant:
    """Return the grant that a message is; raise MessageError when it is none."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"no grant: {error}") from None
