"""Creates single directories, and tells those made in passing from those that were there before.

A directory that exists keeps its mode.  But of several senders, one may make a directory for a file
in it before another one gets the announcement of the directory itself, whose mode it shall have.
So a directory made in passing gets an access time that no other one has.
"""

from __future__ import annotations

import asyncio
import stat
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery.attributes import directory_mode
from sarra_lite.errors import TransferError
from sarra_lite.sftp.client import Attributes

if TYPE_CHECKING:
    from sarra_lite.delivery.attributes import AttributeSetter
    from sarra_lite.sftp.client import SftpClient

_IN_PASSING: Final = 1  # second after 1970
_BEING_MADE: Final = 60.0  # seconds: longer ago, no sender is still about to set the access time
_SET_BY: Final = 1.0  # seconds


async def make(
    client: SftpClient, path: str, mode: int, setter: AttributeSetter | None, *, in_passing: bool
) -> bool:
    """Create a directory with a mode, set by ``setter``; return False when it exists.

    Raises SftpError when a directory above it is missing, TransferError 409 when something else has
    its name.
    """
    made, found = await asyncio.gather(
        client.mkdir(path, directory_mode(mode, Attributes())),
        client.stat(path),
        return_exceptions=True,
    )
    if isinstance(found, BaseException):
        raise found
    if made is None:
        if found is not None and setter is not None:
            # The server has applied its umask, and the file system may have added S_ISGID.
            wanted = directory_mode(mode, found)
            if in_passing:
                times = Attributes(mode=wanted, mtime=found.mtime, atime=_IN_PASSING)
                await setter.set(path, times, f"mode of {path}")
            elif stat.S_IMODE(found.mode or 0) != wanted:
                await setter.set(path, Attributes(mode=wanted), f"mode of {path}")
        return True
    # A link to nothing is in the way; what another sender has made meanwhile is not.
    found = found or await client.stat(path, follow_symlinks=False)
    if found is None:
        raise made
    if not stat.S_ISDIR(found.mode or 0):
        raise TransferError(409, f"{path} is in the way: no directory") from None
    return False


async def existing(client: SftpClient, path: str, wanted: int, default: int) -> Attributes:
    """Return the attributes of a directory that exists; ``default``: as in ``made_in_passing``.

    If its mode is not ``wanted``, and another sender may just be making it, wait for that.
    """
    found = await client.stat(path) or Attributes()
    if (
        stat.S_IMODE(found.mode or 0) != directory_mode(wanted, found)
        and not made_in_passing(found, default)
        and abs(time.time() - (found.mtime or 0)) < _BEING_MADE
    ):
        await asyncio.sleep(_SET_BY)
        found = await client.stat(path) or Attributes()
    return found


def made_in_passing(found: Attributes, default: int) -> bool:
    """Return whether a sender made a directory in passing with the mode ``default``.

    False when somebody has changed the mode since, or has read the directory.
    """
    mode = stat.S_IMODE(found.mode or 0)
    return found.atime == _IN_PASSING and mode == directory_mode(default, found)
