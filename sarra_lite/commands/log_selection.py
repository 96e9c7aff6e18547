"""sr_log: which reports are shown, by name, user, time and result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sarra_lite.commands.names import Name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from sarra_lite.messages.v03 import Announcement, Report

    Reported = tuple[Announcement, Report]


class Selection:
    """The reports that the flags of sr_log select.

    ``unreported``: the names that no report was about.  With --failed and --unfinished, what is
    selected is known at the end: ``remaining`` has it.
    """

    def __init__(self, args: argparse.Namespace, earliest: str) -> None:
        """``earliest``: a Sarracenia time; the broker delivers some older reports, too."""
        self._args = args
        self._earliest = earliest
        self._names = [Name(name) for name in args.names]
        self.unreported = list(self._names)
        self._collects = (args.failed or args.unfinished) and not args.follow
        self._collected: dict[tuple[str | None, str], list[Reported]] = {}

    def may_want(self, body: bytes) -> bool:
        """Whether a message has to be decoded to know whether it is wanted."""
        return not self._names or any(name.may_be_in(body) for name in self._names)

    def take(self, announcement: Announcement, report: Report) -> bool:
        """Consider a report; return whether it is to be shown now."""
        args = self._args
        if report.time_completed < self._earliest or not self._named(announcement):
            return False
        if args.user not in (None, announcement.source):
            return False
        if self._collects:
            self._collect(announcement, report)
            return False
        if report.under_way:
            return bool(args.blocks and not args.failed)
        return (args.blocks or announcement.block is None or not report.arrived) and not (
            args.failed and report.arrived
        )

    def takes_change(self, time: str) -> bool:
        """Whether what a playbook has changed, at this Sarracenia time, is to be shown."""
        of_files = self._names or self._collects or self._args.failed or self._args.user
        return not of_files and time >= self._earliest

    def remaining(self) -> Iterable[Reported]:
        """Return what was collected and is still true, oldest first."""
        reports = (one for collected in self._collected.values() for one in collected)
        return sorted(reports, key=lambda one: one[1].time_completed)

    def _named(self, announcement: Announcement) -> bool:
        matching = [name for name in self._names if name.matches(announcement)]
        if matching and self.unreported:
            self.unreported = [name for name in self.unreported if name not in matching]
        return bool(matching) or not self._names

    def _collect(self, announcement: Announcement, report: Report) -> None:
        """Keep what failed, or is not finished, until a later report says otherwise."""
        if report.under_way and self._args.failed:
            return
        file = (announcement.source, announcement.rel_path)
        before = self._collected.pop(file, [])
        kept = [one for one in before if not self._settles(announcement, report, one)]
        finished = report.final and announcement.block is None
        if not (report.arrived if self._args.failed else finished):
            kept.append((announcement, report))
        if kept:
            self._collected[file] = kept

    def _settles(self, announcement: Announcement, report: Report, earlier: Reported) -> bool:
        """Whether a report makes an earlier one on the same path history."""
        block = announcement.block
        if self._args.unfinished:  # one line for a file: its latest report
            return announcement.pub_time >= earlier[0].pub_time
        return report.arrived and (block is None or block == earlier[0].block)
