"""What sr_status prints of transfers: lines for people, an object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from sarra_lite import units
from sarra_lite.commands.path_announcements import kind
from sarra_lite.messages.blocks import METHODS
from sarra_lite.transfers.advice import advice
from sarra_lite.transfers.transfer import State, sender_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sarra_lite.messages.v03 import Announcement, Report
    from sarra_lite.transfers.history import History
    from sarra_lite.transfers.queue import Place, Queue
    from sarra_lite.transfers.transfer import Progress, Transfer

SHOWN: Final = 10  # transfers of each state that are shown without --all
_WITH_DETAILS: Final = 3  # transfers
_QUIET: Final = 60.0  # seconds without another block that are worth saying
_LAST: Final = 253_402_300_799.0  # the end of the year 9999, in seconds since 1970
_UNREADABLE: Final = "(unreadable announcement)"


class Shown(NamedTuple):
    """A transfer, and its place in the queue if it is unfinished."""

    transfer: Transfer
    place: Place | None

    @property
    def state(self) -> State:
        """Where it is."""
        return self.transfer.state if self.place is None else self.place.state

    @property
    def name(self) -> str:
        """Its path, for a terminal."""
        return units.printable(self.transfer.announcement.rel_path) or _UNREADABLE


class Overview:
    """Shows transfers beside what is known of all of them."""

    def __init__(self, history: History, queue: Queue | None, since: datetime, now: float) -> None:
        """``now``: seconds since 1970."""
        self._history = history
        self._queue = queue
        self._since = since
        self._now = now

    def lines(
        self, shown: list[Shown], missing: list[str], limit: int | None, *, sought: bool
    ) -> Iterator[str]:
        """Yield the lines for people: what needs attention first, ``limit`` of each state.

        ``sought``: it is what somebody asked for; of a few there are details.
        """
        with_details = sought and len(shown) <= _WITH_DETAILS
        if not with_details:
            yield self._summary(shown, sought=sought)
        if not sought or any(one.place for one in shown):
            yield from self._surroundings()
        for state in State:
            of_state = [one for one in shown if one.state is state]
            for one in of_state[:limit]:
                yield f"{one.name}: {self._headline(one)}"
                if with_details:
                    yield from (f"    {line}" for line in self._details(one))
            if (more := len(of_state) - len(of_state[:limit])) > 0:
                yield f"{more:,} more: {state}; --all shows them"
        for name in missing:
            since = f"{self._since:%Y-%m-%d %H:%M:%S}"
            yield f"{units.printable(name)}: not announced since {since} UTC; announce it: sr_post"

    def _summary(self, shown: list[Shown], *, sought: bool) -> str:
        counts = ((state, sum(one.state is state for one in shown)) for state in State)
        parts = [f"{count:,} {state}" for state, count in counts if count]
        since = f"{self._since:%Y-%m-%d %H:%M:%S} UTC"
        arrived = [] if sought else [f"{self._history.arrived:,} arrived since {since}"]
        return ", ".join([*parts, *arrived])

    def _surroundings(self) -> Iterator[str]:
        """Yield what concerns all files."""
        if (queue := self._queue) is not None:
            waiting = _count(queue.messages, "announcement")
            senders = _count(queue.senders, "sender") if queue.senders else "no sender"
            yield f"{queue.name}: {waiting} in it, {senders} connected"
        if (outage := self._history.outage) is not None:
            when = units.show_time(outage.time_completed)
            yield f"the destination did not answer at {when} UTC: {outage.message}"

    def _headline(self, one: Shown) -> str:
        transfer, place = one.transfer, one.place
        if (report := transfer.report) is not None:
            return _ended(one.state, report)
        announced = f"announced {self._ago(transfer.announcement.pub_time)} ago"
        match one.state:
            case State.SENDING if transfer.progress is not None:
                return f"{one.state}, {_sent(transfer, transfer.progress)}"
            case State.NO_ROOM | State.RETRYING if (trouble := transfer.trouble) is not None:
                since = f"since {units.show_time(transfer.since)} UTC"
                return f"{one.state} {since}, {self._next_try(trouble)}: {trouble.message}"
            case State.TAKEN:
                return f"{one.state}, {announced}, no report yet"
            case State.LOST:
                return f"{one.state}, {announced}, and no sender has it: post it again"
            case _:
                before = _count(place.messages_before if place else 0, "announcement")
                return f"{one.state}, {announced}, {before} before it in the queue"

    def _details(self, one: Shown) -> Iterator[str]:
        transfer, place = one.transfer, one.place
        announcement = transfer.announcement
        when = units.show_time(announcement.pub_time)
        yield f"{kind(announcement)}, announced {when} UTC"
        if one.state is State.WAITING and place is not None:
            yield f"announced before it, without a final report: {place.files_before:,}"
        if (progress := transfer.progress) is not None and transfer.report is None:
            last = progress.last or self._now
            quiet = self._now - last > _QUIET
            ago = f", the last report {units.show_duration(self._now - last)} ago" if quiet else ""
            yield f"{_blocks(announcement, progress)}{ago}, by {', '.join(progress.senders)}"
        if (slow := transfer.slow) is not None:
            yield f"limited by {slow.limited_by or '?'}: {slow.why}"
            yield slow.connections or "?"
        report = transfer.report or transfer.trouble
        if report is None:
            return
        if report.arrived:
            yield f"{_check(announcement, report)}by {sender_of(report)}"
        else:
            tries = f", attempt {report.attempt}" if report.attempt else ""
            yield f"by {sender_of(report)}{tries}"
            if text := advice(report):
                yield f"what to do: {text}"

    def _next_try(self, trouble: Report) -> str:
        seconds = _next_try(trouble) - self._now
        if seconds >= 0:
            return f"next try in {units.show_duration(seconds)}"
        return f"next try was due {units.show_duration(-seconds)} ago"

    def _ago(self, time_string: str) -> str:
        return units.show_duration(self._now - units.nanoseconds(time_string) / 1e9)

    def as_json(self, shown: list[Shown], missing: list[str]) -> dict[str, Any]:
        """Return all of it for programs; times are those of messages, sizes in bytes."""
        queue = self._queue._asdict() if self._queue is not None else None
        unknown = [{"relPath": name, "state": State.NOT_ANNOUNCED} for name in missing]
        return {
            "since": units.time_string(int(self._since.timestamp()) * 10**9),
            "queue": queue,
            "arrived": self._history.arrived,
            "outage": self._history.outage.message if self._history.outage else None,
            "files": [_json(one) for one in shown] + unknown,
        }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _next_try(trouble: Report) -> float:
    """Return when the sender tries again, in seconds since 1970."""
    when = units.nanoseconds(trouble.time_completed) / 1e9 + (trouble.will_retry or 0)
    return min(when, _LAST)


def _ended(state: State, report: Report) -> str:
    when = f"{state} {units.show_time(report.time_completed)} UTC"
    if not report.arrived:
        return f"{when}: {report.message} ({report.code})"
    size = "" if report.bytes is None else f", {units.show_size(report.bytes)}"
    if report.seconds and report.bytes:
        rate = units.show_size(report.bytes / report.seconds)
        size += f" in {report.seconds:.1f} s, {rate}/s"
    return f"{when}{size}: {report.message}"


def _sent(transfer: Transfer, progress: Progress) -> str:
    """Return how much of a file is there, how fast it goes, and when it will be complete."""
    size = transfer.announcement.size or 0
    done = f"{progress.bytes * 100 // max(size, 1)} %"
    if progress.bytes >= size:
        return f"{done}: all of it is there, it is being completed"
    text = f"{done}: {units.show_size(progress.bytes)} of {units.show_size(size)}"
    if progress.rate is not None and transfer.left is not None:
        left = units.show_duration(transfer.left)
        text += f", {units.show_size(progress.rate)}/s, {left} left"
    return text


def _blocks(announcement: Announcement, progress: Progress) -> str:
    """Return in how many pieces a file is sent."""
    if (blocks := announcement.blocks) is None:
        return "in one piece"
    return f"{len(progress.done):,} of {blocks.count:,} blocks"


def _check(announcement: Announcement, report: Report) -> str:
    """Return what was compared of a file that arrived, as the beginning of a line."""
    if announcement.file_op:
        return ""
    if (identity := report.identity) is None:
        return "size as announced; "
    if identity == announcement.identity and identity.method in METHODS:
        return f"size and {identity.method} as announced; "
    return f"size as announced, {identity.method} is in the report; "


def _json(one: Shown) -> dict[str, Any]:
    transfer, announcement = one.transfer, one.transfer.announcement
    fields: dict[str, Any] = {
        "relPath": announcement.rel_path,
        "state": one.state,
        "pubTime": announcement.pub_time,
        "size": announcement.size,
    }
    if one.place is not None:
        fields |= {
            "filesBefore": one.place.files_before,
            "messagesBefore": one.place.messages_before,
        }
    if (progress := transfer.progress) is not None and transfer.report is None:
        fields |= {
            "bytes": progress.bytes,
            "percent": progress.bytes * 100 // max(announcement.size or 0, 1),
            "rate": progress.rate,
            "left": transfer.left,
            "senders": progress.senders,
        }
    if (slow := transfer.slow) is not None:
        fields |= {"limitedBy": slow.limited_by, "why": slow.why, "connections": slow.connections}
    report = transfer.report or transfer.trouble
    if report is not None:
        fields["report"] = msgspec.to_builtins(report)
        if not report.arrived:
            fields["advice"] = advice(report)
        if transfer.report is None:
            fields["failingSince"] = transfer.since
            fields["nextTry"] = units.time_string(int(_next_try(report) * 10**9))
    return fields
