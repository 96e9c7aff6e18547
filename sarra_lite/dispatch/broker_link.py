"""The sender's side of its broker: consumes announcements, publishes reports, acknowledges.

A delivery is acknowledged when what was published about it is confirmed; a duplicate at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.broker import report_stream
from sarra_lite.broker.client import PublishOutcome
from sarra_lite.errors import BrokerError, BrokerRefused
from sarra_lite.messages import blocks, v03

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sarra_lite.broker.client import Broker, Consumer, Delivery
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.messages.v03 import Announcement
    from sarra_lite.runtime import Failure

_HIGH_PREFETCH: Final = 1000
_QUIET: Final = 0.3  # seconds
_SMALL: Final = 256 * 1024  # bytes an announcement, on average, that count as small


class BrokerLink:
    """Consumes and publishes on one broker connection after the other.

    The prefetch is low, so that other senders of the queue get their share, and high while all
    announcements are small: round trips to the broker would otherwise take most of the time.  It is
    changed by another consumer, and only while nothing is on its way to the present one, since that
    would be redelivered: when it has all that it may have, or has got nothing for a while.
    """

    def __init__(
        self, config: SenderConfig, on_delivery: Callable[[Delivery], None], failure: Failure
    ) -> None:
        """``failure`` gets the error of ``on_delivery``, of a refusal, and of a lost consumer."""
        self.outstanding = 0  # publications that the broker has not answered
        self._config = config
        self._on_delivery = on_delivery
        self.failure = failure
        self._broker: Broker | None = None
        self._consumer: Consumer | None = None
        self._low_prefetch = config.prefetch_count
        self._high_prefetch = config.prefetch or max(_HIGH_PREFETCH, self._low_prefetch)
        self._prefetch = self._low_prefetch
        self._held: set[int] = set()  # tags of what the consumer has, not acknowledged
        self._last_received = 0.0
        self._taken = self._taken_bytes = 0  # since the prefetch was last considered
        self._reconsider: asyncio.TimerHandle | None = None

    async def attach(self, broker: Broker) -> None:
        """Consume and publish on a new connection, with a low prefetch."""
        self._broker = broker
        self._prefetch = self._low_prefetch
        self._held.clear()
        self._consumer = await broker.consume(
            self._config.queue,
            self.failure.guard(self._receive),
            prefetch=self._prefetch,
            on_lost=lambda reason: self.failure.set(BrokerError(reason)),
        )
        self._adapt_prefetch()  # the first announcements came before the consumer was known

    def detach(self) -> None:
        """Forget a lost connection; what was published on it is not waited for."""
        self._broker = self._consumer = None
        self.outstanding = 0

    def count_taken(self, size: int) -> None:
        """Count an announcement of ``size`` bytes of content."""
        self._taken += 1
        self._taken_bytes += size

    def _receive(self, delivery: Delivery) -> None:
        self._held.add(delivery.tag)
        self._last_received = time.monotonic()
        self._on_delivery(delivery)
        self._adapt_prefetch()

    def _adapt_prefetch(self) -> None:
        if self._consumer is None or self._taken < self._low_prefetch:
            return
        small = self._taken_bytes < _SMALL * self._taken
        wanted = self._high_prefetch if small else self._low_prefetch
        if wanted != self._prefetch:
            wait = self._last_received + _QUIET - time.monotonic()
            if len(self._held) < self._prefetch and wait > 0:
                if self._reconsider is None:
                    self._reconsider = asyncio.get_running_loop().call_later(wait, self._later)
                return
            self._prefetch = wanted
            self._held.clear()
            self._consumer.set_prefetch(wanted)
        self._taken = self._taken_bytes = 0

    def _later(self) -> None:
        self._reconsider = None
        self._adapt_prefetch()

    async def find_final_reports(self, announcements: Iterable[Announcement]) -> set[Key]:
        """Return the keys of these announcements on which senders of this user have reported."""
        if self._broker is None:
            return set()
        stream, author = self._config.report_stream, self._config.broker.user
        return await report_stream.find_final_reports(self._broker, stream, announcements, author)

    def report(
        self,
        report: Announcement,
        delivery: Delivery | None = None,
        on_confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        """Publish a report; when it is confirmed, acknowledge ``delivery``, call ``on_confirmed``.

        A block that completes its file has a second one.  After a lost connection, neither is done:
        the broker redelivers.
        """
        topic = self._config.report_topic
        reports = [(topic, one) for one in blocks.reports_of(report)]
        self._publish(reports, delivery, on_confirmed)

    def announce_blocks(self, delivery: Delivery, announcement: Announcement) -> None:
        """Announce the blocks of a large file that was announced whole, instead of it."""
        pieces = blocks.split(announcement, self._config.blockSize)
        self._publish([(self._config.topic_prefix(piece), piece) for piece in pieces], delivery)

    def _publish(
        self,
        messages: list[tuple[str, Announcement]],
        delivery: Delivery | None,
        on_confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        """Publish messages, each with the prefix of its topic; see ``report``."""
        broker = self._broker
        if broker is None:
            return
        waiting = len(messages)
        worst = PublishOutcome.CONFIRMED

        def answered(result: PublishOutcome, reason: str) -> None:
            nonlocal waiting, worst
            waiting -= 1
            worst = worst if result is PublishOutcome.CONFIRMED else result
            if waiting or broker is not self._broker:  # ``detach`` has forgotten it
                return
            self.outstanding -= 1
            if worst is PublishOutcome.REFUSED:
                raise BrokerRefused(f"report refused by the broker: {reason}")
            if worst is not PublishOutcome.LOST:
                if delivery is not None:
                    self.ack(delivery)
                on_confirmed()

        encoded = [(v03.topic(prefix, one.rel_path), v03.encode(one)) for prefix, one in messages]
        self.outstanding += 1
        for topic, body in encoded:
            broker.publish(
                self._config.exchange_name, topic, body, on_result=self.failure.guard(answered)
            )

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery, if its connection still exists."""
        if self._broker is not None:
            self._held.discard(delivery.tag)
            self._broker.ack(delivery)
