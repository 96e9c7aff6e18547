"""What a lane is given to do, and whom it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from sarra_lite.delivery.job import Job, Outcome
    from sarra_lite.delivery.work_stealing import Pool
    from sarra_lite.errors import SarraError, TransferError
    from sarra_lite.sftp.client import SftpClient


@dataclass(frozen=True)
class Done:
    """A lane has finished with a job: an outcome, or why there is none, and the seconds it took."""

    job: Job
    result: Outcome | TransferError
    seconds: float


class Task(NamedTuple):
    """A job; ``give_up``: only leave a mark that it was given up."""

    job: Job
    give_up: TransferError | None

    @property
    def bytes(self) -> int:
        """Bytes that will be sent for it."""
        announcement = self.job.announcement
        if announcement.blocks is None:
            return announcement.size or 0
        return 0 if announcement.is_finish else announcement.blocks.length


class Office(Protocol):
    """Where a lane gets its work, and what it tells.  ``pool``: blocks whose ends it may send."""

    pool: Pool

    def take(self) -> Task | None:
        """Return the next task; None when there is none."""

    def waiting(self) -> bool:
        """Whether there is a next task."""

    def put_back(self, task: Task) -> None:
        """Take back a task that was not done, to be given out before all others."""

    def tell(self, done: Done) -> None:
        """Hear of what became of a task."""

    def moved(self, count: int) -> None:
        """Hear of bytes that are written."""

    def late(self) -> None:
        """Hear that a connection takes long to open."""

    def up(self, connection: SftpClient) -> None:
        """Hear that a connection is open."""

    def down(self, error: SarraError) -> None:
        """Hear that the destination is not reached; raises it when that will not change."""

    def fatal(self, error: Exception) -> None:
        """Hear that a lane can never work."""
