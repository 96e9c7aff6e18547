"""Paths that are announced, and where they are below the base directory."""

from __future__ import annotations

import os
from functools import lru_cache

from sarra_lite import units
from sarra_lite.errors import UsageError


def relative(path: str, base: str) -> str:
    """Return the relPath of a path below the base directory; UsageError when it is outside.

    Symbolic links above the path and in the base directory are resolved if that is needed to tell;
    the path itself is not.
    """
    found = _below(_normal(path), _normal(base))
    if found is None or ".." in path.split("/"):  # ".." leads elsewhere behind a link
        found = _below(_resolved(path), os.path.realpath(base))
    if found is None:
        names = (units.printable(_normal(path)), units.printable(_normal(base)))
        raise UsageError("{} is not below baseDir {}".format(*names))
    return found


def _below(path: str, base: str) -> str | None:
    """Return a normal path relative to a normal base directory; None when it is outside."""
    if base == "/":
        return path.removeprefix("/")
    if path != base and not path.startswith(base + "/"):
        return None
    return path[len(base) + 1 :]


def _resolved(path: str) -> str:
    """Return a path with the symbolic links above it resolved."""
    directory, name = os.path.split(path.rstrip("/") or "/")
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(directory), name)  # noqa: PTH118  any bytes


@lru_cache(8)  # for the base directory, and for the path that is being announced
def _normal(path: str) -> str:
    return absolute(path)


def absolute(path: str) -> str:
    """Return an absolute path without ``.`` and ``..``.

    UsageError for a relative path in a working directory that was removed.
    """
    try:
        path = os.path.abspath(path)  # noqa: PTH100  pathlib would resolve nothing more, slower
    except FileNotFoundError:
        raise UsageError(f"{units.printable(path)}: the working directory is removed") from None
    # POSIX leaves the meaning of two leading slashes to the system; on Linux they are one.
    return path[1:] if path.startswith("//") else path
