"""Reads reports from a RabbitMQ stream: all of them, or those on given announcements."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sarra_lite import units
from sarra_lite.errors import BrokerError, MessageError
from sarra_lite.messages import v03
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.v03 import Announcement, Report

Key = tuple[str, str, int | None]  # as Announcement.key: pubTime, relPath, number of the block


def decode_report(delivery: Delivery) -> tuple[Announcement, Report] | None:
    """Return an announcement with the report on it; None for any other message."""
    with contextlib.suppress(MessageError):
        decoded = v03.decode(delivery.body, delivery.content_type)
        if decoded.report is not None:
            return decoded, decoded.report
    return None


async def find_final_reports(
    broker: Broker, stream: str, announcements: Iterable[Announcement]
) -> set[Key]:
    """Return the keys of the announcements that have a final report, or whose file has one.

    A sender calls this for redelivered announcements: the consumer that had them before may have
    reported and died before it acknowledged.  When the stream cannot be read, logs a warning and
    returns what was found.
    """
    keys = {announcement.key for announcement in announcements}
    if not keys:
        return set()
    files = {key[:2] for key in keys}
    since = (pub_time for pub_time, _ in files)
    found: set[Key] = set()
    async for reported, report in _read_since(broker, stream, since):
        if report.final and reported.key[:2] in files:
            found.add(reported.key)
    return {key for key in keys if key in found or (*key[:2], None) in found}


async def find_copies(broker: Broker, stream: str, times: Iterable[str]) -> set[tuple[Key, str]]:
    """Return key and timeCompleted of each report in a stream, from the oldest of ``times`` on.

    sr_src2log calls this for redelivered reports, to skip those that it has copied already.
    """
    reports = _read_since(broker, stream, times)
    return {(reported.key, report.time_completed) async for reported, report in reports}


async def _read_since(
    broker: Broker, stream: str, times: Iterable[str]
) -> AsyncIterator[tuple[Announcement, Report]]:
    """Yield the reports since the oldest of ``times``; on BrokerError, log it and end."""
    oldest = min(map(units.nanoseconds, times))
    # Start an hour earlier, since these times may come from another clock than the broker's.
    since = datetime.fromtimestamp(max(0.0, oldest / 1e9 - 3600), UTC)
    try:
        async for delivery in broker.read_stream(stream, since):
            if (found := decode_report(delivery)) is not None:
                yield found
    except BrokerError as error:
        log.warning("cannot read past reports: %s", error)
