"""The checks of URLs: of the one that announced paths are relative to, and of a web server's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


def problems(url: str, *, is_directory: bool) -> Iterator[str]:
    """Yield a text for each error; ``is_directory``: its path is the directory that it stands for.

    No text repeats the URL, which may contain a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        yield "not a URL: its host cannot be read"
        return
    if parts.scheme != "file" and is_directory:
        yield "not file:, so baseDir must tell which directory it stands for"
    if parts.password is not None:
        yield "contains a password"
    if parts.fragment or parts.query:
        yield "has # or ?; write them as %23 and %3F in a path"
    if parts.path.lstrip("/").startswith("~") and is_directory:
        yield "only shells expand ~; write the directory that it stands for"


def is_web(url: str) -> bool:
    """Return whether it is a URL of http or https with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
