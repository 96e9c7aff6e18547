"""A job: what is to be done for one announcement.  An outcome: what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarra_lite.sftp.client import Attributes

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement, Identity


@dataclass(frozen=True)
class Job:
    """An announcement, the local path of its file, and the path at the destination.

    ``old_path``: the path at the destination that a rename starts from.  ``redelivered``: the job
    may have been done before without its report being published.  ``verify``: read back and
    compare what was written.  ``fsync``: flush the file to the server's disk before the report.
    """

    announcement: Announcement
    source: str
    path: str
    old_path: str | None = None
    redelivered: bool = False
    perm_copy: bool = True
    time_copy: bool = True
    perm_default: int = 0o644
    perm_dir_default: int = 0o775
    verify: bool = False
    fsync: bool = False

    @property
    def content_bytes(self) -> int:
        """Bytes of content that this job sends; 0 for a finish."""
        announcement = self.announcement
        if announcement.blocks is None:
            return announcement.size or 0
        return 0 if announcement.is_finish else announcement.blocks.length

    @property
    def attributes(self) -> Attributes:
        """Mode and modification time (whole seconds) that the complete file gets."""
        mode, mtime = self.announcement.mode, self.announcement.mtime_ns
        return Attributes(
            mode=mode if self.perm_copy and mode is not None else self.perm_default,
            mtime=mtime // 10**9 if self.time_copy and mtime is not None else None,
        )


@dataclass(frozen=True)
class Outcome:
    """Result of a job: code and text of its report, and what was transferred.

    ``wait``: nothing was done yet, run the job again after so many seconds.  ``seconds``: duration
    of the whole file, where it is not the duration of this attempt.
    """

    code: int
    message: str
    bytes: int | None = None
    identity: Identity | None = None
    seconds: float | None = None
    wait: float | None = None
