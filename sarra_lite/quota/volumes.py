"""Volumes a day and a month (UTC) of groups and users, and which group has reached its limit."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.messages.grants import Grant
from sarra_lite.messages.usage import Used
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sarra_lite.config.quota import QuotaConfig
    from sarra_lite.messages.usage import Disks
    from sarra_lite.messages.v03 import Announcement

_FILE_SENT: Final = 201
_BLOCK_SENT: Final = 206
_MONTH: Final = len("2026-11")
#: Bytes that no sum goes beyond, whatever users report: SQLite and messages have 64 bits.
MOST: Final = 2**60


def content_of(reported: Announcement, now: datetime) -> tuple[str, str, int] | None:
    """Return day, user and bytes of content that a report of xlog says was sent; None: none was.

    A file in blocks counts by its blocks, as soon as each is there.  A report from the future
    counts today.
    """
    report, user = reported.report, reported.source
    if report is None or report.rejected or not report.final or not user or not report.bytes:
        return None
    if report.code != (_FILE_SENT if reported.blocks is None else _BLOCK_SENT):
        return None
    text = report.time_completed
    day = f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    return min(day, f"{now:%Y-%m-%d}"), user, report.bytes


class Volumes:
    """What groups and users have sent, of the current month at least."""

    def __init__(self, config: QuotaConfig, counts: Mapping[tuple[str, str], int]) -> None:
        """``counts``: bytes by day and user that were counted before."""
        self._config = config
        self._used: Counter[tuple[str, str, str]] = Counter()  # by kind, name, and day or month
        self._told: set[tuple[str, str, str]] = set()
        for (day, user), count in counts.items():
            self.add(day, user, count)

    def add(self, day: str, user: str, count: int) -> None:
        """Count bytes of a user, and of the user's group."""
        group = self._config.member.get(user)
        for kind, name in (("user", user), ("group", group)):
            if name is not None:
                for period in (day, day[:_MONTH]):
                    used = self._used[kind, name, period]
                    self._used[kind, name, period] = min(used + count, MOST)

    def used(self, kind: str, name: str, period: str) -> int:
        """Return the bytes of a ``user`` or ``group`` in a day or month."""
        return self._used[kind, name, period]

    def refusal(self, group: str, now: datetime | None = None) -> Grant | None:
        """Return the message that a group gets no grants; None while it has volume left.

        Logs once that a limit is near, and that it is reached.
        """
        now = now or datetime.now(UTC)
        for period, limit, end in self._limits(group, now):
            used = self._used["group", group, period]
            share = 100 * used / limit
            until = f"{end:%Y-%m-%d %H:%M} UTC"
            if used >= limit:
                reason = f"volume quota of group {group} reached until {until}"
                self._tell(group, period, reason)
                return Grant(0, reason, f"{end:%Y%m%dT%H%M%S}")
            if share >= self._config.warnPercent:
                text = f"group {group} has used {share:.0f} % of its volume until {until}"
                self._tell(group, period, text, "near")
        return None

    def _limits(self, group: str, now: datetime) -> Iterator[tuple[str, int, datetime]]:
        """Yield month or day, limit and end of each limit of a group; the later end first."""
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        config = self._config
        if (limit := config.volume_bytes["monthlyVolume"].get(group)) is not None:
            end = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            yield f"{now:%Y-%m}", limit, end
        if (limit := config.volume_bytes["dailyVolume"].get(group)) is not None:
            yield f"{now:%Y-%m-%d}", limit, today + timedelta(days=1)

    def _tell(self, group: str, period: str, text: str, what: str = "reached") -> None:
        if (group, period, what) not in self._told:
            self._told.add((group, period, what))
            log.warning("%s", text)

    def table(self, now: datetime, disks: Disks | None = None) -> list[Used]:
        """Return what each group and user has used this day and month, and on disk, of limits."""
        day, month, disks = f"{now:%Y-%m-%d}", f"{now:%Y-%m}", disks or {}
        config = self._config
        groups = {*config.rate, *config.member.values()}
        names = {("group", group) for group in groups} | {("user", u) for u in config.member}
        names |= {(kind, name) for kind, name, period in self._used if period == month}
        return [self._of(kind, name, day, month, disks) for kind, name in sorted({*names, *disks})]

    def _of(self, kind: str, name: str, day: str, month: str, disks: Disks) -> Used:
        daily, monthly = (
            self._config.volume_bytes[option].get(name) if kind == "group" else None
            for option in ("dailyVolume", "monthlyVolume")
        )
        used = self._used
        disk, disk_limit = disks.get((kind, name), (None, None))
        return Used(
            "group" if kind == "group" else "user",
            name,
            used[kind, name, day],
            daily,
            used[kind, name, month],
            monthly,
            disk,
            disk_limit,
        )


def line(used: Used) -> str:
    """Return an entry of the table for people."""
    cells = {what: units.show_share(count, limit) for what, count, limit in used.amounts()}
    texts = "".join(f" {cells.get(what, '-'):>32}" for what in ("day", "month", "disk"))
    return f"{used.kind:<6} {used.name:<16}{texts}"
