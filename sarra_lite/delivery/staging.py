"""Names of what is at the destination until a file is complete: its staging file and its markers.

Both are beside the file, and their names are its own with a version and a suffix.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING, Final

from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement
    from sarra_lite.sftp.client import SftpClient

FILE: Final = ".inflight"
MARKERS: Final = ".blocks"
REMOVED_MARKERS: Final = ".gone.blocks"
# Groups: name without suffix, suffix.  A name may have any bytes.
NAME: Final = re.compile(r"(\..*\.[0-9a-f]{8})(\.inflight|\.blocks|\.gone\.blocks)", re.DOTALL)
ATTEMPTS: Final = 8  # staging files of one whole file
_MAX_NAME_BYTES: Final = 255  # NAME_MAX of every common file system
_ADDED: Final = len(f"..{'0' * 8}{REMOVED_MARKERS}")


def stem(path: str, version: str) -> str:
    """Return the path of a version's files at the destination, which a suffix completes.

    ``version``: 8 hex digits.
    """
    directory, slash, name = path.rpartition("/")
    prefix = os.fsdecode(os.fsencode(name)[: _MAX_NAME_BYTES - _ADDED])
    return f"{directory}{slash}.{prefix}.{version}"


def own_file(path: str, one: Announcement, attempt: int) -> str:
    """Return the staging file of an attempt to send a whole file, or to make a link."""
    seed = f"{one.version}\0{one.pub_time}\0{attempt % ATTEMPTS}"
    return stem(path, hashlib.sha256(seed.encode()).hexdigest()[:8]) + FILE


async def discard(client: SftpClient, of_version: str) -> None:
    """Remove the staging file and all markers of a stem, as far as they exist.

    The marker directory is renamed first, at once with the removal of the staging file: from
    then on no connection can mark a block that it has written into the removed file.
    """
    removed_markers = of_version + REMOVED_MARKERS
    for _ in range(2):  # again, if an earlier attempt ended before all markers were removed
        _, renamed, names = await asyncio.gather(
            client.remove_all([of_version + FILE]),
            client.rename(of_version + MARKERS, removed_markers),
            client.listdir(removed_markers),
            return_exceptions=True,
        )
        for error in (renamed, names):
            if isinstance(error, BaseException) and not isinstance(error, SftpError):
                raise error
        if not isinstance(names, list):
            return
        await client.remove_all(f"{removed_markers}/{name}" for name in names)
        with contextlib.suppress(SftpError):
            await client.rmdir(removed_markers)
        if not isinstance(renamed, SftpError) or renamed.missing:
            return
