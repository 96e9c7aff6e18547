"""The sender's side of its broker, with a broker that answers when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from sarra_lite.broker.client import Delivery, PublishOutcome
from sarra_lite.config.commands import SenderConfig
from sarra_lite.dispatch.broker_link import BrokerLink, Confirmed
from sarra_lite.errors import BrokerRefused
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Report

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = SenderConfig(
    broker="amqp://uearnest@broker.example/", sendTo="sftp://ear001@host.example/"
)
DELIVERY = Delivery(
    b"", v03.CONTENT_TYPE, "uearnest", "xac_earnest", redelivered=False, offset=None
)
REPORT = Announcement(
    "20261127T010203.5",
    "file:/",
    "a",
    report=Report(code=201, message="", time_completed="20261127T010203.5"),
)


class FakeConsumer:
    def __init__(self) -> None:
        """Its prefetch was never changed."""
        self.prefetches: list[int] = []

    def set_prefetch(self, prefetch: int) -> None:
        self.prefetches.append(prefetch)


class FakeBroker:
    """Notes what is published and acknowledged; ``answers`` has the callbacks of publications."""

    def __init__(self) -> None:
        """Nothing is published yet."""
        self.consumer = FakeConsumer()
        self.answers: list[Callable[[PublishOutcome, str], None]] = []
        self.acked: list[Delivery] = []

    def consume(self, *_: object, **__: object) -> FakeConsumer:
        return self.consumer

    def publish(self, *_: object, on_result: Callable[[PublishOutcome, str], None]) -> None:
        self.answers.append(on_result)

    def ack(self, delivery: Delivery) -> None:
        self.acked.append(delivery)


def linked(broker: FakeBroker) -> tuple[BrokerLink, list[Delivery | Confirmed]]:
    """Return a link that uses a broker, and the events that it told."""
    events: list[Delivery | Confirmed] = []
    link = BrokerLink(CONFIG, events.append, lambda _: None)
    link.attach(cast("Any", broker))
    return link, events


def test_a_confirmed_report_acknowledges_its_delivery() -> None:
    broker = FakeBroker()
    link, events = linked(broker)
    link.report(REPORT, DELIVERY, REPORT.key)
    assert (link.outstanding, broker.acked) == (1, [])
    broker.answers[0](PublishOutcome.CONFIRMED, "")
    (event,) = events
    assert isinstance(event, Confirmed)
    assert link.confirmed(event)
    assert (link.outstanding, broker.acked) == (0, [DELIVERY])


def test_a_lost_report_acknowledges_nothing() -> None:
    broker = FakeBroker()
    link, _ = linked(broker)
    assert not link.confirmed(Confirmed(DELIVERY, REPORT.key, PublishOutcome.LOST, ""))
    assert broker.acked == []


def test_a_refused_report_is_an_error() -> None:
    link, _ = linked(FakeBroker())
    with pytest.raises(BrokerRefused):
        link.confirmed(Confirmed(DELIVERY, REPORT.key, PublishOutcome.REFUSED, "no"))


def test_a_large_file_is_acknowledged_when_all_its_blocks_are_confirmed() -> None:
    broker = FakeBroker()
    link, events = linked(broker)
    large = Announcement("20261127T010203.5", "file:/", "a", size=40 << 20, mtime="20261127T010203")
    link.announce_blocks(DELIVERY, large)
    assert len(broker.answers) == 4  # three blocks of 16 MiB, and the finish
    for answer in broker.answers[:-1]:
        answer(PublishOutcome.CONFIRMED, "")
    assert events == []
    broker.answers[-1](PublishOutcome.CONFIRMED, "")
    assert [event.result for event in events if isinstance(event, Confirmed)] == [
        PublishOutcome.CONFIRMED
    ]


def test_the_prefetch_is_high_while_announcements_are_small_and_low_again_after() -> None:
    broker = FakeBroker()
    link, _ = linked(broker)
    for _ in range(32):
        link.count_taken(10_000)
    assert broker.consumer.prefetches == [1000]
    for _ in range(32):
        link.count_taken(10_000_000)
    assert broker.consumer.prefetches == [1000, 32]
