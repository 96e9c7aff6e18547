"""The chain of the reports in xlog: each has the hash of the one before it of the same writer.

A report that is changed or removed later does not fit the next one.  The link is the last field of
the JSON object, ``"chain": "WRITER NUMBER HASH"``, and part of what the next link's hash is of.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import blake3

ROOM: Final = 160  # bytes of a link, at most
_HASH: Final = 32  # hexadecimal digits, 128 bits
_NONE: Final = "-"  # before the first report of a writer
_WRITER: Final = 80  # characters
_LINK: Final = re.compile(
    rb',"chain":"(?P<writer>[^ "\\]{1,%d}) (?P<number>[0-9]{1,15}) (?P<before>[0-9a-f]{%d}|-)"\}$'
    % (_WRITER, _HASH)
)


class Link(NamedTuple):
    """What a report says of the one before it; ``before`` is its hash, or - for the first."""

    writer: str
    number: int
    before: str


class Chain:
    """The reports that one program writes on one connection, in their order."""

    def __init__(self, writer: str) -> None:
        """``writer`` must be another one for each connection, since its end may be lost."""
        self._writer = re.sub(r"[^\w./-]", "_", writer, flags=re.ASCII)[-_WRITER:]
        self._number = 0
        self._before = _NONE

    def link(self, body: bytes) -> bytes:
        """Return a report, a JSON object with fields, with its link to the one before it."""
        link = f',"chain":"{self._writer} {self._number} {self._before}"}}'
        linked = body.removesuffix(b"}") + link.encode()
        self._number += 1
        self._before = hash_of(linked)
        return linked


def hash_of(body: bytes) -> str:
    """Return the hash of a report with its link, as the next report has it."""
    return blake3.blake3(body).hexdigest()[:_HASH]


def link_of(body: bytes) -> Link | None:
    """Return the link of a report; None when it has none."""
    found = _LINK.search(body, max(0, len(body) - ROOM))
    if found is None:
        return None
    return Link(found["writer"].decode(), int(found["number"]), found["before"].decode())
