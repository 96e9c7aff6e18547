"""The sender's side of its broker: consumes announcements, publishes reports, acknowledges.

A delivery is acknowledged when what was published about it is confirmed; a duplicate at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sarra_lite.broker import report_stream
from sarra_lite.broker.client import Delivery, PublishOutcome
from sarra_lite.errors import BrokerRefused
from sarra_lite.messages import blocks, v03

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sarra_lite.broker.client import Broker, Consumer
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.messages.v03 import Announcement

_HIGH_PREFETCH: Final = 1000
_SMALL: Final = 256 * 1024  # bytes an announcement, on average, that count as small


@dataclass(frozen=True)
class Confirmed:
    """The broker's answer to a report, or to the blocks published instead of a large file.

    ``result`` may be REFUSED or LOST.
    """

    delivery: Delivery | None
    key: Key | None
    result: PublishOutcome
    reason: str


class BrokerLink:
    """Consumes and publishes on one broker connection after the other.

    The prefetch is low, so that other senders of the queue get their share, and high while all
    announcements are small: round trips to the broker would otherwise take most of the time.
    """

    def __init__(
        self,
        config: SenderConfig,
        on_event: Callable[[Delivery | Confirmed], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """``on_lost`` gets the reason when the broker cancels the consumer.

        Both callbacks run in the broker's thread.
        """
        self.outstanding = 0  # publications that the broker has not answered
        self._config = config
        self._on_event = on_event
        self._on_lost = on_lost
        self._broker: Broker | None = None
        self._consumer: Consumer | None = None
        self._low_prefetch = config.prefetch_count
        self._high_prefetch = config.prefetch or max(_HIGH_PREFETCH, self._low_prefetch)
        self._prefetch = self._low_prefetch
        self._taken = self._taken_bytes = 0  # since the prefetch was last considered

    def attach(self, broker: Broker) -> None:
        """Consume and publish on a new connection, with a low prefetch."""
        self._broker = broker
        self._prefetch = self._low_prefetch
        self._consumer = broker.consume(
            self._config.queue, self._on_event, prefetch=self._prefetch, on_lost=self._on_lost
        )

    def detach(self) -> None:
        """Forget a lost connection; what was published on it is not waited for."""
        self._broker = self._consumer = None
        self.outstanding = 0

    def count_taken(self, size: int) -> None:
        """Count an announcement of ``size`` bytes of content, and adapt the prefetch."""
        self._taken += 1
        self._taken_bytes += size
        if self._taken < self._low_prefetch:
            return
        small = self._taken_bytes < _SMALL * self._taken
        self._taken = self._taken_bytes = 0
        wanted = self._high_prefetch if small else self._low_prefetch
        if wanted != self._prefetch and self._consumer is not None:
            self._prefetch = wanted
            self._consumer.set_prefetch(wanted)

    def find_final_reports(self, announcements: Iterable[Announcement]) -> dict[Key, int]:
        """Return the codes of final reports on these announcements that the stream holds."""
        if self._broker is None:
            return {}
        stream = self._config.report_stream
        return report_stream.find_final_reports(self._broker, stream, announcements)

    def report(
        self, report: Announcement, delivery: Delivery | None = None, key: Key | None = None
    ) -> None:
        """Publish a report; ``delivery`` and ``key`` come back in its ``Confirmed``."""

        def answered(result: PublishOutcome, reason: str) -> None:
            self._on_event(Confirmed(delivery, key, result, reason))

        self.outstanding += 1
        self._publish(self._config.report_topic, report, answered)

    def announce_blocks(self, delivery: Delivery, announcement: Announcement) -> None:
        """Announce the blocks of a large file that was announced whole, instead of it."""
        pieces = list(blocks.split(announcement, self._config.blockSize))
        waiting = len(pieces)
        worst = PublishOutcome.CONFIRMED

        def answered(result: PublishOutcome, reason: str) -> None:
            nonlocal waiting, worst
            waiting -= 1
            worst = worst if result is PublishOutcome.CONFIRMED else result
            if waiting == 0:
                self._on_event(Confirmed(delivery, None, worst, reason))

        self.outstanding += 1
        for piece in pieces:
            prefix = self._config.finish_topic if piece.is_finish else self._config.topicPrefix
            self._publish(prefix, piece, answered)

    def confirmed(self, event: Confirmed) -> bool:
        """Acknowledge the delivery of a confirmed publication; False: the connection was lost.

        Raises BrokerRefused when the broker refused the publication.
        """
        self.outstanding -= 1
        if event.result is PublishOutcome.LOST:
            return False
        if event.result is PublishOutcome.REFUSED:
            raise BrokerRefused(f"report refused by the broker: {event.reason}")
        if event.delivery is not None:
            self.ack(event.delivery)
        return True

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery, if its connection still exists."""
        if self._broker is not None:
            self._broker.ack(delivery)

    def _publish(
        self, prefix: str, content: Announcement, answered: Callable[[PublishOutcome, str], None]
    ) -> None:
        if self._broker is not None:
            topic = v03.topic(prefix, content.rel_path)
            exchange = self._config.exchange_name
            self._broker.publish(exchange, topic, v03.encode(content), on_result=answered)
