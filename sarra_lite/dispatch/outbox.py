"""What a sender tells the broker: reports, blocks instead of a large file, acknowledgements.

A delivery is acknowledged when what was published about it is confirmed, never before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarra_lite.broker.client import Delivery, PublishOutcome
from sarra_lite.errors import BrokerRefused
from sarra_lite.messages import blocks, v03

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker
    from sarra_lite.broker.report_stream import Key
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.messages.v03 import Announcement


@dataclass(frozen=True)
class Confirmed:
    """The broker has answered to a report (or to the blocks that replace an announcement)."""

    delivery: Delivery | None
    key: Key | None
    result: PublishOutcome
    reason: str


class Outbox:
    """Publishes on one connection after the other; silent while there is none."""

    def __init__(self, config: SenderConfig, tell: Callable[[Confirmed], None]) -> None:
        """``tell`` is called in the broker's thread with the answer to each publication."""
        self.outstanding = 0
        self._config = config
        self._tell = tell
        self._broker: Broker | None = None

    def attach(self, broker: Broker) -> None:
        """Publish on this connection from now on."""
        self._broker = broker

    def detach(self) -> None:
        """The connection is gone; answers to what was published on it do not count."""
        self._broker = None
        self.outstanding = 0

    def confirmed(self, event: Confirmed) -> bool:
        """Acknowledge what an answer is about; False when the connection was lost before it."""
        self.outstanding -= 1
        if event.result is PublishOutcome.LOST:
            return False
        if event.result is PublishOutcome.REFUSED:
            raise BrokerRefused(f"report refused by the broker: {event.reason}")
        if event.delivery is not None:
            self.ack(event.delivery)
        return True

    def report(
        self, report: Announcement, delivery: Delivery | None = None, key: Key | None = None
    ) -> None:
        """Publish a report; its answer comes with ``delivery`` and ``key``."""

        def answered(result: PublishOutcome, reason: str) -> None:
            self._tell(Confirmed(delivery, key, result, reason))

        self.outstanding += 1
        topic = v03.topic(self._config.report_topic, report.rel_path)
        self._send(topic, report, answered)

    def cut(self, delivery: Delivery, announcement: Announcement) -> None:
        """Announce the blocks of a large file that was announced whole, instead of it."""
        pieces = list(blocks.split(announcement, self._config.blockSize))
        waiting = len(pieces)
        worst = PublishOutcome.CONFIRMED

        def answered(result: PublishOutcome, reason: str) -> None:
            nonlocal waiting, worst
            waiting -= 1
            worst = worst if result is PublishOutcome.CONFIRMED else result
            if waiting == 0:
                self._tell(Confirmed(delivery, None, worst, reason))

        self.outstanding += 1
        for piece in pieces:
            prefix = self._config.finish_topic if piece.is_finish else self._config.post_topic
            self._send(v03.topic(prefix, piece.rel_path), piece, answered)

    def ack(self, delivery: Delivery) -> None:
        """Tell the broker that an announcement is dealt with."""
        if self._broker is not None:
            self._broker.ack(delivery)

    def _send(
        self, topic: str, content: Announcement, answered: Callable[[PublishOutcome, str], None]
    ) -> None:
        if self._broker is not None:
            body = v03.encode(content)
            self._broker.publish(self._config.exchange_name, topic, body, on_result=answered)
