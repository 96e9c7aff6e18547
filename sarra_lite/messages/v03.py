"""Encodes and decodes messages of format v03: announcements and reports.

The fields are those that metpx-sr3 3.3.1 writes (sr_post(7)).  Decoding is lenient: numbers may be
strings, ``blocks`` may have either shape that sr3 uses, unknown fields are kept and passed on.
Encoding is strict.  ``messages.limits`` has the limits on messages from outside.

File names are bytes.  Bytes that are not UTF-8 become lone surrogates (PEP 383), written as JSON
escapes as sr3 does.  Only the standard library's json can read and write these, msgspec's cannot.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from sarra_lite.errors import MessageError
from sarra_lite.messages import limits
from sarra_lite.messages.limits import clean_text
from sarra_lite.messages.structs import Announcement, Blocks, Identity, Report
from sarra_lite.units import printable, time_string

__all__ = ["Announcement", "Blocks", "Identity", "Report"]

CONTENT_TYPE: Final = "application/json"
_MAX_TOPIC: Final = 255  # bytes in a shortstr of AMQP 0.9.1
_GROWTH: Final = 8  # more than the bytes written for one read: é is \u00e9, 9e15 has 18 digits
_V02: Final = re.compile(rb"\d{8}T?\d{6}\.\d+ \S+ (.*)", re.DOTALL)  # <time> <baseUrl> <relPath>
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
    """Return the message body of an announcement or report.

    A report that would be larger than ``limits.MAX_REPORT`` is written without unknown fields.
    """
    body = _encode(message)
    if message.report is not None and len(body) > limits.MAX_REPORT and message.extra:
        return _encode(msgspec.structs.replace(message, extra={}))
    return body


def _encode(message: Announcement) -> bytes:
    fields = msgspec.to_builtins(message)
    fields.update(fields.pop("extra", {}))
    if message.mode is not None:
        fields["mode"] = f"{message.mode:o}"
    return _JSON.encode(fields).encode()


def decode(body: bytes, content_type: str | None = CONTENT_TYPE) -> Announcement:
    """Return the announcement or report in a body; raise MessageError if it is not usable."""
    if len(body) > limits.MAX_BODY:
        raise MessageError(f"body of {len(body)} bytes; at most {limits.MAX_BODY} are read")
    if (v02 := _V02.match(body)) or content_type == "text/plain":
        path = unquote(os.fsdecode(v02[1]), errors="surrogateescape") if v02 else ""
        text = "v02 is not spoken here: set post_format v03 where this is posted"
        raise MessageError(text, _told_path(path))
    fields = _parse(body)
    known = {k: v for k, v in fields.items() if k in FIELDS and v is not None}
    extra = {k: v for k, v in fields.items() if k not in FIELDS}
    try:
        _normalise(known)
        message = msgspec.convert({**known, "extra": extra}, Announcement, strict=False)
        limits.check(message)
        if message.report is not None:
            message = msgspec.structs.replace(message, report=limits.clean(message.report))
    except (ValueError, TypeError, LookupError, ArithmeticError, MessageError) as error:
        text = f"unusable announcement: {clean_text(str(error))}"
        raise MessageError(text, _told_path(fields.get("relPath"))) from None
    if len(body) * _GROWTH > limits.MAX_BODY:
        _check_written(message)
    return message


def _check_written(message: Announcement) -> None:
    """Raise MessageError when nobody could read what would be written of a message."""
    most = limits.MAX_BODY - limits.REPORT_ROOM
    written = len(encode(msgspec.structs.replace(message, report=None)))
    if written > most:
        raise MessageError(f"it would be written as {written} bytes; at most {most}")


def _told_path(path: object) -> str:
    """Return the path of an unusable message if a report can contain it, else an empty text."""
    try:
        limits.check_path_form(str(path))
    except (MessageError, UnicodeEncodeError):
        return ""
    return path if isinstance(path, str) else ""


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


def _finite(text: str) -> float:
    """Convert a number; raise ValueError for NaN, Infinity and 1e999, which JSON cannot express."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number


# Created once, because json.loads with these arguments creates a decoder for each message.
_JSON_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
