"""Messages as a careless or hostile user may publish them: hundreds of bodies, and properties."""

from __future__ import annotations

import itertools
import json
import random
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pika

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB: Final = 1024 * 1024
_ANNOUNCEMENT: Final[dict[str, Any]] = {
    "pubTime": "20260101T000000.5",
    "baseUrl": "file:/nowhere",
    "relPath": "d/f",
    "size": 3,
    "mtime": "20260101T000000",
    "atime": "20260101T000000",
    "mode": "644",
    "identity": {"method": "md5", "value": "rL0Y20zC+Fzt72VPzMSk2A=="},
    "source": "uearnest",
    "contentType": "text/plain",
}
_BLOCKS: Final[dict[str, Any]] = {
    "method": "inplace",
    "size": 10,
    "count": 3,
    "remainder": 4,
    "number": 1,
}
_REPORT: Final[dict[str, Any]] = {
    "code": 201,
    "message": "file sent",
    "timeCompleted": "20260101T000001",
    "host": "h",
    "user": "u",
    "instance": "i",
    "bytes": 3,
    "seconds": 0.1,
    "rate": 1.0,
    "block": 0,
    "attempt": 1,
    "willRetry": 5.0,
    "rejected": "no",
    "identity": {"method": "md5", "value": "x"},
}
_ABSENT: Final = object()
_VALUES: Final[tuple[Any, ...]] = (
    *(_ABSENT, None, True, 0, -1, 1.5, 2**63, 10**400, 1e308, -1e308, "", "text", "٣", [], {}),
    *(
        "x" * 300_000,
        "a/" * 10_000,
        "n" * 300,
        "a\0b",
        "\x1b]0;x\x07",
        "a\nb",
        "\x9b2J",
        "\u202e",
    ),
    *("\ud800", "\udcff", "../../x", "/", ".", "%00", {"": ""}, {"a": "b"}, [[[[["deep"]]]]]),
)
_YEARS: Final = (0, 1, 999, 1582, 1899, 1969, 1970, 2037, 2038, 2106, 2107, 9999, 10000, 99999)
_URLS: Final = (
    *("file://[", "http://[::1", "file:///a%00b", "//", "file://℀.com/", "http://h:99999999/x"),
    *(
        "file:",
        ":",
        "file:/../..",
        "file:/%2e%2e/",
        "sftp://[fe80::1%25x]/",
        "file:/" + "a/" * 3000,
    ),
)
_BODIES: Final = (
    *(b"", b"garbage", b"\xff\xfe\0", b"null", b"[1, 2]", b'"text"', b"1" * 10_000, b"\0" * 100),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"{" + b" " * 9 * _MIB + b"}", b'{"pubTime": 1}'),
    *(
        b'{"pubTime":"20260101T000000","pubTime":[]}',
        b"20260101000000.1 file:/ x y z",
        b"\xef\xbb\xbf",
    ),
)
_CONTENT_TYPES: Final = ("", "text/plain", "application/octet-stream", "x" * 255, "\x1b[2J", "é")


class Message(NamedTuple):
    """A message to publish; ``table`` are raw headers, as no client library writes them."""

    body: bytes
    content_type: str | None = "application/json"
    table: bytes | None = None


def announcements() -> Iterator[Message]:
    """Yield hostile announcements; none is of a file that exists."""
    for body in _BODIES:
        yield Message(body)
    yield from _with_hostile_fields(_ANNOUNCEMENT)
    for fields in _hostile(_BLOCKS):
        yield Message(_json({**_ANNOUNCEMENT, "relPath": "blocks/f", "blocks": fields}))
    manifest: dict[str, Any] = {str(number): {"size": 10} for number in range(3)}
    wrong: tuple[Any, ...] = (
        None,
        {},
        {"7": {}},
        manifest | {"2": 5},
        manifest | {"2": {"size": 10**30}},
    )
    for value in wrong:
        fields = {"size": 10, "number": 1, "manifest": value}
        yield Message(_json({**_ANNOUNCEMENT, "relPath": "manifest/f", "blocks": fields}))
    for operation in ("link", "rename", "hlink", "\x1b"):
        for value in _VALUES[1:]:
            fields = {**_ANNOUNCEMENT, "relPath": "operation/f", "fileOp": {operation: value}}
            yield Message(_json(fields))


