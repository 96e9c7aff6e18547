"""Which of several sr_quota fills the queues of grants (decision 0025)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sarra_lite.errors import BrokerError
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.config.quota import QuotaConfig
    from sarra_lite.runtime import Failure

_EVERY: Final = 1.0  # seconds between two beats
_VALID: Final = 5.0  # seconds for which the last beat received allows to fill


class Turns:
    """Sends beats to the common queue, and knows by those it gets whether it is this one's turn.

    The broker delivers the beats of all to one consumer, and to another as soon as that one is
    gone.  Grants leave by the connection of the consumer, so none are given after that.
    """

    def __init__(self, config: QuotaConfig, send: Callable[[str, bytes], None]) -> None:
        """``send`` publishes a message for a queue."""
        self.active: bool | None = None  # before the first beat
        self._queue = config.activeQueue
        self._send = send
        self._received = self._sent = float("-inf")

    async def attach(self, broker: Broker, failure: Failure) -> None:
        """Consume the common queue; ``failure`` gets the loss of the consumer."""
        self._broker = broker
        await broker.consume(
            self._queue,
            failure.guard(self._receive),
            prefetch=10,
            on_lost=lambda reason: failure.set(BrokerError(reason)),
        )

    def beat(self) -> bool:
        """Send a beat when it is time to; return whether it is this one's turn now."""
        now = time.monotonic()
        if now - self._sent >= _EVERY:
            self._sent = now
            self._send(self._queue, b"{}")
        active = now - self._received < _VALID
        if active != self.active:
            log.info("%s", "filling the queues of grants" if active else "standing by")
        self.active = active
        return active

    def _receive(self, delivery: Delivery) -> None:
        self._received = time.monotonic()
        self._broker.ack(delivery)
