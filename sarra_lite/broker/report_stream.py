"""Reports: making them, reading them, and finding those made before."""

from __future__ import annotations

import contextlib
import getpass
import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sarra_lite import units
from sarra_lite.errors import BrokerError, MessageError
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Identity, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sarra_lite.broker.client import Broker, Delivery

log = logging.getLogger("sarra_lite")

Key = tuple[str, str, int | None]


class TransferStats(NamedTuple):
    """What an attempt took: bytes moved, seconds, and the identity found while moving them."""

    bytes: int | None = None
    seconds: float | None = None
    identity: Identity | None = None


class Reporter:
    """Signs reports with host, user and instance."""

    def __init__(self, instance: str) -> None:
        """``instance`` names this process among those of its configuration."""
        self._host = socket.gethostname()
        self._instance = instance
        try:
            self._user = getpass.getuser()
        except (KeyError, OSError):  # no entry in passwd, as in some containers
            self._user = "unknown"

    def report(
        self,
        announcement: Announcement,
        code: int,
        text: str,
        effort: TransferStats = TransferStats(),  # noqa: B008  a tuple, so nobody can change it
        *,
        attempt: int | None = None,
        will_retry: float | None = None,
    ) -> Announcement:
        """Return the report on an announcement, ready to publish."""
        took, size = effort.seconds, effort.bytes
        return announcement.reported(
            Report(
                code=code,
                message=units.printable(text),
                time_completed=v03.now(),
                host=self._host,
                user=self._user,
                instance=self._instance,
                bytes=size,
                seconds=None if took is None else round(took, 6),
                rate=round(size / took / 1e6, 3) if took and size else None,
                block=announcement.block,
                identity=effort.identity,
                attempt=attempt,
                will_retry=will_retry,
            )
        )


def decode_reports(deliveries: Iterable[Delivery]) -> Iterator[Announcement]:
    """Reports among deliveries; what is none is passed over, since a stream keeps all."""
    for delivery in deliveries:
        with contextlib.suppress(MessageError):
            found = v03.decode(delivery.body, delivery.content_type)
            if found.report is not None:
                yield found


def find_final_reports(
    broker: Broker, stream: str, announcements: Iterable[Announcement]
) -> dict[Key, int]:
    """Codes of the final reports that these announcements, or their whole files, already have.

    Asked for messages that the broker delivers a second time: whoever had them before may have
    reported and died before acknowledging.  Reads the stream from the oldest announcement on.
    """
    keys = {a.key for a in announcements}
    if not keys:
        return {}
    files = {(pub_time, rel_path) for pub_time, rel_path, _ in keys}
    codes: dict[Key, int] = {}
    for found, report in _past(broker, stream, (pub_time for pub_time, _ in files)):
        if report.final and (found.pub_time, found.rel_path) in files:
            codes[found.key] = report.code
    whole = {key: codes.get((key[0], key[1], None)) for key in keys}
    return {key: code for key in keys if (code := codes.get(key, whole[key])) is not None}


def find_copies(broker: Broker, stream: str, times: Iterable[str]) -> set[tuple[Key, str]]:
    """Return key and timeCompleted of what a stream has, from the oldest of some times on."""
    return {(found.key, report.time_completed) for found, report in _past(broker, stream, times)}


def _past(
    broker: Broker, stream: str, times: Iterable[str]
) -> Iterator[tuple[Announcement, Report]]:
    """Yield the reports in a stream since the oldest of some times; none when it cannot be read."""
    oldest = min(map(units.nanoseconds, times))
    # An hour of grace, since these times come from another clock than the broker's.
    since = datetime.fromtimestamp(oldest / 1e9, UTC) - timedelta(hours=1)
    try:
        for found in decode_reports(broker.read_stream(stream, since)):
            if found.report is not None:
                yield found, found.report
    except BrokerError as error:
        log.warning("cannot read past reports: %s", error)
