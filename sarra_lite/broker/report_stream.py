"""Reads a RabbitMQ stream of reports: all of them, or those on given announcements."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.broker import streams
from sarra_lite.errors import BrokerError, MessageError
from sarra_lite.messages import v03
from sarra_lite.messages.change import change_of
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.change import Change
    from sarra_lite.messages.v03 import Announcement, Report

# Seconds that the clocks of the hosts and of the broker may differ.  If they differ more, a report
# is not found, and its file is looked at again.
_CLOCKS_DIFFER: Final = 60.0
_REPORT: Final = b'"report"'
_CHANGE: Final = b'"change"'
_PUB_TIME: Final = re.compile(rb'"pubTime"\s*:\s*"([^"]*)"')

Key = tuple[str, str, int | None]  # as Announcement.key: pubTime, relPath, number of the block


def decode(delivery: Delivery) -> Announcement | None:
    """Return the announcement or report in a message of the stream; None when it is unusable."""
    with contextlib.suppress(MessageError):
        return v03.decode(delivery.body, delivery.content_type)
    return None


def decode_report(delivery: Delivery) -> tuple[Announcement, Report] | None:
    """Return an announcement with the report on it; None for any other message."""
    # Most of the others are announcements, which the stream of a user has, too.
    if _REPORT in delivery.body and (decoded := decode(delivery)) and decoded.report is not None:
        return decoded, decoded.report
    return None


def decode_change(delivery: Delivery) -> Change | None:
    """Return what a playbook has changed, of the stream of all users; None for other messages."""
    if _CHANGE in delivery.body and (decoded := decode(delivery)):
        return change_of(decoded)
    return None


async def find_final_reports(
    broker: Broker, stream: str, announcements: Iterable[Announcement], author: str
) -> set[Key]:
    """Return the keys of the announcements that have a final report, or whose file has one.

    A sender calls this for redelivered announcements: the consumer that had them before may have
    reported and died before it acknowledged.  Reports of other users than ``author``, who may be
    able to publish where the stream is bound, do not count.  When the stream cannot be read, logs a
    warning and returns what was found.  Reads the reports since the oldest announcement.
    """
    keys = {announcement.key for announcement in announcements}
    files = {key[:2] for key in keys}
    times = {pub_time for pub_time, _ in files}
    found: set[Key] = set()
    async for reported, report in _read(
        broker, stream, since=times, pub_times=times, author=author
    ):
        if report.final and reported.key[:2] in files:
            found.add(reported.key)
    return {key for key in keys if key in found or (*key[:2], None) in found}


async def find_copies(
    broker: Broker, stream: str, reports: Iterable[tuple[Announcement, Report]]
) -> set[tuple[Key, str]]:
    """Return key and timeCompleted of each of these reports, and of others, that a stream has.

    sr_src2log calls this for redelivered reports, to skip those that it has copied already.
    """
    times, pub_times = set[str](), set[str]()
    for reported, report in reports:
        times.add(report.time_completed)
        pub_times.add(reported.pub_time)
    copies = _read(broker, stream, since=times, pub_times=pub_times)
    return {(reported.key, report.time_completed) async for reported, report in copies}


async def _read(
    broker: Broker, stream: str, *, since: set[str], pub_times: set[str], author: str | None = None
) -> AsyncIterator[tuple[Announcement, Report]]:
    """Yield the reports on announcements of ``pub_times`` since the oldest time of ``since``.

    ``author``: who must have published them, as the broker has verified; None: anyone.
    On BrokerError, log it and end.
    """
    if not since:
        return
    oldest = min(map(units.nanoseconds, since)) / 1e9
    start = datetime.fromtimestamp(max(0.0, oldest - _CLOCKS_DIFFER), UTC)
    wanted = {pub_time.encode() for pub_time in pub_times}
    try:
        async for delivery in streams.read(broker, stream, start):
            if author not in (None, delivery.user_id):
                continue
            match = _PUB_TIME.search(delivery.body)
            # Only what is asked for is decoded: a stream may hold many others.
            if match and match[1] in wanted and (found := decode_report(delivery)) is not None:
                yield found
    except BrokerError as error:
        log.warning("cannot read past reports: %s", error)
