"""Turns paths on disk into announcements, lazily: only a few files are hashed in advance."""

from __future__ import annotations

import os
import stat
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from sarra_lite import process, units
from sarra_lite.errors import SarraError
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement, Identity
from sarra_lite.posting.paths import relative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sarra_lite.config.commands import PostConfig

    Result = Callable[[], Iterable[Announcement]]

THREADS: Final = 4
_MAX_SUBMITTED: Final = 2 * THREADS  # files given to the threads and not yielded yet
_MAX_QUEUED: Final = 500  # paths read and not yielded yet
_SLOW: Final = 256 * 1024  # bytes; a smaller file is hashed faster than a thread takes it over
_HASH_ATTEMPTS: Final = 3  # for a file that changes while it is hashed
# What is announced for values of the option identity that do not read the file.
_NOT_HASHED: Final = {"none": None, "cod": Identity("cod", "sha512")}


def read_paths(separator: bytes) -> Iterator[list[str]]:
    """Yield the paths read from standard input; they may contain any byte but the separator.

    SarraError when it cannot be read.
    """
    rest = b""
    while chunk := process.read(65536):
        *names, rest = (rest + chunk).split(separator)
        yield [os.fsdecode(name) for name in names if name]
    if rest:
        yield [os.fsdecode(rest)]


def walk(paths: Iterable[str], problem: Callable[[str], None]) -> Iterator[str]:
    """Yield each path and everything beneath it, a directory before its contents.

    Symbolic links are not followed.  Memory: the names of directories not visited yet.
    ``problem`` is called with a line for each directory that cannot be read.
    """
    for path in paths:
        yield path
        if os.path.islink(path) or not os.path.isdir(path):  # noqa: PTH112, PTH114  any bytes
            continue
        directories = [path]
        while directories:
            directory = directories.pop()
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        yield entry.path
                        if entry.is_dir(follow_symlinks=False):
                            directories.append(entry.path)
            except OSError as error:
                problem(_error_text(error.filename or directory, error))


def in_order(paths: Iterable[str], config: PostConfig) -> Iterator[Result]:
    """Yield for each path, in order, a function that does what ``announcements`` does with it.

    A file that takes long is hashed in a thread, from when its path is read; all other work is done
    in the caller's thread when the function is called.  Paths are read ahead only while a file is
    being hashed.
    """
    queued: deque[tuple[Future[Iterable[Announcement]] | None, Result]] = deque()
    submitted = 0
    pool = ThreadPoolExecutor(THREADS, "lookahead")
    try:
        for path in paths:
            work = partial(announcements, path, config)
            future = pool.submit(work) if takes_long(path, config) else None
            queued.append((future, future.result if future else work))
            submitted += future is not None
            while queued:
                future, result = queued[0]
                full = submitted == _MAX_SUBMITTED or len(queued) == _MAX_QUEUED
                if future is not None and not future.done() and not full:
                    break
                queued.popleft()
                submitted -= future is not None
                yield result
        yield from (result for _, result in queued)
    finally:
        # The caller may stop early: work that has not begun is not needed then.
        pool.shutdown(wait=False, cancel_futures=True)


def announcements(path: str, config: PostConfig) -> Iterable[Announcement]:
    """Return the announcements of a path in its present state: one, or blocks and a finish.

    None for the base directory itself.  Reads the content for the checksum.  Raise SarraError, with
    one line of text, when the path is absent, not readable, or of a kind that cannot be announced,
    like a socket.
    """
    if not relative(path, config.base_dir):
        return []  # the base directory itself exists on both sides
    try:
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            return _with_content(config, path, status)
        if stat.S_ISLNK(status.st_mode) or stat.S_ISDIR(status.st_mode):
            return [_without_content(config, path, status)]
    except OSError as error:
        raise SarraError(_error_text(path, error)) from None
    raise _not_announced(path)


def _not_announced(path: str) -> SarraError:
    return SarraError(f"{units.printable(path)}: neither file, directory nor link; skipped")


