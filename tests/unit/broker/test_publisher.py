"""Rejected messages are sent again in order; frames of one iteration leave in one write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from pika import ConnectionParameters
from pika.frame import Method
from pika.spec import Basic

from sarra_lite.broker import publisher
from sarra_lite.broker.publisher import BatchingConnection, Publisher, PublishOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIRMED = PublishOutcome.CONFIRMED


class Transport:
    """What a connection writes to."""

    def __init__(self) -> None:
        """Nothing was written."""
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def abort(self) -> None:
        pass


def writes(scene: Callable[[Any, Callable[..., None]], Any]) -> list[bytes]:
    """Return what a connection has written at the end of a scene."""
    transport = Transport()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        connection: Any = BatchingConnection(
            ConnectionParameters(), custom_ioloop=loop, internal_connection_workflow=False
        )
        connection._transport = transport  # noqa: SLF001  there is no server

        def send(*frames: bytes) -> None:
            """Send the frames of a message as pika does."""
            connection._output_marshaled_frames(list(frames))  # noqa: SLF001

        await scene(connection, send)

    asyncio.run(run())
    return transport.writes


def test_the_frames_of_one_iteration_are_sent_in_one_write() -> None:
    async def scene(_connection: Any, send: Callable[..., None]) -> None:
        send(b"one", b"two")
        send(b"three")
        await asyncio.sleep(0)
        send(b"four")
        await asyncio.sleep(0)

    assert writes(scene) == [b"onetwothree", b"four"]


def test_a_batch_can_be_sent_at_once() -> None:
    async def scene(connection: Any, send: Callable[..., None]) -> None:
        send(b"one")
        connection.send_batch()
        send(b"two")

    assert writes(scene)[0] == b"one"


def test_without_frames_nothing_is_sent() -> None:
    async def scene(connection: Any, _send: Callable[..., None]) -> None:
        connection.send_batch()
        await asyncio.sleep(0)

    assert writes(scene) == []


class FakeChannel:
    """Notes what is published, by delivery tag."""

    is_open = True

    def __init__(self) -> None:
        """Nothing is published yet."""
        self.published: list[bytes] = []
        self.came = asyncio.Event()

    def basic_publish(self, _: str, __: str, body: bytes, *___: Any, **____: Any) -> None:
        self.published.append(body)
        self.came.set()


class Publishing:
    """A publisher of the messages a, b, c ... on a fake channel, and what came of each."""

    def __init__(self) -> None:
        """Nothing is published yet."""
        self.channel = FakeChannel()
        self.results: list[tuple[bytes, PublishOutcome]] = []
        self.publisher = Publisher(cast("Any", self.channel), "u", "amqp://u@h/", lambda _: None)

    def publish(self, *bodies: bytes) -> None:
        for body in bodies:

            def note(outcome: PublishOutcome, _: str, body: bytes = body) -> None:
                self.results.append((body, outcome))

            self.publisher.publish("x", "t", body, note, mandatory=False)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self.publisher._on_confirm(Method(1, Basic.Ack(tag, multiple)))  # noqa: SLF001  as pika

    def nack(self, tag: int, *, multiple: bool = False) -> None:
        self.publisher._on_confirm(Method(1, Basic.Nack(tag, multiple)))  # noqa: SLF001  as pika

    async def sent(self, count: int) -> None:
        """Return when so many messages were published."""
        async with asyncio.timeout(5):
            while len(self.channel.published) < count:
                self.channel.came.clear()
                await self.channel.came.wait()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_MAX_DELAY", 0.01)


@pytest.mark.usefixtures("quick")
def test_a_rejected_message_and_all_after_it_are_sent_again_in_their_order() -> None:
    async def scene() -> None:
        one = Publishing()
        one.publish(b"a", b"b", b"c", b"d")
        one.ack(1)
        one.ack(3)  # taken, but sent again: it must not come before b
        assert one.results == [(b"a", CONFIRMED), (b"c", CONFIRMED)]
        one.nack(2)
        one.ack(4)
        one.publish(b"e")
        assert len(one.channel.published) == 4
        await one.sent(5)
        one.ack(5)
        one.ack(7, multiple=True)
        one.ack(8)
        assert one.channel.published[4:] == [b"b", b"c", b"d", b"e"]
        assert one.results[2:] == [(b"b", CONFIRMED), (b"d", CONFIRMED), (b"e", CONFIRMED)]

    asyncio.run(scene())


@pytest.mark.usefixtures("quick")
def test_rejected_messages_are_tried_one_at_a_time_and_lost_with_the_connection() -> None:
    async def scene() -> None:
        one = Publishing()
        one.publish(b"a", b"b")
        one.nack(2, multiple=True)
        await one.sent(3)
        one.nack(3)
        await one.sent(4)
        assert one.channel.published == [b"a", b"b", b"a", b"a"]
        one.publisher.finish_all(PublishOutcome.LOST, "gone")
        assert one.results == [(b"a", PublishOutcome.LOST), (b"b", PublishOutcome.LOST)]

    asyncio.run(scene())
