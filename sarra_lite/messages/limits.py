"""Limits on messages from outside, and on what this package writes: docs/reference/limits.md.

Whoever may publish chooses each byte of a message, so what is accepted here is all that the rest of
the package has to cope with.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sarra_lite.errors import MessageError
from sarra_lite.units import nanoseconds, printable

if TYPE_CHECKING:
    from sarra_lite.messages.structs import Announcement, Report

MAX_BODY: Final = 8 * 1024 * 1024  # bytes; sr3's manifest of 1 TiB in 50 MiB blocks has 2.7 MB
REPORT_ROOM: Final = 64 * 1024  # bytes of it that are left for the report on an announcement
# Bytes of a report that is written.  What is more are fields unknown here, such as sr3's list of
# all blocks, which the announcement has: paths and texts are shorter.
MAX_REPORT: Final = 64 * 1024
MAX_DEPTH: Final = 50  # levels of nesting in an unknown field
MAX_PATH: Final = 4096  # bytes; PATH_MAX of Linux
MAX_NAME: Final = 255  # bytes; NAME_MAX of every common file system
MAX_NAMES: Final = 256  # names in a path
MAX_URL: Final = 4096  # bytes
MAX_TEXT: Final = 1000  # characters of a text that people read
MAX_SHORT: Final = 255  # characters of a name, method, time or checksum; AMQP's user names: 255
MAX_BLOCKS: Final = 2**31  # blocks of a file
_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f]")
# Fields of a report.
_READ_BY_PEOPLE: Final = (
    *("message", "host", "user", "instance", "rejected"),
    *("limited_by", "why", "connections"),
)


def clean_text(text: str) -> str:
    """Return a text of a stranger as one printable line, cut to MAX_TEXT characters."""
    text = printable(text)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def clean(report: Report) -> Report:
    """Return a report whose texts are safe for a terminal and a journal."""
    texts = {name: getattr(report, name) for name in _READ_BY_PEOPLE}
    cleaned = {name: clean_text(text) for name, text in texts.items() if text is not None}
    if cleaned.items() <= texts.items():
        return report
    return msgspec.structs.replace(report, **cleaned)


def check_path_form(path: str, what: str = "path") -> None:
    """Raise MessageError for a path that no file system has: too long, too deep, with NUL."""
    raw = path.encode(errors="surrogateescape")
    names = raw.split(b"/")
    problem = ""
    if len(raw) > MAX_PATH:
        problem = f"{len(raw)} bytes; at most {MAX_PATH}"
    elif len(names) > MAX_NAMES:
        problem = f"{len(names)} names; at most {MAX_NAMES}"
    elif (longest := max(map(len, names))) > MAX_NAME:
        problem = f"a name of {longest} bytes; at most {MAX_NAME}"
    elif b"\0" in raw:
        problem = "a NUL byte"
    if problem:
        raise MessageError(f"{what} has {problem}: {printable(path[:80])}")


def check(message: Announcement) -> None:
    """Raise ValueError or MessageError for values that no file has, or that nobody can write."""
    _check_time("pubTime", message.pub_time)
    for name, time in (("mtime", message.mtime), ("atime", message.atime)):
        if time:
            _check_time(name, time, before_1970=True)
    check_path_form(message.rel_path, "relPath")
    for operation, path in (message.file_op or {}).items():
        check_path_form(path, f"fileOp {operation[:20]}")
    _check_word("baseUrl", message.base_url, MAX_URL)
    for name, word in (("source", message.source), ("contentType", message.content_type)):
        _check_word(name, word)
    if message.identity:
        _check_word("identity", message.identity.method + message.identity.value)
    if message.blocks and message.blocks.count > MAX_BLOCKS:
        raise ValueError(f"{message.blocks.count} blocks; at most {MAX_BLOCKS}")
    if message.report:
        _check_report(message.report)
    _check_depth(message.extra, MAX_DEPTH)


def _check_report(report: Report) -> None:
    _check_time("timeCompleted", report.time_completed)
    if report.identity:
        _check_word("identity", report.identity.method + report.identity.value)
    for number in (report.seconds, report.rate, report.will_retry):
        if number is not None and not math.isfinite(number):
            raise ValueError("a number of the report is out of range")


def _check_time(name: str, time: str, *, before_1970: bool = False) -> None:
    """Raise ValueError for what is no time, or for one that no clock of ours has shown."""
    _check_word(name, time)
    if nanoseconds(time) < 0 and not before_1970:
        raise ValueError(f"{name} {time[:40]} is before 1970")


def _check_word(name: str, word: str | None, most: int = MAX_SHORT) -> None:
    """Raise ValueError for text with control characters, and for more than ``most`` of it."""
    if word is None:
        return
    if len(word.encode(errors="surrogateescape")) > most:
        raise ValueError(f"{name} has more than {most} bytes")
    if _CONTROL.search(word):
        raise ValueError(f"{name} contains a control character")


def _check_depth(value: Any, levels: int) -> None:
    """Raise ValueError for nesting deeper than some levels, which may fail when it is encoded."""
    if isinstance(value, dict | list):
        if levels == 0:
            raise ValueError("nested too deeply")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, levels - 1)
