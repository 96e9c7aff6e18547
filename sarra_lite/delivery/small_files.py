"""Delivers small files with little processor time; all that is unusual is left to ``deliver``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sarra_lite.delivery import staging
from sarra_lite.delivery.job import Outcome
from sarra_lite.delivery.permitted import any_state
from sarra_lite.delivery.source import Source
from sarra_lite.delivery.version import is_current
from sarra_lite.errors import TransferError
from sarra_lite.messages import blocks
from sarra_lite.sftp.small_file import End, SmallFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.client import SftpClient


def is_small(client: SftpClient, job: Job) -> bool:
    """Return whether a job is a whole file of one WRITE."""
    announcement = job.announcement
    return (
        announcement.blocks is None
        and not announcement.file_op
        and announcement.overwrite != "different"
        and announcement.mtime_ns is not None
        and announcement.size is not None
        and announcement.size <= client.max_write
        and not (job.config.verify or job.config.fsync)
        and any_state(job)
        and job.sets_attributes
        # Of an earlier attempt a staging file may be left, which ``deliver`` removes.
        and not (job.given_up or job.redelivered)
    )


def start(
    client: SftpClient, job: Job, on_end: Callable[[Outcome | End | BaseException], None]
) -> bool:
    """Start to deliver a small file of a local file system; return False to call ``deliver``.

    ``on_end`` is called with the outcome, with how it ended without one: ``deliver`` is to be
    called, or with what ended the session.
    """
    try:
        content = Source(job.source, job.announcement, local=True).read_all()
    except TransferError:
        return False
    announced, digest = job.known_identity, blocks.digest(job.method)
    digest.update(content)
    identity = blocks.identity(job.method, digest.digest())
    if announced not in (None, identity):
        return False

    def ended(end: End | BaseException) -> None:
        uploaded = end is End.UPLOADED
        on_end(Outcome(201, "file sent", len(content), identity) if uploaded else end)

    always = announced is None or job.announcement.overwrite == "always"
    unless = None if always else job.mtime
    path = staging.own_file(job.path, job.announcement, job.attempt)
    current = partial(is_current, job.source, job.announcement)
    client.upload_small(SmallFile(path, job.path, content, job.attributes, unless, ended, current))
    return True
