"""The sender's side of its broker, with a broker that answers when it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from sarra_lite.broker.client import Delivery, PublishOutcome
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.dispatch.broker_link import BrokerLink
from sarra_lite.errors import BrokerRefused
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Report
from sarra_lite.runtime import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = SenderConfig(
    broker=parse_url("amqp://uearnest@broker.example/", ["amqp", "amqps"]),
    sendTo=parse_url("sftp://ear001@host.example/", ["sftp"]),
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

    deliver: Callable[[Delivery], None]

    def __init__(self, deliveries: int = 0) -> None:
        """``deliveries``: announcements that arrive before ``consume`` returns."""
        self.consumer = FakeConsumer()
        self.answers: list[Callable[[PublishOutcome, str], None]] = []
        self.acked: list[Delivery] = []
        self.deliveries = deliveries

    async def consume(self, _queue: str, deliver: Callable[[Any], None], **_: object) -> Any:
        self.deliver = deliver
        for tag in range(1, self.deliveries + 1):
            deliver(replace(DELIVERY, tag=tag))
        return self.consumer

    def publish(self, *_: object, on_result: Callable[[PublishOutcome, str], None]) -> None:
        self.answers.append(on_result)

    def ack(self, delivery: Delivery) -> None:
        self.acked.append(delivery)


def linked(broker: FakeBroker) -> tuple[BrokerLink, Failure]:
    """Return a link that uses a broker, and where its errors go."""
    failure = Failure()
    link = BrokerLink(CONFIG, lambda _: None, failure)
    asyncio.run(link.attach(cast("Any", broker)))
    return link, failure


def test_a_confirmed_report_acknowledges_its_delivery() -> None:
    broker = FakeBroker()
    link, _ = linked(broker)
    seen: list[list[Delivery]] = []
    link.report(REPORT, DELIVERY, lambda: seen.append(list(broker.acked)))
    assert (link.outstanding, broker.acked, seen) == (1, [], [])
    broker.answers[0](PublishOutcome.CONFIRMED, "")
    assert (link.outstanding, broker.acked, seen) == (0, [DELIVERY], [[DELIVERY]])


def test_a_lost_report_acknowledges_nothing() -> None:
    broker = FakeBroker()
    link, failure = linked(broker)
    seen: list[int] = []
    link.report(REPORT, DELIVERY, lambda: seen.append(1))
    broker.answers[0](PublishOutcome.LOST, "the connection was lost")
    failure.check()
    assert (link.outstanding, broker.acked, seen) == (0, [], [])


def test_a_refused_report_is_an_error() -> None:
    broker = FakeBroker()
    link, failure = linked(broker)
    link.report(REPORT, DELIVERY)
    broker.answers[0](PublishOutcome.REFUSED, "no")
    with pytest.raises(BrokerRefused):
        failure.check()
    assert broker.acked == []


def test_an_error_after_a_confirm_goes_to_the_main_loop() -> None:
    broker = FakeBroker()
    link, failure = linked(broker)

    def fail() -> None:
        raise ValueError("a bug")

    link.report(REPORT, DELIVERY, fail)
    broker.answers[0](PublishOutcome.CONFIRMED, "")
    with pytest.raises(ValueError, match="a bug"):
        failure.check()


def test_answers_of_a_connection_that_is_gone_do_not_count() -> None:
    broker = FakeBroker()
    link, failure = linked(broker)
    link.report(REPORT, DELIVERY)
    link.detach()
    asyncio.run(link.attach(cast("Any", FakeBroker())))
    broker.answers[0](PublishOutcome.LOST, "the connection was lost")
    failure.check()
    assert link.outstanding == 0


def test_a_report_without_a_connection_is_not_waited_for() -> None:
    link, _ = linked(FakeBroker())
    link.detach()
    link.report(REPORT)
    assert link.outstanding == 0


def test_a_large_file_is_acknowledged_when_all_its_blocks_are_confirmed() -> None:
    broker = FakeBroker()
    link, _ = linked(broker)
    large = Announcement("20261127T010203.5", "file:/", "a", size=40 << 20, mtime="20261127T010203")
    link.announce_blocks(DELIVERY, large)
    assert len(broker.answers) == 4  # three blocks of 16 MiB, and the finish
    for answer in broker.answers[:-1]:
        answer(PublishOutcome.CONFIRMED, "")
    assert broker.acked == []
    broker.answers[-1](PublishOutcome.CONFIRMED, "")
    assert broker.acked == [DELIVERY]


class Taking:
    """A link whose announcements have ``size`` bytes each; none is acknowledged by itself."""

    def __init__(self, broker: FakeBroker) -> None:
        """Attach it to a broker."""
        self.size = 10_000
        self.broker = broker
        self.link = BrokerLink(CONFIG, lambda _: self.link.count_taken(self.size), Failure())
        asyncio.run(self.link.attach(cast("Any", broker)))

    def receive(self, first: int, last: int) -> None:
        """Receive the announcements with these tags."""
        for tag in range(first, last + 1):
            self.broker.deliver(replace(DELIVERY, tag=tag))

    def ack(self, first: int, last: int) -> None:
        """Acknowledge the announcements with these tags."""
        for tag in range(first, last + 1):
            self.link.ack(replace(DELIVERY, tag=tag))


def test_the_prefetch_is_high_while_announcements_are_small_and_low_again_after() -> None:
    broker = FakeBroker()
    taking = Taking(broker)
    taking.receive(1, 32)
    assert broker.consumer.prefetches == [1000]
    taking.size = 10_000_000
    taking.receive(33, 1031)
    assert broker.consumer.prefetches == [1000]
    taking.receive(1032, 1032)
    assert broker.consumer.prefetches == [1000, 32]


def test_the_prefetch_is_not_changed_while_something_may_be_on_its_way() -> None:
    broker = FakeBroker()
    taking = Taking(broker)
    taking.receive(1, 10)
    taking.ack(1, 5)
    taking.receive(11, 36)
    assert broker.consumer.prefetches == []
    taking.receive(37, 37)
    assert broker.consumer.prefetches == [1000]


def test_announcements_that_come_before_the_consumer_is_known_count() -> None:
    broker = FakeBroker(deliveries=32)
    Taking(broker)
    assert broker.consumer.prefetches == [1000]


def test_a_report_that_cannot_be_written_is_not_waited_for() -> None:
    link, _ = linked(FakeBroker())
    with pytest.raises(TypeError):
        link.report(msgspec.structs.replace(REPORT, extra={"x": object()}), DELIVERY)
    assert link.outstanding == 0
