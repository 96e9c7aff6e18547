"""Names of files on a command line, since when, and which messages are about them."""

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

    from sarra_lite.messages.v03 import Announcement

_WILDCARDS: Final = re.compile(r"\[.*?\]|[*?]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")  # written the same way in every message


def add_arguments(parser: argparse.ArgumentParser, since: str | None, default: str) -> None:
    """Add FILE and ``--since``; ``since`` is the value of a default, which ``default`` tells."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="FILE",
        help="path as sr_post takes it, or name; may have * and ?; of a directory, all below it",
    )
    parser.add_argument(
        "--since",
        default=since,
        help="begin at an age, such as 2h or 7d, or a time in UTC, such as 2026-11-23T22:00"
        f" (default: {default})",
    )


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
