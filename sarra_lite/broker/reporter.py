"""Builds report messages; no connection is involved."""

from __future__ import annotations

import getpass
import socket
from typing import NamedTuple

from sarra_lite import units
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Identity, Report


class TransferStats(NamedTuple):
    """What an attempt moved (bytes), how long it took (seconds), and the content's identity."""

    bytes: int | None = None
    seconds: float | None = None
    identity: Identity | None = None


class Reporter:
    """Creates reports that name this host, user and instance."""

    def __init__(self, instance: str) -> None:
        """``instance``: the name of this process among those of its configuration."""
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
        stats: TransferStats = TransferStats(),  # noqa: B008  a tuple is immutable
        *,
        attempt: int | None = None,
        will_retry: float | None = None,
    ) -> Announcement:
        """Return the report on an announcement, ready to publish.

        ``will_retry``: seconds until the next attempt; None for a final report.
        """
        seconds, size = stats.seconds, stats.bytes
        return announcement.reported(
            Report(
                code=code,
                message=units.printable(text),
                time_completed=v03.now(),
                host=self._host,
                user=self._user,
                instance=self._instance,
                bytes=size,
                seconds=None if seconds is None else round(seconds, 6),
                rate=round(size / seconds / 1e6, 3) if seconds and size else None,
                block=announcement.block,
                identity=stats.identity,
                attempt=attempt,
                will_retry=will_retry,
            )
        )
