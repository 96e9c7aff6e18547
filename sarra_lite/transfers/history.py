"""What the messages of a user's stream, read in order, tell of all files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sarra_lite.transfers.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sarra_lite.messages.v03 import Announcement, Report

_OUTAGE: Final = 503


class History:
    """Files without a final report, those that failed and did not arrive since, and those sought.

    Files that arrived are only counted, so memory grows with what is unfinished or failed, and by
    a number for each file in blocks.

    ``outage``: the report that the destination does not answer, if none has come since.
    ``begins``: the time of the first message.  ``knows_announcements``: the stream has some.
    """

    def __init__(
        self, earliest: str = "", sought: Callable[[Announcement], bool] = lambda _: False
    ) -> None:
        """``earliest``: the time from which on what ended counts.  ``sought``: what is kept."""
        self.arrived = self.arrived_bytes = 0
        self.outage: Report | None = None
        self.begins = ""
        self.knows_announcements = False
        self._earliest = earliest
        self._sought = sought
        self._number = 0
        self._unfinished: dict[str, Transfer] = {}  # the latest of each path
        self._failed: dict[str, Transfer] = {}
        self._settled: dict[str, Transfer] = {}  # those that are sought
        # Files in blocks that have their final report: one on a block may come after it.
        self._completed: set[int] = set()

    def take(self, message: Announcement) -> None:
        """Note an announcement or a report."""
        report = message.report
        self.begins = self.begins or (report.time_completed if report else message.pub_time)
        if report is not None:
            self._reported(message, report)
        elif not message.block:  # the first block stands for the file
            self.knows_announcements = True
            self._find(message)

    def _find(self, message: Announcement) -> Transfer | None:
        """Return what a message is about, which may be new; None when that is completed."""
        latest = self._unfinished.get(message.rel_path)
        for one in latest.chain() if latest else ():
            if one.announcement.pub_time == message.pub_time:
                if one.announcement.blocks is None:  # a sender may have divided it
                    one.announcement = message
                return one
        if message.blocks is not None and hash(message.key[:2]) in self._completed:
            return None
        self._number += 1
        new = Transfer(message, self._number, latest)
        self._unfinished[message.rel_path] = new
        return new

    def _reported(self, message: Announcement, report: Report) -> None:
        self.outage = report if report.code == _OUTAGE and not report.final else None
        one = self._find(message)
        if one is None:
            return
        one.take(message, report)
        if one.report is not None:
            self._settle(one, report)

    def _settle(self, settled: Transfer, report: Report) -> None:
        """Note a final report, which also settles the announcements of the path before it."""
        path = settled.announcement.rel_path
        settled.earlier = None
        for one in self._unfinished[path].chain():
            if one.earlier is settled:
                one.earlier = None
        if self._unfinished[path] is settled:
            del self._unfinished[path]
        if settled.announcement.blocks is not None:
            self._completed.add(hash(settled.announcement.key[:2]))
        if report.time_completed < self._earliest:
            return
        self._failed.pop(path, None)
        if report.arrived:
            self.arrived += 1
            self.arrived_bytes += report.bytes or 0
        else:
            self._failed[path] = settled
        if self._sought(settled.announcement):
            self._settled[path] = settled

    @property
    def unfinished(self) -> list[Transfer]:
        """All announcements without a final report, in their order."""
        return self._in_order(self._every())

    def _every(self) -> Iterator[Transfer]:
        for latest in self._unfinished.values():
            yield from latest.chain()

    @property
    def oldest(self) -> str | None:
        """The oldest pubTime of what is unfinished; None when nothing is."""
        return min((one.announcement.pub_time for one in self._every()), default=None)

    def overview(self) -> list[Transfer]:
        """Return the latest unfinished transfer of each path, and what failed."""
        return [*self._failed.values(), *self._in_order(self._unfinished.values())]

    def found(self) -> list[Transfer]:
        """Return the latest transfer of each path that is sought, finished or not."""
        unfinished = [one for one in self._unfinished.values() if self._sought(one.announcement)]
        latest = self._settled | {one.announcement.rel_path: one for one in unfinished}
        return self._in_order(latest.values())

    @staticmethod
    def _in_order(transfers: Iterable[Transfer]) -> list[Transfer]:
        return sorted(transfers, key=lambda one: one.number)
