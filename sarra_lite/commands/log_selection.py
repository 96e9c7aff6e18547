"""sr_log: which reports are shown, by name, user, time and result."""

from __future__ import annotations

import fnmatch
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from sarra_lite.posting import paths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from sarra_lite.messages.v03 import Announcement, Report

    Reported = tuple[Announcement, Report]

_WILDCARDS: Final = re.compile(r"\[.*?\]|[*?]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")  # written the same way in every message


class Name:
    """A name on the command line: a file's, as ``sr_post`` takes it, or part of it, or a pattern.

    It stands for what is below it, too, since it may be a directory.
    """

    def __init__(self, name: str) -> None:
        """``name`` may begin with ``~``, or be relative to the current directory."""
        self.text = name
        self._pattern = os.path.normpath(name).lstrip("/")
        self._path = paths.absolute(os.path.expanduser(name)).strip("/")  # noqa: PTH111
        plain = (_PLAIN.findall(part) for part in _WILDCARDS.split(self._path.rpartition("/")[2]))
        pieces = [piece for found in plain for piece in found]
        self._piece = max(pieces, key=len, default="").encode()

    def may_be_in(self, body: bytes) -> bool:
        """Whether a message may be about it; this takes a tenth of decoding the message."""
        return self._piece in body

    def matches(self, announcement: Announcement) -> bool:
        """Whether an announcement is about it, or about something below it."""
        path = announcement.rel_path
        base = _base_path(announcement.base_url)
        last = path.rpartition("/")[2]
        return (
            any(_matches(name, self._pattern) for name in (path, last))
            or _matches(base + path, self._path)
            or (not base and self._path.endswith(f"/{path}"))  # below some baseDir
        )


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is, is below, or matches a pattern; brackets in names are common."""
    return name == pattern or name.startswith(f"{pattern}/") or fnmatch.fnmatchcase(name, pattern)


@lru_cache(64)
def _base_path(base_url: str) -> str:
    """Return the directory of a baseUrl, as in ``home/earnest/``; "" if it does not tell one."""
    try:
        url = urlsplit(base_url)
    except ValueError:  # a stranger wrote it
        return ""
    path = unquote(url.path, errors="surrogateescape").strip("/")
    return f"{path}/" if path and url.scheme == "file" else ""


class Selection:
    """The reports that the flags of sr_log select.

    ``unreported``: the names that no report was about.  With --failed and --unfinished, what is
    selected is known at the end: ``remaining`` has it.
    """

    def __init__(self, args: argparse.Namespace, earliest: str) -> None:
        """``earliest``: a Sarracenia time; the broker delivers some older reports, too."""
        self._args = args
        self._earliest = earliest
        self._names = [Name(name) for name in args.names]
        self.unreported = list(self._names)
        self._collects = (args.failed or args.unfinished) and not args.follow
        self._collected: dict[tuple[str | None, str], list[Reported]] = {}

    def may_want(self, body: bytes) -> bool:
        """Whether a message has to be decoded to know whether it is wanted."""
        return not self._names or any(name.may_be_in(body) for name in self._names)

    def take(self, announcement: Announcement, report: Report) -> bool:
        """Consider a report; return whether it is to be shown now."""
        args = self._args
        if report.time_completed < self._earliest or not self._named(announcement):
            return False
        if args.user not in (None, announcement.source):
            return False
        if self._collects:
            self._collect(announcement, report)
            return False
        return (args.blocks or announcement.block is None or not report.arrived) and not (
            args.failed and report.arrived
        )

    def remaining(self) -> Iterable[Reported]:
        """Return what was collected and is still true, oldest first."""
        reports = (one for collected in self._collected.values() for one in collected)
        return sorted(reports, key=lambda one: one[1].time_completed)

    def _named(self, announcement: Announcement) -> bool:
        matching = [name for name in self._names if name.matches(announcement)]
        if matching and self.unreported:
            self.unreported = [name for name in self.unreported if name not in matching]
        return bool(matching) or not self._names

    def _collect(self, announcement: Announcement, report: Report) -> None:
        """Keep what failed, or is not finished, until a later report says otherwise."""
        file = (announcement.source, announcement.rel_path)
        before = self._collected.pop(file, [])
        kept = [one for one in before if not self._settles(announcement, report, one)]
        finished = report.final and announcement.block is None
        if not (report.arrived if self._args.failed else finished):
            kept.append((announcement, report))
        if kept:
            self._collected[file] = kept

    def _settles(self, announcement: Announcement, report: Report, earlier: Reported) -> bool:
        """Whether a report makes an earlier one on the same path history."""
        block = announcement.block
        if self._args.unfinished:  # one line for a file: its latest report
            return announcement.pub_time >= earlier[0].pub_time
        return report.arrived and (block is None or block == earlier[0].block)
