"""Whether a large file fits at the destination, and which limit leaves how much there."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.errors import DestinationFull
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    import os

    from sarra_lite.sftp.client import SftpClient

_LARGE: Final = 16 * 1024 * 1024  # bytes; what is smaller is not worth a question


async def check_fits(client: SftpClient, path: str, needed: int) -> None:
    """Raise DestinationFull if the server says that ``needed`` bytes, if many, do not fit.

    What the server does not tell is not an obstacle.
    """
    if needed < _LARGE:
        return
    directory, found = await innermost(client, path)
    if found is not None and has_less(found, needed):
        raise await full(client, directory, found, needed)


async def innermost(client: SftpClient, path: str) -> tuple[str, os.statvfs_result | None]:
    """Return the innermost directory of a path for which statvfs answers, and the answer."""
    for directory in map(str, PurePosixPath(path).parents):
        if (found := await client.statvfs(directory)) is not None:
            return directory, found
    return "", None


def has_less(found: os.statvfs_result, needed: int) -> bool:
    """Return whether fewer than ``needed`` bytes are left, as far as the server tells."""
    return found.f_blocks > 0 and _left(found) < needed


def is_used_up(found: os.statvfs_result) -> bool:
    """Return whether no byte is left, or no name, which some file systems do not count."""
    return found.f_bavail == 0 or (found.f_files > 0 and found.f_favail == 0)


async def full(
    client: SftpClient, directory: str, found: os.statvfs_result, needed: int = 0
) -> DestinationFull:
    """Return the error that tells which limit is reached, and how much is left of it."""
    limit = await _limit(client, directory, found)
    if not needed and _left(found) > 0:
        return DestinationFull(f"destination: no space left: no more names, {limit}")
    asked = f"{units.show_size(needed)} needed, " if needed else ""
    left = f"{units.show_size(_left(found))} of {units.show_size(_total(found))} left"
    return DestinationFull(f"destination: no space left: {asked}{left}, {limit}")


async def _limit(client: SftpClient, directory: str, found: os.statvfs_result) -> str:
    """Return what the numbers of statvfs are those of: a directory's quota, or a file system.

    A file system with quotas of directories (GlusterFS, project quotas of ext4 and XFS, Lustre)
    answers for a directory with the quota as the total.  It is the quota of the outermost directory
    with this total.
    """
    try:
        at = PurePosixPath(await client.realpath(directory))
    except SftpError:
        return "the file system or a quota"
    for parent in at.parents:
        above = await client.statvfs(str(parent))
        if above is None or above.f_fsid != found.f_fsid:
            break
        if _total(above) != _total(found):
            return f"quota of {at}"
        at = parent
    return f"file system of {at}"


def _left(found: os.statvfs_result) -> int:
    return found.f_bavail * found.f_frsize


def _total(found: os.statvfs_result) -> int:
    return found.f_blocks * found.f_frsize
