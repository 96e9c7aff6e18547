"""Looks every half a minute for what is unusual and for what was expected, and shows it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.broker import streams
from sarra_lite.monitor import anomalies
from sarra_lite.monitor.examiner import Examiner
from sarra_lite.monitor.expected import Evaluator
from sarra_lite.monitor.schema import StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.monitor import MonitorConfig
    from sarra_lite.monitor.metrics import Metrics
    from sarra_lite.monitor.store import Store

_EVERY: Final = 30.0  # seconds
_STORED_EVERY: Final = 0.2  # seconds


class Judging:
    """Judges what the store has, with the same past on one broker connection after the other."""

    def __init__(self, config: MonitorConfig, store: Store, metrics: Metrics) -> None:
        """Raise ConfigError for mistakes in the file of what is expected."""
        self._store = store
        self._shown = metrics.shown
        self._expectations = config.expectations()
        self._evaluator = Evaluator(store.file, config.member)
        self._examiner = Examiner(store, config.member, config.maxUsers)

    async def keep(self, broker: Broker, consumed: Callable[[], list[str]]) -> None:
        """Judge until it is cancelled; ``consumed`` are the streams that are read into the store.

        Raise BrokerError when the connection is lost.
        """
        while True:
            for stream in consumed():
                await self._catch_up(broker, stream)
            with contextlib.suppress(StoreFull):
                await asyncio.to_thread(self._examiner.examine)
            self._shown.anomalies = await asyncio.to_thread(anomalies.now, self._store.file)
            if self._expectations:
                now = time.time_ns() // 10**6
                self._shown.expected = await asyncio.to_thread(
                    self._evaluator.now, self._expectations, now
                )
            await asyncio.sleep(_EVERY)

    async def _catch_up(self, broker: Broker, stream: str) -> None:
        """Wait until all that a stream has now is stored."""
        last = await streams.last_offset(broker, stream)
        stored: int | None = -1
        while last is not None and (stored is None or stored < last):
            stored = await asyncio.to_thread(self._store.offset, stream)
            await asyncio.sleep(_STORED_EVERY)
