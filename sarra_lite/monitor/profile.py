"""Judges each hour of a user, or of a group, against its own past."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.monitor.amounts import Amount
from sarra_lite.monitor.habits import Directories, Hours
from sarra_lite.monitor.quality import Failures, Rate, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEARNING: Final = 21 * 24  # hours from the first one on, in which nothing is unusual
#: Kinds of what is unusual, and the score from which on it is; ``bench.anomalies`` chose them.
LIMITS: Final = {
    "volume": 0.97,
    "count": 0.85,
    "failures": 0.155,
    "rate": 3.5,
    "directory": 2.4,
    "hours": 2.6,
    "stuck": 2.4,
}

#: The same for a group.  One member's campaign changes its sums, and what is new in its hours and
#: directories is new of a member.
GROUP_LIMITS: Final = {
    "volume": 1.6,
    "count": 1.4,
    "failures": LIMITS["failures"],
    "rate": LIMITS["rate"],
    "stuck": LIMITS["stuck"],
}
#: Hours after which what is unusual is something new.
TOGETHER: Final = 24
_BEHIND: Final = 3600.0  # seconds that a file has waited


class Sums(NamedTuple):
    """What one hour came to; ``oldest``: seconds that a file without a report had waited."""

    sent: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0  # of the files that were sent
    oldest: float = 0.0
    directories: Sequence[str] = ()


class Finding(NamedTuple):
    """What is unusual: ``value`` against what was ``expected`` at most (rate: at least)."""

    kind: str
    score: float
    value: float
    expected: float
    about: str = ""


class Profile:
    """The past of a user or group; hours must come in order."""

    def __init__(self, *, group: bool = False) -> None:
        """Start without a past, of a user or a ``group``."""
        self._limits = GROUP_LIMITS if group else LIMITS
        self._first: int | None = None
        self._count = Amount(3.0)
        self._volume = Amount(1e6)
        self._failures = Failures()
        self._rate = Rate()
        self._waiting = Waiting()
        self._hours = Hours()
        self._behind = False
        self._directories = Directories()

    def judge(self, hour: int, sums: Sums) -> list[Finding]:
        """Return what is unusual in an hour since 1970, and take it as past."""
        if self._first is None:
            self._first = hour
        found = [
            finding
            for finding in self.score(hour, sums)
            if finding.score >= self._limits.get(finding.kind, math.inf)
        ]
        return found if hour - self._first >= LEARNING else []

    def score(self, hour: int, sums: Sums) -> Iterator[Finding]:
        """Yield the score of each kind, and take the hour as past."""
        files = sums.sent + sums.failed
        behind, self._behind = self._behind, sums.oldest >= _BEHIND
        if not files:
            return  # where nothing arrives, the sender is away, which is told otherwise
        score, longest = self._waiting.judge(hour, sums.oldest)
        yield Finding("stuck", score, sums.oldest, longest)
        yield Finding("count", *_with(files, self._count.judge(hour, files)))
        yield Finding("volume", *_with(sums.bytes, self._volume.judge(hour, sums.bytes)))
        judged = self._failures.judge(hour, sums.failed, files)
        yield Finding("failures", *_with(sums.failed / files, judged))
        yield Finding("rate", *self._rate.judge(sums.sent, sums.bytes, sums.seconds))
        yield Finding("hours", self._hours.judge(hour, behind=behind), files, 0)
        score, directory = self._directories.judge(sums.directories)
        yield Finding("directory", score, files, 0, directory)


def _with(value: float, judged: tuple[float, float]) -> tuple[float, float, float]:
    score, expected = judged
    return score, value, expected
