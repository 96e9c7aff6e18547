"""Reads reports from a RabbitMQ stream: all of them, or those on given announcements."""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sarra_lite import units
from sarra_lite.errors import BrokerError, MessageError
from sarra_lite.messages import v03

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.v03 import Announcement, Report

log = logging.getLogger("sarra_lite")

Key = tuple[str, str, int | None]  # as Announcement.key: pubTime, relPath, number of the block


def decode_reports(deliveries: Iterable[Delivery]) -> Iterator[Announcement]:
    """Yield the reports among deliveries; skip all other messages."""
    for delivery in deliveries:
        with contextlib.suppress(MessageError):
            decoded = v03.decode(delivery.body, delivery.content_type)
            if decoded.report is not None:
                yield decoded


def find_final_reports(
    broker: Broker, stream: str, announcements: Iterable[Announcement]
) -> dict[Key, int]:
    """Return the codes of the final reports on these announcements.

    A block counts as reported when its file has a final report.

    A sender calls this for redelivered announcements: the consumer that had them before may have
    reported and died before it acknowledged.  Reads the stream from the oldest announcement on;
    when the stream cannot be read, logs a warning and returns what was found.
    """
    keys = {announcement.key for announcement in announcements}
    if not keys:
        return {}
    files = {(pub_time, rel_path) for pub_time, rel_path, _ in keys}
    codes: dict[Key, int] = {}
    for reported, report in _read_since(broker, stream, (pub_time for pub_time, _ in files)):
        if report.final and (reported.pub_time, reported.rel_path) in files:
            codes[reported.key] = report.code
    for pub_time, rel_path, block in keys:
        if (code := codes.get((pub_time, rel_path, None))) is not None:
            codes.setdefault((pub_time, rel_path, block), code)
    return {key: codes[key] for key in keys & codes.keys()}


def find_copies(broker: Broker, stream: str, times: Iterable[str]) -> set[tuple[Key, str]]:
    """Return key and timeCompleted of each report in a stream, from the oldest of ``times`` on.

    sr_src2log calls this for redelivered reports, to skip those that it has copied already.
    """
    reports = _read_since(broker, stream, times)
    return {(reported.key, report.time_completed) for reported, report in reports}


def _read_since(
    broker: Broker, stream: str, times: Iterable[str]
) -> Iterator[tuple[Announcement, Report]]:
    """Yield the reports since the oldest of ``times``; on BrokerError, log it and end."""
    oldest = min(map(units.nanoseconds, times))
    # Start an hour earlier, since these times may come from another clock than the broker's.
    since = datetime.fromtimestamp(oldest / 1e9, UTC) - timedelta(hours=1)
    try:
        for reported in decode_reports(broker.read_stream(stream, since)):
            if reported.report is not None:
                yield reported, reported.report
    except BrokerError as error:
        log.warning("cannot read past reports: %s", error)
