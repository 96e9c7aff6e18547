"""Fills the queue of grants of each group at the group's rate."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.broker import topology
from sarra_lite.config.quota import GRANTS_PER_SECOND
from sarra_lite.errors import BrokerError
from sarra_lite.messages import grants
from sarra_lite.messages.grants import Grant
from sarra_lite.quota.schedule import Schedule
from sarra_lite.quota.turns import Turns
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.quota import QuotaConfig

_TICK: Final = 1 / GRANTS_PER_SECOND  # seconds
_AGAIN: Final = 10.0  # seconds until a missing queue, which only operators may make, is tried again


class Filler:
    """Publishes grants while it is this process's turn; a full queue drops them."""

    def __init__(
        self,
        config: QuotaConfig,
        stop: asyncio.Event,
        refusal: Callable[[str], Grant | None] = lambda _: None,
    ) -> None:
        """``refusal`` returns, for a group that gets no grants now, the message that says so."""
        self._config = config
        self._stop = stop
        self._refusal = refusal
        self.active = False  # whether it is this instance's turn
        self._missing: dict[str, float] = {}  # when the queue of a group is declared again

    async def serve(self, broker: Broker, failure: runtime.Failure | None = None) -> None:
        """Fill until a request to stop; raise BrokerError when the connection is lost.

        Raises ``failure``, too, which others may set.
        """
        failure, exchange = failure or runtime.Failure(), self._config.exchange
        channel = await broker.open_volatile(
            lambda text: failure.set(BrokerError(text)), exchange, failure.guard(self._returned)
        )
        send = partial(broker.publish_volatile, channel, exchange)
        turns = Turns(self._config, send)
        await turns.attach(broker, failure)
        runtime.notify_systemd("READY=1")
        schedules: dict[str, Schedule] = {}
        while not await runtime.wait_for_any(_TICK, self._stop, failure.event):
            now = time.monotonic()
            self.active = turns.beat()
            if not self.active:
                schedules = {}
            elif not schedules:
                rates = self._config.byte_rates.items()
                schedules = {group: Schedule(rate, now) for group, rate in rates}
            await self._declare_missing(broker, now)
            for group, schedule in schedules.items():
                for grant in self._grants(group, schedule.due(now)):
                    send(self._config.grant_queue(group), grants.encode(grant))
            runtime.notify_alive("filling" if self.active else "standing by")
        failure.check()

    def _returned(self, queue: str) -> None:
        """Note that a queue is missing; raise BrokerError unless it is that of one group only."""
        groups = {self._config.grant_queue(group): group for group in self._config.rate}
        group = groups.get(queue)
        if group is None:
            raise BrokerError(f"no queue for {queue}")
        if group not in self._missing:
            log.warning("no queue for %s", queue)
            self._missing[group] = 0.0

    async def _declare_missing(self, broker: Broker, now: float) -> None:
        for group in [name for name, when in self._missing.items() if when <= now]:
            if await topology.declare_grants(broker, self._config, group):
                del self._missing[group]
            else:
                self._missing[group] = now + _AGAIN

    def _grants(self, group: str, due: list[int]) -> list[Grant]:
        """Return the grants of a group that are due, or one message that there are none."""
        if group in self._missing:
            return []
        refusal = self._refusal(group)
        return [Grant(count) for count in due] if refusal is None else [refusal] * bool(due)
