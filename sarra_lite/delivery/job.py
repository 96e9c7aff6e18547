"""A job: what is to be done for one announcement.  An outcome: what was done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sarra_lite.messages import blocks
from sarra_lite.sftp.client import Attributes

if TYPE_CHECKING:
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.errors import TransferError
    from sarra_lite.messages.v03 import Announcement, Identity

_MTIME_END: Final = 2**32  # seconds since 1970, an unsigned 32-bit number in SFTP (section 5)
_SUSPECT: Final = 2  # losses
_DEFAULT_METHOD: Final = "sha512"  # of an identity, where none is announced


@dataclass(frozen=True)
class Job:
    """An announcement, the local path of its file, and the path at the destination.

    ``root`` and ``source_root``: the directories, at the destination and here, that an announcement
    of another user must not leave, whatever symbolic links there are.
    ``old_path``: the path at the destination that a rename starts from.  ``redelivered``: the job
    may have been done before without its report being published.  ``given_up``: the job failed with
    this error, only clean up after it.  ``losses``: how many connections ended while it was in
    progress; ``done_before_loss``: how many jobs had been done before the first one ended.
    """

    announcement: Announcement
    source: str
    path: str
    config: SenderConfig
    old_path: str | None = None
    redelivered: bool = False
    given_up: TransferError | None = None
    losses: int = 0
    done_before_loss: int = 0
    root: str | None = None
    source_root: str | None = None

    @property
    def suspect(self) -> bool:
        """Whether it may be what ends connections: it is to be carried out alone."""
        return self.losses >= _SUSPECT

    @property
    def attempt(self) -> int:
        """0 for the first attempt; another number after each lost connection and a redelivery."""
        return self.losses + self.redelivered

    @property
    def content_bytes(self) -> int:
        """Bytes of content that this job sends; 0 for a finish."""
        announcement = self.announcement
        if announcement.blocks is None:
            return announcement.size or 0
        return 0 if announcement.is_finish else announcement.blocks.length

    @property
    def known_identity(self) -> Identity | None:
        """The announced identity of a whole file, if it can be calculated here."""
        identity, whole = self.announcement.identity, self.announcement.blocks is None
        known = whole and identity is not None and identity.method in blocks.METHODS
        return identity if known else None

    @property
    def method(self) -> str:
        """Method of the identity that is calculated of the content sent."""
        if self.announcement.blocks is not None:
            return blocks.COD.value
        known = self.known_identity
        return _DEFAULT_METHOD if known is None else known.method

    @property
    def sets_attributes(self) -> bool:
        """Whether mode or modification time of files and directories are set after their creation.

        Some servers permit neither.
        """
        return self.config.permCopy or self.config.timeCopy

    @property
    def mtime(self) -> int | None:
        """The announced modification time in seconds since 1970, or the nearest one of SFTP."""
        mtime_ns = self.announcement.mtime_ns
        return None if mtime_ns is None else min(max(mtime_ns // 10**9, 0), _MTIME_END - 1)

    @property
    def remark(self) -> str:
        """What the text of the report adds where SFTP cannot express the modification time."""
        mtime_ns = self.announcement.mtime_ns
        if not self.config.timeCopy or mtime_ns is None or mtime_ns // 10**9 == self.mtime:
            return ""
        return "; SFTP has no such modification time: the nearest is 1970 or 2106"

    @property
    def attributes(self) -> Attributes:
        """Mode and modification time (whole seconds) that the complete file gets, None: not set."""
        config, mode = self.config, self.announcement.mode
        if not self.sets_attributes:
            return Attributes()
        return Attributes(
            mode=mode if config.permCopy and mode is not None else config.permDefault,
            mtime=self.mtime if config.timeCopy else None,
        )


@dataclass(frozen=True)
class Outcome:
    """Result of a job: code and text of its report, and what was transferred.

    ``wait``: nothing was done yet, run the job again after so many seconds; ``idle``: for so many
    seconds nothing of the file was written by anybody.  ``seconds``: how long
    it took, which the dispatcher measures; None when it is not known.
    """

    code: int
    message: str
    bytes: int | None = None
    identity: Identity | None = None
    seconds: float | None = None
    wait: float | None = None
    idle: float = math.inf
