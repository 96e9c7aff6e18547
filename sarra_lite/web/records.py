"""What one viewer may see of the store: the only module of the page that reads it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sarra_lite.monitor import anomalies, changes, daily, expected, history, overview
from sarra_lite.monitor.files import HOUR, RETRYING, RUNNING, WAITING
from sarra_lite.monitor.records import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from pathlib import Path

    from sarra_lite.config.expected import Expected
    from sarra_lite.config.web import WebConfig
    from sarra_lite.messages.change import Change
    from sarra_lite.monitor.daily import Day
    from sarra_lite.monitor.expected import State
    from sarra_lite.monitor.history import Place, Wanted
    from sarra_lite.monitor.overview import Sums, Totals, Unfinished

PAGE: Final = 50  # files on a page of the history
_MAX_ROWS: Final = 100  # rows of other tables
LATE: Final = HOUR  # milliseconds until a file without a report needs attention
STATES: Final = {WAITING: "waiting", RUNNING: "being sent", RETRYING: "to be tried again"}


def visible_users(config: WebConfig, user: str) -> frozenset[str] | None:
    """Return whose files a user may see; None for all users."""
    if user in config.netops:
        return None
    group = config.member.get(user)
    if not config.groupsShare or not group:
        return frozenset({user})
    return frozenset({user, *(name for name, other in config.member.items() if other == group)})


def records_of(config: WebConfig, user: str) -> Records:
    """Return the store as a user sees it."""
    group = config.member.get(user)
    groups = frozenset({group} if group else ())
    return Records(config.history_file, visible_users(config, user), groups)


class Records:
    """The store as one viewer sees it; its methods raise ConfigError when it cannot be read."""

    def __init__(
        self, file: Path, users: frozenset[str] | None, groups: frozenset[str] = frozenset()
    ) -> None:
        """``users``: whose files the viewer may see; None for all; ``groups``: his own."""
        self._file = file
        self._users = users
        self._groups = groups

    @property
    def sees_all(self) -> bool:
        """Whether the viewer is of netops."""
        return self._users is None

    def concerns(self, user: str, group: str) -> bool:
        """Return whether what is about a user, or else a group, concerns the viewer."""
        return self._users is None or (user in self._users if user else group in self._groups)

    def history(self, wanted: Wanted) -> tuple[list[dict[str, Any]], Place | None]:
        """Return one page of files, and where the next one begins."""
        return history.page(self._file, wanted._replace(users=self._users))

    def failed(self) -> list[dict[str, Any]]:
        """Return what failed within a day, the latest first."""
        since = time.time_ns() // 10**6 - DAY
        wanted = history.Wanted(failed=True, since=since, limit=_MAX_ROWS, users=self._users)
        return history.files(self._file, wanted)

    def unfinished(self, state: int) -> list[Unfinished]:
        """Return files in a state, the oldest first."""
        return overview.unfinished(self._file, self._users, _MAX_ROWS, state=state)

    def late(self) -> list[Unfinished]:
        """Return files that nobody has reported for an hour, the oldest first."""
        limit = time.time_ns() // 10**6 - LATE
        oldest = overview.unfinished(self._file, self._users, _MAX_ROWS)
        return [entry for entry in oldest if entry.announced < limit]

    def of_path(self, user: str, path: str) -> tuple[list[Unfinished], list[dict[str, Any]]]:
        """Return what is not finished of a user's path, and all that was."""
        wanted = history.Wanted(user=user, path=path, limit=_MAX_ROWS, users=self._users)
        users = frozenset({user}) if self._users is None else self._users & {user}
        current = overview.unfinished(self._file, users, _MAX_ROWS, path=path)
        return current, history.files(self._file, wanted)

    def expected(
        self, wanted: Iterable[tuple[Expected, date]], groups: Mapping[str, str], now: int
    ) -> list[State]:
        """Return what became of expectations; ``groups`` has the group of each user."""
        mine = (pair for pair in wanted if self.concerns(pair[0].user, pair[0].group))
        return expected.Evaluator(self._file, groups).on(mine, now)

    def unusual(self) -> tuple[int | None, list[dict[str, Any]]]:
        """Return until when hours were judged, and what was unusual, the latest first."""
        entries = anomalies.events(self._file, limit=_MAX_ROWS, users=self._users)
        return anomalies.judged_until(self._file), entries

    def changes(self, number: int) -> list[Change]:
        """Return what playbooks have changed, the latest first; for netops only."""
        return changes.entries(self._file, limit=number) if self.sees_all else []

    def people(self, days: int) -> list[Sums]:
        """Return what each user has sent in so many days."""
        first = overview.hour_of(time.time_ns() // 10**6) - 24 * days + 1
        return overview.sums(self._file, self._users, first, 10 * _MAX_ROWS)

    def daily(self, days: int) -> tuple[int, dict[str, dict[int, Day]]]:
        """Return the first day, and what each group's days up to now were like."""
        first = time.time_ns() // 10**6 // DAY - days + 1
        return first, daily.days(self._file, self._users, first)

    def totals(self, hours: int) -> tuple[int, Totals]:
        """Return the first hour, and the sums of so many hours up to now."""
        first = overview.hour_of(time.time_ns() // 10**6) - hours + 1
        return first, overview.totals(self._file, self._users, first)
