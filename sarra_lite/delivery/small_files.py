"""Delivers small files with little processor time; all that is unusual is left to ``deliver``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sarra_lite.delivery.destination import Destination
from sarra_lite.delivery.job import Outcome
from sarra_lite.delivery.source import Source, known_local
from sarra_lite.errors import TransferError
from sarra_lite.messages import blocks
from sarra_lite.sftp.small_file import SmallFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.client import SftpClient


def start(
    client: SftpClient, job: Job, on_end: Callable[[Outcome | BaseException | None], None]
) -> bool:
    """Start to deliver a small file; return False when ``deliver`` is to be called instead.

    ``on_end`` is called with the outcome, with None: ``deliver`` is to be called, or with what
    ended the session.
    """
    if not _is_small(job, client):
        return False
    try:
        attributes = job.attributes
        content = Source(job.source, job.announcement, local=True).read_all()
    except TransferError:
        return False
    announced, digest = job.known_identity, blocks.digest(job.method)
    digest.update(content)
    identity = blocks.identity(job.method, digest.digest())
    if announced not in (None, identity):
        return False

    def ended(result: bool | BaseException) -> None:  # noqa: FBT001  a callback
        if isinstance(result, BaseException):
            on_end(result)
        else:
            on_end(Outcome(201, "file sent", len(content), identity) if result else None)

    unless = None if announced is None else (job.announcement.mtime_ns or 0) // 10**9
    staging = Destination(client, job).staging_file
    client.upload_small(SmallFile(staging, job.path, content, attributes, unless, ended))
    return True


def _is_small(job: Job, client: SftpClient) -> bool:
    """Return whether a job is a whole file of one WRITE, on a local file system."""
    announcement = job.announcement
    return (
        announcement.blocks is None
        and not announcement.file_op
        and announcement.mtime_ns is not None
        and announcement.size is not None
        and announcement.size <= client.max_write
        and not (job.config.verify or job.config.fsync)
        and known_local(job.source) is True
    )
