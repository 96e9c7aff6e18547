"""The v03 message format of Sarracenia: announcements and reports, to and from bytes.

Field by field as metpx-sr3 3.3.1 writes it; sr_post(7) documents it.  Read leniently, write
strictly: numbers may come as strings, both shapes of ``blocks`` are understood, unknown fields are
kept and passed on.

Names of files are bytes on disk.  Like sr3 we carry what is not UTF-8 as lone surrogates (PEP 383)
in JSON escapes, hence the standard library's json, which reads and writes them.
"""

from __future__ import annotations

import codecs
import functools
import hashlib
import json
import math
import re
import time
from typing import Any, Final

import msgspec

from sarra_lite.errors import MessageError
from sarra_lite.units import nanoseconds, printable, time_string

CONTENT_TYPE: Final = "application/json"
MOST_BYTES: Final = (
    8 * 1024 * 1024
)  # of a body; sr3's manifest of 1 TiB in 50 MiB blocks has 2.7 MB
TOPIC_BYTES: Final = 255  # AMQP 0.9.1, shortstr
_DEEPEST: Final = 50  # brackets within brackets in a field that we do not know
_LARGEST: Final = 2**63 - 1  # bytes in a file, as POSIX and SFTP count
_V02: Final = re.compile(rb"\d{8}T?\d{6}\.\d+ \S+ ")  # <time> <baseUrl> <relPath>
_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_ESCAPES: Final = str.maketrans({"#": "%23", "*": "%22"})  # "%22" for "*" is sr3's, sic


class Identity(msgspec.Struct, frozen=True):
    """A fingerprint; ``value`` is base64, but for method ``cod`` (calculate on delivery)."""

    method: str
    value: str


class Blocks(msgspec.Struct, frozen=True, rename="camel"):
    """How a file is cut, and which block this is.  ``number`` None: the finish of the file.

    ``size`` is the length of all blocks but the last, in bytes; ``remainder`` that of the last one,
    0 when it is full too.  ``finish``: a finish is announced after the blocks (sr3 has none).
    """

    size: int
    count: int
    remainder: int
    number: int | None = None
    method: str = "inplace"
    finish: bool = False

    @property
    def file_size(self) -> int:
        """Length of the whole file in bytes."""
        return self.size * self.count - (self.size - self.remainder if self.remainder else 0)

    @property
    def offset(self) -> int:
        """Where in the file this block begins, in bytes."""
        return self.size * (self.number or 0)

    @property
    def length(self) -> int:
        """Length of this block in bytes."""
        last = self.number == self.count - 1
        return self.remainder if last and self.remainder else self.size


