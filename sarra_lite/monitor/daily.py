"""What each group's days were like: how long files took, and how many failed with which code."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor import schema
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.latency import percentile
from sarra_lite.monitor.records import DAY

if TYPE_CHECKING:
    from pathlib import Path

_WAITS: Final = (
    "SELECT grp, day, class, sum(files) FROM latencies WHERE day >= ? AND {} GROUP BY 1, 2, 3"
)
_CODES: Final = (
    "SELECT grp, hour / 24, code, sum(files) FROM hours WHERE hour >= ? AND code >= 300"
    " AND code <> 304 AND {} GROUP BY 1, 2, 3 HAVING sum(files) > 0"
)


@dataclass
class Day:
    """Files of a group on a day: those that were sent, by class of duration; failures by code."""

    waits: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """Number of files that were sent."""
        return self.waits.total()

    def within(self, share: float) -> float | None:
        """Return in how many milliseconds this share of the files was sent; None without any."""
        return percentile(self.waits, share) if self.waits else None


def days(file: Path, users: frozenset[str] | None, first: int) -> dict[str, dict[int, Day]]:
    """Return the days of each group from one on, in days since 1970.

    ``users``: whose files count, None for all.  Raise ConfigError when the store cannot be read.
    """
    where, values = schema.of_users(users)
    found: defaultdict[str, defaultdict[int, Day]] = defaultdict(lambda: defaultdict(Day))
    with schema.reading(file) as database:
        for group, day, each, count in database.execute(_WAITS.format(where), (first, *values)):
            found[group][day].waits[each] += count
        since = (first * DAY // HOUR, *values)
        for group, day, code, count in database.execute(_CODES.format(where), since):
            found[group][day].failures[code] += count
    return {group: dict(of_group) for group, of_group in found.items()}
