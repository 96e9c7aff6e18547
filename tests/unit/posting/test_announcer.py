"""The announcer loses no announcement, whatever happens to its connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite import runtime
from sarra_lite.broker.client import PublishOutcome
from sarra_lite.config.commands import PostConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import BrokerError, BrokerRefused, Interrupted
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement
from sarra_lite.posting.announcer import Announcer

if TYPE_CHECKING:
    from collections.abc import Callable

ONE, TWO = (Announcement("20260101T000000", "file:/", name) for name in ("one", "two"))


class FakeBroker:
    """Records what is published."""

    def __init__(self) -> None:
        """Be connected."""
        self.lost = asyncio.Event()
        self.close_reason = "gone"
        self.published: list[str] = []
        self.results: list[Callable[[PublishOutcome, str], None]] = []

    def publish(self, _exchange: str, _topic: str, body: bytes, **options: Any) -> None:
        if self.lost.is_set():
            raise BrokerError(self.close_reason)
        self.published.append(v03.decode(body, None).rel_path)
        self.results.append(options["on_result"])

    def lose(self) -> None:
        self.lost.set()
        for on_result in self.results:
            on_result(PublishOutcome.LOST, "")


@pytest.fixture
def broker() -> Any:
    return FakeBroker()


@pytest.fixture
def announcer(broker: Any) -> Announcer:
    announcer = Announcer(
        PostConfig(broker=parse_url("amqp://u@h/", ["amqp", "amqps"])), asyncio.Event()
    )
    announcer.attach(broker)
    return announcer


def test_what_is_unconfirmed_is_published_again_in_its_order(
    announcer: Announcer, broker: Any
) -> None:
    asyncio.run(announcer.post([ONE, TWO]))
    broker.results[0](PublishOutcome.CONFIRMED, "")
    broker.lose()
    with pytest.raises(BrokerError, match="gone"):
        asyncio.run(announcer.post([ONE]))
    other: Any = FakeBroker()
    announcer.attach(other)
    assert other.published == ["two", "one"]


def test_confirmed_is_the_last_of_those_without_a_gap(announcer: Announcer, broker: Any) -> None:
    asyncio.run(announcer.post([ONE, TWO, ONE]))
    assert announcer.confirmed == 0
    for number, confirmed in ((1, 0), (0, 2), (2, 3)):
        broker.results[number](PublishOutcome.CONFIRMED, "")
        assert announcer.confirmed == confirmed


def test_a_refusal_is_raised(announcer: Announcer, broker: Any) -> None:
    asyncio.run(announcer.post([ONE]))
    broker.results[0](PublishOutcome.REFUSED, "no permission")
    with pytest.raises(BrokerRefused, match="no permission"):
        asyncio.run(announcer.wait_until_confirmed())


def test_a_stop_ends_waiting_for_confirms(broker: Any) -> None:
    stop = asyncio.Event()
    announcer = Announcer(PostConfig(broker=parse_url("amqp://u@h/", ["amqp", "amqps"])), stop)
    announcer.attach(broker)
    asyncio.run(announcer.post([ONE]))
    stop.set()
    with pytest.raises(Interrupted, match="1 announcements are not confirmed"):
        asyncio.run(announcer.wait_until_confirmed())


def test_more_unroutable_announcements_are_warned_of_once(
    announcer: Announcer, broker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime.log_to_stderr("info")
    asyncio.run(announcer.post([ONE, TWO]))
    broker.results[0](PublishOutcome.UNROUTABLE, "")
    for _ in range(2):
        announcer.warn_unroutable("post again")
    line = capsys.readouterr().err
    assert line.count("1 of 2 announcements reached no queue") == 1
    assert line.endswith("and post again\n")