class Report(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a sender did with an announcement.

    ``seconds`` is the time the transfer took, ``rate`` MB/s as sr3 writes it, ``will_retry`` the
    seconds until the next attempt when this is not the end of it.
    """

    code: int
    message: str
    time_completed: str
    host: str | None = None
    user: str | None = None
    instance: str | None = None
    bytes: int | None = None
    seconds: float | None = None
    rate: float | None = None
    block: int | None = None
    identity: Identity | None = None
    attempt: int | None = None
    will_retry: float | None = None
    rejected: str | None = None

    @property
    def final(self) -> bool:
        """No further report on this announcement is to come."""
        return self.will_retry is None

    @property
    def arrived(self) -> bool:
        """The file, or block, is at its destination."""
        return self.code < 300 or self.code == 304  # noqa: PLR2004  HTTP's classes, as sr3's codes


class Announcement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, dict=True):
    """A file, a block of it, or an operation on a name, is ready (sr3: notification message).

    ``size`` is always the whole file's, in bytes, also where sr3 puts the block's length there.
    ``rel_path`` has no leading slash.  ``extra`` holds the fields we do not know.
    """

    pub_time: str
    base_url: str
    rel_path: str
    size: int | None = None
    mtime: str | None = None
    atime: str | None = None
    mode: int | None = None
    identity: Identity | None = None
    blocks: Blocks | None = None
    file_op: dict[str, str] | None = None
    source: str | None = None
    content_type: str | None = None
    report: Report | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_finish(self) -> bool:
        """This asks to complete a file whose blocks were announced before."""
        return self.blocks is not None and self.blocks.number is None

    @property
    def block(self) -> int | None:
        """Number of the block announced; None for a whole file or a finish."""
        return self.blocks.number if self.blocks else None

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What tells one announcement from another, also when it is delivered twice."""
        return (self.pub_time, self.rel_path, self.block)

    @functools.cached_property
    def mtime_ns(self) -> int | None:
        """Modification time in nanoseconds since 1970."""
        return nanoseconds(self.mtime) if self.mtime else None

    @property
    def version(self) -> str:
        """Eight hexadecimal digits that differ between versions of one file."""
        seed = f"{self.rel_path}\0{self.size}\0{self.mtime}".encode(errors="surrogateescape")
        return hashlib.sha256(seed).hexdigest()[:8]

    def reported(self, report: Report) -> Announcement:
        """Return the message that reports on this announcement."""
        return msgspec.structs.replace(self, report=report)


def now() -> str:
    """The present as a Sarracenia time string."""
    return time_string(time.time_ns())


def topic(prefix: str, rel_path: str) -> str:
    """Routing key of a path: prefix and directories, cut to 255 bytes between characters.

    Escapes as sr3 does; bytes that are no UTF-8 become ``%FF``.
    """
    parents = [part for part in rel_path.split("/")[:-1] if part]
    words = [prefix, *(part.translate(_ESCAPES) for part in parents)]
    raw = ".".join(words).encode(errors="surrogateescape")
    text = raw.decode(errors="sarra_lite.percent")
    return text.encode()[:TOPIC_BYTES].decode(errors="ignore")


def encode(message: Announcement) -> bytes:
    """JSON of an announcement or report as published."""
    fields = msgspec.to_builtins(message)
    fields.update(fields.pop("extra", {}))
    if message.mode is not None:
        fields["mode"] = f"{message.mode:o}"
    return _JSON.encode(fields).encode()


@functools.cache
def _reader() -> json.JSONDecoder:
    # Made once: json.loads would make one for every message.
    return json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def decode(body: bytes, content_type: str | None = CONTENT_TYPE) -> Announcement:
    """Read an announcement or report; MessageError, in one line, when it is none."""
    if content_type == "text/plain" or _V02.match(body):
        raise MessageError("v02 is not spoken here: set post_format v03 where this is posted")
    if len(body) > MOST_BYTES:
        raise MessageError(f"body of {len(body)} bytes; at most {MOST_BYTES} are read")
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        fields = _reader().decode(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON ({error}): {excerpt(body)}") from None
    if not isinstance(fields, dict):
        raise MessageError(f"not a JSON object: {excerpt(body)}")
    return from_fields(fields)


def from_fields(fields: dict[str, Any]) -> Announcement:
    """Announcement from the decoded JSON object; MessageError names the field that is wrong."""
    known = {k: v for k, v in fields.items() if k in _FIELDS and v is not None}
    extra = {k: v for k, v in fields.items() if k not in _FIELDS}
    try:
        _limit_depth(extra, _DEEPEST)
        _normalise(known)
        message = msgspec.convert({**known, "extra": extra}, Announcement, strict=False)
        _check(message)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise MessageError(f"unusable announcement: {printable(str(error))}") from None
    return message


def excerpt(body: bytes) -> str:
    """First bytes of a message that cannot be read, for people."""
    return printable(body[:120].decode(errors="backslashreplace"))


def _normalise(fields: dict[str, Any]) -> None:
    """Bring what sr3 and sr3_cpost write differently into one shape."""
    if "mode" in fields:
        fields["mode"] = _mode(fields["mode"])
    if "relPath" in fields and isinstance(fields["relPath"], str):
        fields["relPath"] = fields["relPath"].removeprefix("/")
    if isinstance(fields.get("blocks"), dict):
        fields["blocks"] = blocks = _blocks(fields["blocks"])
        fields["size"] = blocks.file_size
    if isinstance(fields.get("report"), dict):
        fields["report"] = _report(fields["report"])
    if isinstance(fields.get("fileOp"), dict):
        fields["fileOp"] = {k: "" if v is None else v for k, v in fields["fileOp"].items()}


def _blocks(fields: dict[str, Any]) -> Blocks:
    """Either shape of sr3: with ``manifest`` (Python), or with ``count`` and ``remainder`` (C)."""
    number = fields.get("number")
    size = int(fields["size"])
    if isinstance(manifest := fields.get("manifest"), dict):
        last = int(manifest[str(len(manifest) - 1)]["size"])
        count, remainder = len(manifest), last % size
    else:
        count, remainder = int(fields["count"]), int(fields.get("remainder", 0))
    number = None if number is None else int(number)
    blocks = Blocks(size, count, remainder, number, finish=fields.get("finish") is True)
    if fields.get("method", "inplace") != "inplace":
        raise ValueError(f"blocks of method {fields['method']!r}; only inplace is known")
    if (
        size <= 0
        or count <= 0
        or not 0 <= remainder < size
        or not -1 < (blocks.number or 0) < count
    ):
        raise ValueError(f"blocks make no sense: {blocks}")
    return blocks


def _report(fields: dict[str, Any]) -> Report:
    """As sr3 posts it (code, timeCompleted, message), as it documents it, or as we write it."""
    renamed = {"resultCode": "code", "elapsedTime": "seconds"}
    known = {renamed.get(key, key): value for key, value in fields.items()}
    known.setdefault("message", "")
    known.setdefault("timeCompleted", now())
    nanoseconds(known["timeCompleted"])
    return msgspec.convert(known, Report, strict=False)


def _check(message: Announcement) -> None:
    """Refuse what no file can have: ValueError tells what."""
    nanoseconds(message.pub_time)
    if message.mtime:
        nanoseconds(message.mtime)
    report = message.report
    for size in (message.size, report.bytes if report else None):
        if size is not None and not 0 <= size <= _LARGEST:
            raise ValueError(f"no file has {str(size)[:25]} bytes")
    for path in (message.base_url, message.rel_path, *(message.file_op or {}).values()):
        if "\0" in path:
            raise ValueError("a path contains a NUL byte")
        path.encode(errors="surrogateescape")  # other lone surrogates name no file
    for text in (message.source, *(msgspec.structs.astuple(report) if report else ())):
        if isinstance(text, str):
            text.encode(errors="surrogateescape")  # nor can they be shown
        elif isinstance(text, float) and not math.isfinite(text):
            raise ValueError("a number of the report is out of range")


def _finite(text: str) -> float:
    """Refuse numbers that JSON has no way to write: NaN, Infinity, 1e999."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number


def _limit_depth(value: Any, room: int) -> None:
    """Refuse what is nested so deeply that it could be read, but perhaps not written again."""
    if isinstance(value, dict | list):
        if room == 0:
            raise ValueError("nested too deeply")
        for inner in value.values() if isinstance(value, dict) else value:
            _limit_depth(inner, room - 1)


def _mode(value: Any) -> int:
    """Permission bits from an octal text."""
    mode = int(str(value), 8)
    if mode < 0:
        raise ValueError(f"mode {value} is negative")
    return mode & 0o7777


def check_path(rel_path: str) -> str:
    """Return the path of an announcement when it stays below its base, else MessageError."""
    parts = rel_path.split("/")
    if not rel_path or rel_path.startswith("/") or ".." in parts:
        raise MessageError(f"path {printable(rel_path)!r} leaves its base directory")
    return rel_path


def _percent(error: UnicodeError) -> tuple[str, int]:
    """Error handler of codecs: bytes that are no UTF-8 as %FF."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in bad), error.end


_FIELDS: Final = {
    field.encode_name for field in msgspec.structs.fields(Announcement) if field.name != "extra"
}
codecs.register_error("sarra_lite.percent", _percent)
