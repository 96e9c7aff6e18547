"""Reading a stream: all that it holds, however slow the broker is, and beside everything else."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from sarra_lite.broker import report_stream, streams
from sarra_lite.broker.client import Broker
from sarra_lite.config.credentials import parse_url
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.lab.rabbitmq import Rabbit

    Scene = Callable[[Broker], Awaitable[None]]
    Run = Callable[[Scene], None]

STREAM = "q_of_this_test"
SENT = Report(code=201, message="sent", time_completed="20261127T000000")


@pytest.fixture
def in_stream(rabbit: Rabbit) -> Iterator[Run]:
    """Run a coroutine with a connection to the broker, on which there is an empty stream."""
    endpoint = parse_url(rabbit.url("admin", rabbit.admin_password), ["amqp"])

    def run(scene: Scene) -> None:
        async def connected() -> None:
            async with Broker(endpoint, "test") as broker:
                await broker.declare_queue(STREAM, {"x-queue-type": "stream"})
                await scene(broker)

        asyncio.run(connected())

    yield run
    with rabbit.channel() as channel:
        channel.queue_delete(STREAM)


def report(number: int, pub_time: str = "20261127T010203") -> Announcement:
    return Announcement(pub_time, "file:/data", f"f{number}", report=SENT)


async def publish(broker: Broker, *messages: Announcement) -> None:
    """Publish in one burst, which makes large chunks."""
    confirmed = asyncio.Semaphore(0)
    for message in messages:
        broker.publish("", STREAM, v03.encode(message), on_result=lambda *_: confirmed.release())
    for _ in messages:
        await confirmed.acquire()


def read(broker: Broker, ago: float = 3600) -> AsyncIterator[object]:
    return streams.read(broker, STREAM, datetime.now(UTC) - timedelta(seconds=ago))


async def count(broker: Broker, ago: float = 3600) -> int:
    return len([one async for one in read(broker, ago)])


def test_all_is_read_when_the_broker_pauses(rabbit: Rabbit, in_stream: Run) -> None:
    async def scene(broker: Broker) -> None:
        await publish(broker, *map(report, range(4000)))
        seen = 0
        async for _ in read(broker):
            if seen == 0:  # the broker waits for acknowledgements before it sends the rest
                rabbit.freeze()
                asyncio.get_running_loop().call_later(2.5, rabbit.thaw)
            seen += 1
        assert seen == 4000

    try:
        in_stream(scene)
    finally:
        rabbit.thaw()


def test_reading_ends_where_the_stream_ended_when_it_was_called(
    in_stream: Run,
) -> None:
    async def scene(broker: Broker) -> None:
        assert await count(broker) == 0
        await publish(broker, report(0))
        begun = time.monotonic()
        assert await count(broker) == 1
        assert await count(broker, -3600) == 0  # nothing since a time to come
        await publish(broker, *map(report, range(1200)))
        assert await count(broker) == 1201
        assert time.monotonic() - begun < 1, "it waited for more"

    in_stream(scene)


def test_a_lookup_leaves_the_loop_to_others_and_decodes_only_what_it_asks_for(
    in_stream: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    decode = v03.decode

    def note(*body: Any) -> Announcement:
        decoded.append(body)
        return decode(*body)

    monkeypatch.setattr(v03, "decode", note)
    gaps = [0.0]

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    async def scene(broker: Broker) -> None:
        await publish(broker, *map(report, range(20000)))
        asked = replace(report(7), pub_time=v03.now())
        await publish(broker, asked)
        beating = asyncio.ensure_future(beat())
        found = await report_stream.find_final_reports(broker, STREAM, [asked], "admin")
        beating.cancel()
        assert found == {asked.key}
        assert len(decoded) == 1
        assert max(gaps) < 0.2

    in_stream(scene)


def test_a_lookup_reads_since_the_time_of_what_it_asks_for(
    in_stream: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    since: list[datetime] = []
    read_all = streams.read

    def note(broker: Broker, name: str, start: datetime) -> AsyncIterator[object]:
        since.append(start)
        return read_all(broker, name, start)

    monkeypatch.setattr(streams, "read", note)

    async def scene(broker: Broker) -> None:
        asked = replace(report(7), pub_time=v03.now())
        await publish(broker, asked)
        assert await report_stream.find_final_reports(broker, STREAM, [asked], "admin") == {
            asked.key
        }
        assert (datetime.now(UTC) - since[0]).total_seconds() < 120

    in_stream(scene)
