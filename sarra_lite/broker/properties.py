"""Properties of received messages whose headers pika cannot read.

pika reads the headers of each message, which nothing here uses.  One that it cannot read (a time
after the year 9999, deep nesting) ends the connection, and as the broker delivers the message
again, the next one, too.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from pika import BasicProperties, spec

_STREAM_OFFSET: Final = re.compile(rb"\x0fx-stream-offsetl(.{8})", re.DOTALL)


def accept_any_headers() -> None:
    """Make all connections of this process ignore headers that pika cannot read."""
    spec.props[BasicProperties.INDEX] = _Properties


class _Properties(BasicProperties):
    """Properties with the headers that pika can read; else with the offset in a stream only."""

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        """Set the properties of the bytes of a content header (AMQP 0.9.1, section 4.2.6.1)."""
        try:
            return super().decode(encoded, offset)
        except Exception:  # noqa: BLE001  pika raises what struct, datetime and recursion raise
            at = _table_offset(encoded, offset)
            end = at + 4 + struct.unpack_from(">I", encoded, at)[0]
            super().decode(encoded[:at] + bytes(4) + encoded[end:], offset)
            if found := _STREAM_OFFSET.search(encoded, at, end):
                self.headers = {"x-stream-offset": struct.unpack(">q", found[1])[0]}
            return self


def _table_offset(encoded: bytes, offset: int) -> int:
    """Return where the table of headers is: after the flags and up to two short strings."""
    flags = struct.unpack_from(">H", encoded, offset)[0]
    at = offset + 2
    for flag in (BasicProperties.FLAG_CONTENT_TYPE, BasicProperties.FLAG_CONTENT_ENCODING):
        if flags & flag:
            at += 1 + encoded[at]
    return at
