"""Keeps announcements of other users than the sender's own in their directory."""

from __future__ import annotations

import asyncio
import posixpath
import stat
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery import staging
from sarra_lite.delivery.permitted import check_private
from sarra_lite.errors import NotPermitted
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sarra_lite.delivery.destination import Destination
    from sarra_lite.sftp.client import SftpClient

_LEADS_OUT: Final = "a symbolic link at the destination leads out of its directory, or to keys"


async def check(destination: Destination) -> None:
    """Raise NotPermitted for what would be outside the root of a job, through symbolic links.

    Nothing is checked for the sender's own user, whose jobs have no root.  Links that lead out are
    not made for others, so only the user himself and the owner of the disk can make them.
    """
    client, job = destination.client, destination.job
    if job.root is None:
        return
    operation = job.announcement.file_op or {}
    paths = [path for path in (job.path, job.old_path) if path is not None]
    for name in {name for path in paths for name in path.split("/")}:
        if staging.NAME.fullmatch(name):
            raise NotPermitted(403, f"{name} is a name of the sender's own files")
    ways = {way for path in paths for way in _ways(path, job.root)}
    if "remove" in operation:
        ways.discard(job.path)  # a link itself is removed
    links = await _links(client, ways)
    for link in links:
        check_private(job.config, await _resolved(client, link, job.root))
    if (target := operation.get("link")) is not None:
        _check_target(job.path, target, job.root)
        if links - {job.path}:
            raise NotPermitted(403, "a link below a link may lead anywhere")


def _ways(path: str, root: str) -> Iterator[str]:
    """Yield a path and those above it, below the root."""
    while path.strip("/") and path != root:
        yield path
        path = path.rpartition("/")[0]


async def _links(client: SftpClient, paths: Iterable[str]) -> set[str]:
    """Return those of some paths that are symbolic links."""
    ordered = list(paths)
    stats = await asyncio.gather(*(client.stat(path, follow_symlinks=False) for path in ordered))
    pairs = zip(ordered, stats, strict=True)
    return {path for path, found in pairs if found and stat.S_ISLNK(found.mode or 0)}


async def _resolved(client: SftpClient, link: str, root: str) -> str:
    """Return where a link leads, below the root; raise NotPermitted if it leads out of it.

    A server may not resolve links, and says then that the link leads to itself.
    """
    try:
        base, parent, real = await asyncio.gather(
            client.realpath(root or "."),
            client.realpath(link.rpartition("/")[0] or "."),
            client.realpath(link),
        )
    except SftpError:
        raise NotPermitted(403, _LEADS_OUT) from None
    below = real.removeprefix(base.rstrip("/") + "/")
    itself = f"{parent.rstrip('/')}/{link.rpartition('/')[2]}"
    if real in (itself, below):
        raise NotPermitted(403, _LEADS_OUT)
    return below


def _check_target(path: str, target: str, root: str) -> None:
    """Raise NotPermitted if the target of a link, as it is written, is outside the root."""
    base = posixpath.join(root, "")
    place = posixpath.normpath(posixpath.join(path.rpartition("/")[0], target))
    inside = place.startswith(base) if base else not place.startswith(("/", "../"))
    if not inside or place == "..":
        raise NotPermitted(403, "the link leads out of its directory")
