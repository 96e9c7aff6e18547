"""What is to be done for an announcement, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarra_lite.sftp.client import Attributes

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement, Identity


@dataclass(frozen=True)
class Job:
    """An announcement, the file here, and its path at the destination.

    ``old_path``: the name that a rename takes away there.  ``redelivered``: somebody may have done
    it before, and died before he could report it.  ``verify``: what was written is read again and
    compared.  ``fsync``: it is on the server's disk before it is reported.
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
    def mode(self) -> int:
        """Mode that the file is to have."""
        announced = self.announcement.mode
        return announced if self.perm_copy and announced is not None else self.perm_default

    @property
    def attributes(self) -> Attributes:
        """Mode and modification time that the file is to have."""
        mtime = self.announcement.mtime_ns
        find_copies = self.time_copy and mtime is not None
        return Attributes(mode=self.mode, mtime=(mtime or 0) // 10**9 if find_copies else None)


@dataclass(frozen=True)
class Outcome:
    """What was done: code and line of the report, and what it took.

    ``wait``: nothing yet, look again in so many seconds.  ``seconds``: how long it took in all,
    where that is not the time of this attempt.
    """

    code: int
    message: str
    bytes: int | None = None
    identity: Identity | None = None
    seconds: float | None = None
    wait: float | None = None
