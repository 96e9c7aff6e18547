"""Encodes and decodes messages of format v03: announcements and reports.

The fields are those that metpx-sr3 3.3.1 writes (sr_post(7)).  Decoding is lenient: numbers may be
strings, ``blocks`` may have either shape that sr3 uses, unknown fields are kept and passed on.
Encoding is strict.  The limits on messages from outside are here.

File names are bytes.  Bytes that are not UTF-8 become lone surrogates (PEP 383), written as JSON
escapes as sr3 does.  Only the standard library's json can read and write these, msgspec's cannot.
"""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any, Final

import msgspec

from sarra_lite.errors import MessageError
from sarra_lite.messages.structs import Announcement, Blocks, Identity, Report
from sarra_lite.units import nanoseconds, printable, time_string

__all__ = ["Announcement", "Blocks", "Identity", "Report"]

CONTENT_TYPE: Final = "application/json"
_MAX_BODY: Final = 8 * 1024 * 1024  # bytes; sr3's manifest of 1 TiB in 50 MiB blocks has 2.7 MB
_MAX_TOPIC: Final = 255  # bytes in a shortstr of AMQP 0.9.1
_MAX_DEPTH: Final = 50  # levels of nesting in an unknown field
_V02: Final = re.compile(rb"\d{8}T?\d{6}\.\d+ \S+ ")  # <time> <baseUrl> <relPath>
_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)
# sr3 writes %22 for *, although %2A would be right.  Bytes that are not UTF-8 become %80 to %FF.
_TOPIC_ESCAPES: Final = str.maketrans(
    {"#": "%23", "*": "%22", **{chr(0xDC00 + byte): f"%{byte:X}" for byte in range(0x80, 0x100)}}
)
_SR3_REPORT: Final = {"resultCode": "code", "elapsedTime": "seconds"}  # as sr3 documents it
FIELDS: Final = {
    field.encode_name for field in msgspec.structs.fields(Announcement) if field.name != "extra"
}


def now() -> str:
    """Return the current time as a Sarracenia time string."""
    return time_string(time.time_ns())


def topic(prefix: str, rel_path: str) -> str:
    """Return a path's routing key: prefix and directories, escaped as in sr3, cut to 255 bytes."""
    parents = (part.translate(_TOPIC_ESCAPES) for part in rel_path.split("/")[:-1] if part)
    return ".".join([prefix, *parents]).encode()[:_MAX_TOPIC].decode(errors="ignore")


def check_path(rel_path: str) -> str:
    """Return a path that stays below its base directory; raise MessageError for any other."""
    if not rel_path or rel_path.startswith("/") or ".." in rel_path.split("/"):
        raise MessageError(f"path {printable(rel_path)!r} leaves its base directory")
    return rel_path


def encode(message: Announcement) -> bytes:
    """Return the message body of an announcement or report."""
    fields = msgspec.to_builtins(message)
    fields.update(fields.pop("extra", {}))
    if message.mode is not None:
        fields["mode"] = f"{message.mode:o}"
    return _JSON.encode(fields).encode()


def decode(body: bytes, content_type: str | None = CONTENT_TYPE) -> Announcement:
    """Return the announcement or report in a body; raise MessageError if it is not usable."""
    if content_type == "text/plain" or _V02.match(body):
        raise MessageError("v02 is not spoken here: set post_format v03 where this is posted")
    if len(body) > _MAX_BODY:
        raise MessageError(f"body of {len(body)} bytes; at most {_MAX_BODY} are read")
    fields = _parse(body)
    known = {k: v for k, v in fields.items() if k in FIELDS and v is not None}
    extra = {k: v for k, v in fields.items() if k not in FIELDS}
    try:
        _check_depth(extra, _MAX_DEPTH)
        _normalise(known)
        message = msgspec.convert({**known, "extra": extra}, Announcement, strict=False)
        _check_values(message)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise MessageError(f"unusable announcement: {printable(str(error))}") from None
    return message


def _parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a message body; raise MessageError when it has none."""
    problem = "not a JSON object"
    try:
        fields = _JSON_DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
        if isinstance(fields, dict):
            return fields
    except (ValueError, RecursionError) as error:
        problem = f"not JSON ({error})"
    raise MessageError(f"{problem}: {printable(body[:120].decode(errors='backslashreplace'))}")


def _normalise(fields: dict[str, Any]) -> None:
    """Convert fields that sr3 and sr3_cpost write differently into one form, in place."""
    if "mode" in fields:
        mode = int(str(fields["mode"]), 8)
        if mode < 0:
            raise ValueError(f"mode {fields['mode']} is negative")
        fields["mode"] = mode & 0o7777
    if isinstance(fields.get("relPath"), str):
        fields["relPath"] = fields["relPath"].removeprefix("/")
    if isinstance(fields.get("blocks"), dict):
        fields["blocks"] = blocks = _blocks(fields["blocks"])
        fields["size"] = blocks.file_size
    if isinstance(fields.get("report"), dict):
        report = {_SR3_REPORT.get(key, key): value for key, value in fields["report"].items()}
        fields["report"] = {"message": "", "timeCompleted": now()} | report
    if isinstance(fields.get("fileOp"), dict):
        fields["fileOp"] = {k: "" if v is None else v for k, v in fields["fileOp"].items()}


def _blocks(fields: dict[str, Any]) -> Blocks:
    """Convert ``manifest`` (sr3 in Python) or ``count`` and ``remainder`` (sr3 in C, and ours)."""
    if isinstance(manifest := fields.get("manifest"), dict):
        last = int(manifest[str(len(manifest) - 1)]["size"])
        fields |= {"count": len(manifest), "remainder": last % int(fields["size"])}
    blocks = msgspec.convert(fields, Blocks, strict=False)
    if blocks.method != "inplace":
        raise ValueError(f"blocks of method {blocks.method!r}; only inplace is known")
    if not 0 <= blocks.remainder < blocks.size or not 0 <= (blocks.number or 0) < blocks.count:
        raise ValueError(f"blocks make no sense: {blocks}")
    return blocks


def _check_values(message: Announcement) -> None:
    """Raise ValueError for values that no file has or that could not be encoded again."""
    nanoseconds(message.pub_time)
    if message.mtime:
        nanoseconds(message.mtime)
    if report := message.report:
        nanoseconds(report.time_completed)
    paths = (message.base_url, message.rel_path, *(message.file_op or {}).values())
    if any("\0" in path for path in paths):
        raise ValueError("a path contains a NUL byte")
    for value in (*paths, message.source, *(msgspec.structs.astuple(report) if report else ())):
        if isinstance(value, str):
            value.encode(errors="surrogateescape")  # raises for surrogates that stand for no byte
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("a number of the report is out of range")


def _check_depth(value: Any, levels: int) -> None:
    """Raise ValueError for nesting deeper than some levels, which may fail when it is encoded."""
    if isinstance(value, dict | list):
        if levels == 0:
            raise ValueError("nested too deeply")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, levels - 1)


def _finite(text: str) -> float:
    """Convert a number; raise ValueError for NaN, Infinity and 1e999, which JSON cannot express."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number


# Created once, because json.loads with these arguments creates a decoder for each message.
_JSON_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
