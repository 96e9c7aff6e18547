"""What waits for the broker ends when its channel or the connection does, at any moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pika.exceptions import (
    ChannelClosedByBroker,
    ChannelClosedByClient,
    ConnectionClosedByClient,
    ProbableAuthenticationError,
    StreamLostError,
)

from sarra_lite.broker import connection
from sarra_lite.broker.client import Broker, PublishOutcome
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


CLOSED = ConnectionClosedByClient(200, "normal")


class FakeChannel:
    """Answers requests in the next iteration of the loop, unless ``silent``."""

    silent = False

    def __init__(self) -> None:
        """Open."""
        self.is_open = True
        self.on_close: list[Callable[..., None]] = []
        self.on_cancel: Callable[..., None] = lambda _: None
        self.add_on_close_callback = self.on_close.append

    def add_on_return_callback(self, _: object) -> None:
        pass

    def add_on_cancel_callback(self, callback: Callable[..., None]) -> None:
        self.on_cancel = callback

    def answer(self, callback: Callable[[Any], None]) -> None:
        if not self.silent:
            asyncio.get_running_loop().call_soon(callback, self)

    def confirm_delivery(self, _: object, callback: Callable[[Any], None]) -> None:
        self.answer(callback)

    def queue_bind(self, *_: str, callback: Callable[[Any], None]) -> None:
        self.answer(callback)

    def basic_qos(self, prefetch_count: int) -> None:
        pass

    def basic_consume(self, *_: Any, callback: Callable[[Any], None], **__: Any) -> None:
        self.answer(callback)

    def basic_publish(self, *_: Any, **__: Any) -> None:
        pass

    def close(self, error: Exception = CLOSED) -> None:
        self.is_open = False
        for callback in self.on_close:
            callback(self, error)


class FakeConnection:
    """Opens at once; ``refusal``: the error instead."""

    refusal: Exception | None = None

    def __init__(self, _: object, **callbacks: Any) -> None:
        """Connect."""
        self.is_open, self.is_closing = True, False
        self.channels: list[FakeChannel] = []
        self.on_close = callbacks["on_close_callback"]
        loop = asyncio.get_running_loop()
        if self.refusal is None:
            loop.call_soon(callbacks["on_open_callback"], self)
        else:
            self.is_open = False
            loop.call_soon(callbacks["on_open_error_callback"], self, self.refusal)

    @property
    def is_closed(self) -> bool:
        return not self.is_open

    def add_on_connection_blocked_callback(self, _: object) -> None:
        pass

    def add_on_connection_unblocked_callback(self, _: object) -> None:
        pass

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        self.channels.append(FakeChannel())
        asyncio.get_running_loop().call_soon(on_open_callback, self.channels[-1])

    def close(self, error: Exception = CLOSED) -> None:
        self.is_open = False
        for channel in self.channels:
            channel.close(error)
        self.on_close(self, error)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BatchingConnection", FakeConnection)


def with_broker(scene: Callable[[Broker, FakeConnection], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with Broker(parse_url("amqp://u:p@h/", ["amqp"]), "test") as broker:
            made: Any = broker._connection  # noqa: SLF001  the fake
            await asyncio.wait_for(scene(broker, made), 5)

    asyncio.run(run())


def test_a_refused_login_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeConnection,
        "refusal",
        ProbableAuthenticationError("ConnectionClosedByBroker: (403) 'no'"),
    )

    async def never(_: Broker, __: FakeConnection) -> None:
        raise AssertionError

    with pytest.raises(BrokerRefused, match=r"check credentials\.conf"):
        with_broker(never)


def test_declarations_share_a_channel_until_one_is_refused() -> None:
    async def scene(broker: Broker, made: FakeConnection) -> None:
        await broker.bind("q", "x", "#")
        await broker.bind("q", "x", "#")
        _, channel = made.channels
        channel.silent = True
        refused = asyncio.ensure_future(broker.bind("q", "x", "#"))
        await asyncio.sleep(0)
        channel.close(ChannelClosedByBroker(404, "no exchange x"))
        with pytest.raises(BrokerRefused, match="no exchange x") as raised:
            await refused
        assert raised.value.code == 404
        await broker.bind("q", "x", "#")
        assert len(made.channels) == 3
        assert not broker.lost.is_set()

    with_broker(scene)


def test_declarations_at_the_same_time_have_a_channel_each() -> None:
    async def scene(broker: Broker, made: FakeConnection) -> None:
        await asyncio.gather(broker.bind("q", "x", "a"), broker.bind("q", "x", "b"))
        assert len(made.channels) == 3

    with_broker(scene)


@pytest.mark.parametrize("turns", range(4))
def test_a_request_fails_when_the_connection_ends_whatever_it_waits_for(turns: int) -> None:
    async def scene(broker: Broker, made: FakeConnection) -> None:
        made.channels[0].silent = True
        FakeChannel.silent = True
        request = asyncio.ensure_future(broker.bind("q", "x", "#"))
        for _ in range(turns):
            await asyncio.sleep(0)
        made.close(StreamLostError("gone"))
        with pytest.raises(BrokerError, match="the connection was lost"):
            await request
        with pytest.raises(BrokerError, match="the connection was lost"):
            await broker.bind("q", "x", "#")

    try:
        with_broker(scene)
    finally:
        FakeChannel.silent = False


def test_a_consumer_hears_once_that_it_is_lost_and_not_when_it_is_closed() -> None:
    async def scene(broker: Broker, made: FakeConnection) -> None:
        reasons: list[str] = []
        for _ in range(3):
            consumer = await broker.consume("q", print, prefetch=1, on_lost=reasons.append)
        broker.close_channel(consumer.channel)
        assert reasons == []
        made.channels[1].on_cancel(None)
        assert reasons == ["q was deleted, or is moving to another node"]
        made.close(StreamLostError("gone"))
        assert reasons[1:] == ["amqp://u@h/: the connection was lost"]

    with_broker(scene)


def test_a_message_without_a_confirm_is_lost_with_the_connection() -> None:
    async def scene(broker: Broker, made: FakeConnection) -> None:
        results: list[PublishOutcome] = []
        broker.publish("x", "t", b"", on_result=lambda result, _: results.append(result))
        made.close(StreamLostError("gone"))
        assert results == [PublishOutcome.LOST]
        with pytest.raises(BrokerError, match="the connection was lost"):
            broker.publish("x", "t", b"", on_result=lambda *_: None)

    with_broker(scene)


class SlowToClose(FakeConnection):
    """Closes its channels at once, itself when the broker has answered."""

    closed = False

    def close(self, error: Exception = CLOSED) -> None:
        self.is_open, self.is_closing = False, True
        for channel in self.channels:
            channel.close(ChannelClosedByClient(200, "normal"))
        asyncio.get_running_loop().call_later(0.05, self.answered, error)

    def answered(self, error: Exception) -> None:
        type(self).closed = True
        self.on_close(self, error)


def test_closing_waits_for_the_connection_not_only_for_its_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "BatchingConnection", SlowToClose)

    async def nothing(_: Broker, __: FakeConnection) -> None:
        pass

    with_broker(nothing)
    assert SlowToClose.closed


def test_a_lost_connection_is_noticed_by_both_sides_within_half_a_minute() -> None:
    async def heartbeat() -> Any:
        endpoint = parse_url("amqp://u@broker/", ["amqp"])
        return connection.Connection(endpoint, "test")._parameters.heartbeat  # noqa: SLF001

    assert 5 <= asyncio.run(heartbeat()) <= 10  # it is lost after two without an answer