def reports() -> Iterator[Message]:
    """Yield hostile reports."""
    for body in _BODIES:
        yield Message(body)
    yield from _with_hostile_fields({**_ANNOUNCEMENT, "report": _REPORT})
    for fields in _hostile(_REPORT):
        yield Message(_json({**_ANNOUNCEMENT, "relPath": "report/f", "report": fields}))
    for time in _times():
        report = {**_REPORT, "timeCompleted": time}
        yield Message(_json({**_ANNOUNCEMENT, "relPath": "completed/f", "report": report}))


def _with_hostile_fields(fields: dict[str, Any]) -> Iterator[Message]:
    """Yield messages each with one field that is not right, and some that are not right at all."""
    for hostile in _hostile(fields):
        yield Message(_json(hostile))
    for field, time in itertools.product(("pubTime", "mtime", "atime"), _times()):
        yield Message(_json({**fields, "relPath": f"time/{field}", field: time}))
    for url in _URLS:
        yield Message(_json({**fields, "relPath": "url/f", "baseUrl": url}))
    for value in _VALUES[1:]:
        yield Message(_json({**fields, "relPath": "extra/f", "x": value, "\x1b": value}))
    for content_type in _CONTENT_TYPES:
        yield Message(_json(fields), content_type)
    for table in tables():
        yield Message(_json(fields), table=table)
    yield from _unusual_json(fields)


def _unusual_json(fields: dict[str, Any]) -> Iterator[Message]:
    """Yield messages that json.dumps() would not write."""
    nested = ("[" * levels + "]" * levels for levels in (40, 60, 500, 5000))
    numbers = ("NaN", "-Infinity", "1e999", "9" * 5000, "0.1e-9999", "-0")
    for value in (*nested, *numbers, f"[{','.join(['9e15'] * 400_000)}]"):
        yield Message(json.dumps({**fields, "x": 0}).replace(": 0}", f": {value}}}").encode())
    yield Message(json.dumps({**fields, "x": "é" * 3_500_000}, ensure_ascii=False).encode())
    chance = random.Random(26)
    body = json.dumps(fields).encode()
    for _ in range(60):  # one to three bytes of a good one are others
        changed = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(body))] = chance.randrange(256)
        yield Message(bytes(changed))


def _hostile(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields with each of the values in turn instead of each."""
    for name in fields:
        for value in _VALUES:
            changed = {**fields, name: value}
            if value is _ABSENT:
                del changed[name]
            yield changed


def _times() -> Iterator[str]:
    for year in _YEARS:
        yield f"{year:04}0101T000000"
        yield f"{year:04}1231T235959.999999999"
    yield from ("20260101T000000." + "9" * 5000, "20261301T000000", "20260101T000000.5e-300", "now")


def tables() -> Iterator[bytes]:
    """Yield AMQP tables (section 4.2.5.5) that are unusual or wrong."""
    yield b"\1xT" + struct.pack(">Q", 2**63 - 1)  # a time in 292 billion years
    yield b"\1xT" + struct.pack(">Q", 253402300800)  # the year 10000
    yield b"\2\xff\xfeS" + struct.pack(">I", 2) + b"\xff\xfe"
    yield b"\1xD\xff" + struct.pack(">I", 2**31)
    nested = b""
    for _ in range(500):
        nested = b"\1xF" + struct.pack(">I", len(nested)) + nested
    yield nested
    yield b"\1xl" + struct.pack(">q", -(2**63)) + b"\1yV"


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


class Properties(pika.BasicProperties):
    """AMQP properties of a message, with its headers as raw bytes."""

    def __init__(self, message: Message, user_id: str) -> None:
        """``user_id``: the author, whom RabbitMQ verifies."""
        headers: dict[str, Any] | None = None if message.table is None else {}
        super().__init__(message.content_type, headers=headers, user_id=user_id)
        self._table = message.table

    def encode(self) -> list[bytes]:
        """Return what pika sends, with the raw table in place of the empty one."""
        pieces: list[bytes] = super().encode()
        if self._table is None:
            return pieces
        whole = b"".join(pieces)
        kind = self.content_type or ""
        at = 2 + (1 + len(kind.encode()) if self.content_type is not None else 0)
        assert whole[at : at + 4] == b"\0\0\0\0"
        return [whole[:at], struct.pack(">I", len(self._table)), self._table, whole[at + 4 :]]
