"""From paths on disk to announcements, lazily: a tree is never listed or hashed ahead."""

from __future__ import annotations

import functools
import logging
import os
import stat
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from sarra_lite import units
from sarra_lite.errors import SarraError, UsageError
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sarra_lite.config.commands import PostConfig

log = logging.getLogger("sarra_lite")

_LONG: Final = 256 * 1024  # bytes; fewer are hashed in less time than it takes to tell a thread
_TRIES: Final = 3  # to hash a file that changes meanwhile


def walk(paths: Iterable[str | None], problem: Callable[[str], None]) -> Iterator[str | None]:
    """Yield each path and, of a directory, all beneath it; a directory comes before its contents.

    Symbolic links are yielded, not followed.  Uses memory for one directory per level only.
    ``problem`` gets a line for each directory that cannot be read.  ``None``, where the next path
    may be long in coming, is passed on.
    """
    for path in paths:
        yield path
        if path is not None and not os.path.islink(path) and os.path.isdir(path):  # noqa: PTH112, PTH114  any bytes
            yield from _beneath(path, problem)


def _beneath(directory: str, problem: Callable[[str], None]) -> Iterator[str]:
    open_directories = [directory]
    while open_directories:
        try:
            with os.scandir(open_directories.pop()) as entries:
                for entry in entries:
                    yield entry.path
                    if entry.is_dir(follow_symlinks=False):
                        open_directories.append(entry.path)
        except OSError as error:
            name = os.fsdecode(error.filename or directory)
            problem(f"{units.printable(name)}: {_why(error)}")


def relative(path: str, base: str) -> str:
    """Return the relPath of a path below the base directory; UsageError when it is outside."""
    path = _normal(path)
    base = _absolute(base)
    if base == "/":
        return path.removeprefix("/")
    if path != base and not path.startswith(base + "/"):
        raise UsageError(f"{units.printable(path)} is not below baseDir {units.printable(base)}")
    return path[len(base) + 1 :]


@functools.cache
def _absolute(base: str) -> str:
    return _normal(base)


def _normal(path: str) -> str:
    path = os.path.abspath(path)  # noqa: PTH100  pathlib would resolve nothing more, slower
    # POSIX leaves to each system what two slashes at the beginning mean; Linux takes them for one.
    return path[1:] if path.startswith("//") else path


def announcements(path: str, config: PostConfig) -> Iterator[Announcement]:
    """Yield what is to be posted of one path as it is now: one message, or blocks and a finish.

    Raises SarraError, in one line, when it cannot be announced: absent, not readable, a socket.
    """
    rel_path = relative(path, config.base_dir)
    if not rel_path:
        return  # the base itself exists at both ends
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            yield _made(config, rel_path, file_op={"link": os.readlink(path)})
        elif stat.S_ISDIR(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            yield _made(config, rel_path, mode=mode, file_op={"directory": ""})
        elif stat.S_ISREG(found.st_mode):
            yield from _file(config, path, rel_path, found)
        else:
            raise SarraError(f"{units.printable(path)}: neither file, directory nor link; skipped")
    except OSError as error:
        raise SarraError(f"{units.printable(path)}: {_why(error)}") from None


def removal(path: str, config: PostConfig, *, is_dir: bool) -> Announcement:
    """Announce that a name is gone, so that it goes at the destination, too."""
    operation = {"remove": "", "directory": ""} if is_dir else {"remove": ""}
    return _made(config, relative(path, config.base_dir), file_op=operation)


def renaming(old: str, path: str, config: PostConfig) -> Announcement:
    """Announce that ``old`` is now called ``path``, with what a sender needs to send it anew."""
    # Absolute, below the path of baseUrl, as sr3 does: its senders understand nothing else.
    base = unquote(urlsplit(config.baseUrl).path).rstrip("/")
    rename = {"rename": f"{base}/{relative(old, config.base_dir)}"}
    rel_path = relative(path, config.base_dir)
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            rename["link"] = os.readlink(path)
            return _made(config, rel_path, file_op=rename)
        if stat.S_ISDIR(found.st_mode):
            rename["directory"] = ""
            mode = stat.S_IMODE(found.st_mode)
            return _made(config, rel_path, mode=mode, file_op=rename)
    except OSError as error:
        raise SarraError(f"{units.printable(path)}: {_why(error)}") from None
    return msgspec.structs.replace(_regular(config, rel_path, found), file_op=rename)


def _file(
    config: PostConfig, path: str, rel_path: str, found: os.stat_result
) -> Iterator[Announcement]:
    """A file in one piece with its identity, or in blocks whose identity the sender calculates."""
    for _ in range(_TRIES):
        whole = _regular(config, rel_path, found)
        if found.st_size > blocks.block_size(found.st_size, config.blockSize):
            os.close(os.open(path, os.O_RDONLY))  # only to learn now that it may be read
            yield from blocks.split(whole, config.blockSize)
            return
        identity = _identity(path, config.identity)
        after = os.lstat(path)
        if (after.st_size, after.st_mtime_ns) == (found.st_size, found.st_mtime_ns):
            yield msgspec.structs.replace(whole, identity=identity)
            return
        found = after
    raise SarraError(f"{units.printable(path)}: changes while it is read; not announced")


def _identity(path: str, method: str) -> Identity | None:
    if method == "none":
        return None
    if method == "cod":
        return Identity("cod", "sha512")
    return blocks.hash_file(path, method)


def takes_long(path: str, config: PostConfig) -> bool:
    """Whether there is so much to be read for the announcement of a path that others can wait."""
    if config.identity in ("none", "cod"):
        return False
    try:
        found = os.lstat(path)
    except OSError:
        return False
    most = blocks.block_size(found.st_size, config.blockSize)
    return stat.S_ISREG(found.st_mode) and _LONG <= found.st_size <= most


def _regular(config: PostConfig, rel_path: str, found: os.stat_result) -> Announcement:
    return _made(
        config,
        rel_path,
        size=found.st_size,
        mtime=units.time_string(found.st_mtime_ns),
        atime=units.time_string(found.st_atime_ns),
        mode=stat.S_IMODE(found.st_mode),
    )


def _made(config: PostConfig, rel_path: str, **fields: Any) -> Announcement:
    """Return an announcement with the fields that all of a configuration have."""
    return Announcement(
        pub_time=v03.now(),
        base_url=config.baseUrl,
        rel_path=rel_path,
        source=config.user,
        extra=dict(config.header),
        **fields,
    )


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
