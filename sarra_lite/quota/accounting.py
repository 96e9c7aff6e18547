"""Reads the reports of all users from the stream of xlog, and keeps what they add up to."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sarra_lite.broker import report_stream
from sarra_lite.errors import BrokerError
from sarra_lite.quota.volumes import MOST, content_of

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.quota.store import Store
    from sarra_lite.quota.volumes import Volumes
    from sarra_lite.runtime import Failure

_PREFETCH: Final = 500  # reports
_STORED_EVERY: Final = 1.0  # seconds


class Accounting:
    """Counts reports on one broker connection after the other; each report once."""

    def __init__(self, stream: str, store: Store, volumes: Volumes) -> None:
        """``volumes`` are what ``store`` has, and get what is counted."""
        self._stream = stream
        self._store = store
        self._volumes = volumes
        self._read = store.offset(stream)  # offset of the last report counted
        self._new: Counter[tuple[str, str]] = Counter()  # what the store does not have yet
        self._stored = self._read

    async def attach(self, broker: Broker, failure: Failure) -> None:
        """Read on a new connection; at the very first from the beginning of the month."""
        now = datetime.now(UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._broker = broker
        await broker.consume(
            self._stream,
            failure.guard(self._receive),
            prefetch=_PREFETCH,
            on_lost=lambda reason: failure.set(BrokerError(reason)),
            offset=month if self._read is None else self._read + 1,
        )

    async def run(self) -> None:
        """Store what was counted, now and then; never returns."""
        while True:
            await asyncio.sleep(_STORED_EVERY)
            await self.store()

    async def store(self) -> None:
        """Store what was counted, together with how far was read."""
        offset, counts = self._read, self._new
        if offset is None or offset == self._stored:
            return
        self._new, self._stored = Counter(), offset
        # Should this fail, the program ends, and counts again from what is stored.
        await asyncio.to_thread(self._store.add, counts, self._stream, offset)

    def _receive(self, delivery: Delivery) -> None:
        self._broker.ack(delivery)
        if delivery.offset is None or (self._read is not None and delivery.offset <= self._read):
            return
        self._read = delivery.offset
        reported = report_stream.decode_report(delivery)
        if reported is None:
            return
        if (content := content_of(reported[0], datetime.now(UTC))) is not None:
            day, user, count = content
            self._new[day, user] = min(self._new[day, user] + count, MOST)
            self._volumes.add(day, user, count)