def removal(path: str, config: PostConfig, *, is_dir: bool) -> Announcement:
    """Return the announcement that a path was removed, so that senders remove it too."""
    operation = {"remove": "", "directory": ""} if is_dir else {"remove": ""}
    return _announcement(config, path, file_op=operation)


def renaming(old: str, path: str, config: PostConfig) -> Announcement:
    """Return the announcement that ``old`` was renamed to ``path``.

    It also has what a sender needs to create ``path`` if the destination does not have ``old``.
    """
    # sr3's senders only understand an absolute path, below the path of baseUrl.
    base = unquote(urlsplit(config.baseUrl).path).rstrip("/")
    rename = {"rename": f"{base}/{relative(old, config.base_dir)}"}
    try:
        return _without_content(config, path, os.lstat(path), rename)
    except OSError as error:
        raise SarraError(_error_text(path, error)) from None


def takes_long(path: str, config: PostConfig) -> bool:
    """Return whether announcing a path means hashing so much that a thread should do it."""
    if config.identity in _NOT_HASHED:
        return False
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_size >= _SLOW
        and (config.checksum or not _large(status, config))
    )


def _large(status: os.stat_result, config: PostConfig) -> bool:
    """Return whether a file is larger than a block: the senders hash it."""
    return status.st_size > blocks.block_size(status.st_size, config.blockSize)


def _with_content(config: PostConfig, path: str, status: os.stat_result) -> Iterable[Announcement]:
    """Return a regular file's announcement with its identity, or those of its blocks."""
    for _ in range(_HASH_ATTEMPTS):
        whole = _without_content(config, path, status)
        method = config.identity
        if _large(status, config) and not config.checksum:
            os.close(os.open(path, os.O_RDONLY))  # raises OSError if the file is not readable
            if not config.force:
                return blocks.split(whole, config.blockSize)
            method = "cod"
        identity = _NOT_HASHED[method] if method in _NOT_HASHED else blocks.hash_file(path, method)
        after = os.lstat(path)
        if (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return [msgspec.structs.replace(whole, identity=identity)]
        status = after
    raise SarraError(f"{units.printable(path)}: changes while it is read; not announced")


def _without_content(
    config: PostConfig, path: str, status: os.stat_result, rename: dict[str, str] | None = None
) -> Announcement:
    """Announce a link, directory, or file without its identity; with ``rename``, its renaming."""
    operation = rename or {}
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return _announcement(config, path, file_op=operation | {"link": os.readlink(path)})
    if stat.S_ISDIR(status.st_mode):
        return _announcement(config, path, mode=mode, file_op=operation | {"directory": ""})
    if not stat.S_ISREG(status.st_mode):
        raise _not_announced(path)
    mtime = _time(status.st_mtime_ns)
    if mtime is None:
        raise SarraError(
            f"{units.printable(path)}: its time is not in the years 1 to 9999; skipped"
        )
    return _announcement(
        config,
        path,
        size=status.st_size,
        mtime=mtime,
        atime=_time(status.st_atime_ns),
        mode=mode,
        file_op=rename,
        overwrite=None if rename else _overwrite(config),
    )


def _time(nanoseconds: int) -> str | None:
    """Return the time string of a time of a file; None where there is none."""
    try:
        return units.time_string(nanoseconds)
    except ValueError:
        return None


def _overwrite(config: PostConfig) -> str | None:
    return "always" if config.force else "different" if config.checksum else None


def _announcement(config: PostConfig, path: str, **fields: Any) -> Announcement:
    """Return an announcement with ``fields`` and those that path and configuration determine."""
    return Announcement(
        pub_time=v03.now(),
        base_url=config.baseUrl,
        rel_path=relative(path, config.base_dir),
        source=config.broker.user,
        extra=dict(config.header),
        **fields,
    )


def _error_text(path: str, error: OSError) -> str:
    return f"{units.printable(path)}: {(error.strerror or str(error)).lower()}"
