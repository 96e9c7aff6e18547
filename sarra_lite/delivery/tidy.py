"""Finds what is left at the destination of files that nobody completes any more, and removes it.

A sender leaves nothing behind: it completes or discards what it finds.  But of a file in blocks
whose poster was killed before it announced the finish, no announcement is left.
"""

from __future__ import annotations

import asyncio
import secrets
import stat
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.delivery import staging
from sarra_lite.delivery.markers import is_marker
from sarra_lite.runtime import log
from sarra_lite.sftp.client import SftpError
from sarra_lite.units import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sarra_lite.sftp.client import Attributes, SftpClient

_AT_ONCE: Final = 16  # directories
_FUTURE: Final = 60  # seconds by which clocks of servers on one file system may differ


class Leftover(NamedTuple):
    """What exists of one version of a file.

    ``stem``: its path without suffixes.  ``found``: the attributes of each path.  ``age``: seconds
    since anything of it was written, by the clock of the server.
    """

    stem: str
    found: Mapping[str, Attributes]
    age: float

    @property
    def size(self) -> int:
        """Bytes of content."""
        file = self.found.get(self.stem + staging.FILE)
        return (file and file.size) or 0


async def find(client: SftpClient, top: str, older_than: float) -> AsyncIterator[Leftover]:
    """Yield what was not written for ``older_than`` seconds, in a directory and those below it.

    No symbolic link is followed, but for ``top`` itself.  A directory below it that cannot be
    listed is named in the log.  Raises SftpError when ``top`` cannot be listed.
    """
    below, stems = _sorted_out(top, await client.scandir(top or "."))
    looked_at = [(top, below, stems)]
    waiting: list[str] = []
    while looked_at:
        for directory, below, stems in looked_at:
            waiting += below
            now = await _server_time(client, directory) if stems else 0.0
            for stem in stems:
                leftover = await _examine(client, stem, now)
                if leftover is not None and leftover.age > older_than:
                    yield leftover
        some = [waiting.pop() for _ in range(min(_AT_ONCE, len(waiting)))]
        looked_at = await asyncio.gather(*(_look(client, path) for path in some))


async def unchanged(client: SftpClient, leftover: Leftover) -> bool:
    """Return whether there is still the same as when it was found."""
    now = await _examine(client, leftover.stem, time.time())
    return now is not None and now.found == leftover.found


async def remove(client: SftpClient, leftover: Leftover) -> bool:
    """Remove a leftover; return whether it is gone."""
    await staging.discard(client, leftover.stem)
    stats = [await client.stat(path, follow_symlinks=False) for path in leftover.found]
    return not any(stats)


def _sorted_out(directory: str, entries: Mapping[str, Attributes]) -> tuple[list[str], list[str]]:
    """Return the paths of other directories in one, and stems of what senders have made in it."""
    prefix = _prefix(directory)
    ours = {name: found for name in entries if (found := staging.NAME.fullmatch(name))}
    below = [
        prefix + name
        for name, found in entries.items()
        if name not in ours and stat.S_ISDIR(found.mode or 0)
    ]
    return below, sorted({prefix + found[1] for found in ours.values()})


async def _look(client: SftpClient, directory: str) -> tuple[str, list[str], list[str]]:
    """Return a directory and what ``_sorted_out`` does; nothing if it is none, or not readable."""
    try:
        found, entries = await asyncio.gather(
            client.stat(directory, follow_symlinks=False), client.scandir(directory)
        )
    except SftpError as status:
        if not status.missing:
            log.warning("%s: not searched: %s", printable(directory), str(status).lower())
        return directory, [], []
    # A server may list the attributes of what a link leads to.
    is_directory = found is not None and stat.S_ISDIR(found.mode or 0)
    return directory, *(_sorted_out(directory, entries) if is_directory else ([], []))


async def _examine(client: SftpClient, stem: str, now: float) -> Leftover | None:
    """Return what exists of a version; None for what no sender makes, or what has no known age."""
    found: dict[str, Attributes] = {}
    try:
        for suffix in (staging.FILE, staging.MARKERS, staging.REMOVED_MARKERS):
            path = stem + suffix
            if (one := await client.stat(path, follow_symlinks=False)) is None:
                continue
            # Reading changes the time of the last access.
            found[path] = one._replace(atime=None)
            kind, names = stat.S_IFMT(one.mode or 0), {}
            if suffix != staging.FILE and kind == stat.S_IFDIR:
                names = await client.scandir(path)
            elif suffix != staging.FILE or kind not in (stat.S_IFREG, stat.S_IFLNK):
                return None
            if not all(is_marker(name) and _is_empty(marker) for name, marker in names.items()):
                return None
            found |= {f"{path}/{name}": one._replace(atime=None) for name, one in names.items()}
    except SftpError as status:
        log.warning("%s: left there: %s", printable(stem), str(status).lower())
        return None
    # A time in the future is no time of a write, but was set by a finish that was interrupted.
    times = [one.mtime for one in found.values() if one.mtime and one.mtime <= now + _FUTURE]
    return Leftover(stem, found, now - max(times)) if times else None


def _is_empty(marker: Attributes) -> bool:
    """Return whether these are an empty file's, as far as the server tells."""
    return not marker.size and (marker.mode is None or stat.S_ISREG(marker.mode))


async def _server_time(client: SftpClient, directory: str) -> float:
    """Return the time of the server's clock, or where no file can be made, that of ours."""
    probe = f"{_prefix(directory)}.probe.{secrets.token_hex(4)}{staging.FILE}"
    try:
        await client.touch(probe)
        found = await client.stat(probe)
        await client.remove(probe)
    except SftpError:
        return time.time()
    return (found and found.mtime) or time.time()


def _prefix(directory: str) -> str:
    return f"{directory.rstrip('/')}/" if directory else ""
