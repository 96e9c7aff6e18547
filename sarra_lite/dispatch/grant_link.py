"""Takes the grants of a sender's group from its queue, while transfers wait for them."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.errors import BrokerError, MessageError
from sarra_lite.messages import grants
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Consumer, Delivery
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.delivery.grants import Grants
    from sarra_lite.runtime import Failure

_PREFETCH: Final = 4  # enough for the whole rate at a round-trip time of 200 ms
_TURN: Final = 0.5  # seconds between two looks at the transfers that wait
_SLEEP: Final = 3600.0  # seconds; an event ends it
_IDLE: Final = 2.0  # seconds without a transfer, after which grants in hand are given back


class GrantLink:
    """Consumes the queue of grants on one broker connection after the other."""

    def __init__(self, config: SenderConfig, queue: str, held: Grants, failure: Failure) -> None:
        """``failure`` gets a refusal, and a lost consumer."""
        self._queue = queue
        self._grants = held
        self._failure = failure
        self._send_without = config.grantsMissing == "send"
        self._timeout = config.grantsTimeout
        self._broker: Broker | None = None
        self._consumer: Consumer | None = None
        self._consuming = asyncio.Event()
        self._received = time.monotonic()
        self._told = ""  # why transfers wait, or do not

    async def attach(self, broker: Broker) -> None:
        """Consume on a new connection; raise BrokerRefused when the user may not."""
        self._broker = broker
        await self._consume(broker)

    def detach(self) -> None:
        """Forget a lost connection, with the grants that were not taken."""
        self._broker = self._consumer = None
        self._consuming.clear()
        self._grants.drop_held()

    async def run(self) -> None:
        """Consume while transfers wait, and tell when no grants come; never returns."""
        while True:
            await runtime.wait_for_any(_SLEEP, self._grants.wanted, self._consuming)
            broker = self._broker
            if broker is not None and self._consumer is None and self._grants.wanted.is_set():
                try:
                    await self._consume(broker)
                except BrokerError as error:
                    self._failure.set(error)
            await asyncio.sleep(_TURN)
            self._look()

    async def _consume(self, broker: Broker) -> None:
        self._consumer = await broker.consume(
            self._queue,
            self._failure.guard(self._receive),
            prefetch=_PREFETCH,
            on_lost=lambda reason: self._failure.set(BrokerError(reason)),
        )
        self._consuming.set()

    def _receive(self, delivery: Delivery) -> None:
        """Hold a grant; one of 0 bytes says why there are none."""
        try:
            grant = grants.decode(delivery.body)
        except MessageError as error:
            log.warning("%s: %s", self._queue, error)
            grant = grants.Grant(0)
        self._received = time.monotonic()
        if not grant.bytes:
            if grant.reason and not grant.expired:
                self._tell(f"{grant.reason}; waiting")
            if self._broker is not None:
                self._broker.ack(delivery)
            return
        self._tell("")
        self._grants.unlimited = False
        self._grants.add(grant.bytes, partial(self._ack, self._broker, delivery))

    def _ack(self, broker: Broker | None, delivery: Delivery) -> None:
        if broker is not None:
            broker.ack(delivery)

    def _look(self) -> None:
        """Tell when transfers wait for nothing; give back what nobody has needed for a while."""
        now, held = time.monotonic(), self._grants
        if held.wanted.is_set() and now - max(self._received, held.waiting_since) > self._timeout:
            way = "sending without them" if self._send_without else "waiting"
            self._tell(f"no grants come from {self._queue}; {way} (option grantsMissing)")
            held.unlimited = self._send_without
            held.settle()
        idle = not held.wanted.is_set() and now - held.last_used > _IDLE
        if idle and not held.unlimited and self._broker is not None and self._consumer is not None:
            self._broker.close_channel(self._consumer.channel)
            self._consumer = None
            self._consuming.clear()
            held.drop_held()

    def _tell(self, text: str) -> None:
        if text and text != self._told:
            log.warning("%s", text)
        elif self._told and not text:
            log.info("%s: grants come again", self._queue)
        self._told = text
