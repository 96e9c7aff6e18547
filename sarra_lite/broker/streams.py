"""Reads what a RabbitMQ stream holds: the last offset is found first, then read up to.

A stream has no end, and a broker that pauses looks like one that has sent everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from pika.channel import Channel

    from sarra_lite.broker.client import Broker, Delivery

_PREFETCH: Final = 1000
_ACK_EVERY: Final = 100  # messages
_TIMEOUT: Final = 20.0  # seconds that the broker may take for the next message
_TURN: Final = 0.1  # seconds
_EMPTY_TURNS: Final = 10  # without a message, after which a stream is taken for empty
_HELD_UP: Final = 0.05  # seconds


async def read(broker: Broker, name: str, since: datetime) -> AsyncIterator[Delivery]:
    """Yield the messages that a stream holds now, since a time; the first may be older.

    RabbitMQ starts at the chunk of messages that contains this time.  Raise BrokerError when not
    all of them could be read.  Other tasks get their turn meanwhile.
    """
    deliveries: asyncio.Queue[Delivery | str] = asyncio.Queue()
    put = deliveries.put_nowait
    counted = await broker.count_messages(name)  # some seconds late
    consumer = await broker.consume(name, put, prefetch=_PREFETCH, on_lost=put, offset=since)
    try:
        last = await _last_offset(broker, name, consumer.channel, counted)
        if last is None or deliveries.empty():
            return
        for number in itertools.count(1):
            delivery = await _next(deliveries, name)
            offset = delivery.offset or 0
            if offset <= last:
                yield delivery
            if offset >= last:
                return
            if number % _ACK_EVERY == 0 or deliveries.empty():
                broker.ack(delivery, multiple=True)
                await asyncio.sleep(0)
    finally:
        broker.close_channel(consumer.channel)


async def last_offset(broker: Broker, name: str) -> int | None:
    """Return the offset of a stream's last message, None when it is empty.

    Raise BrokerRefused when there is no such stream.
    """
    counted = await broker.count_messages(name)
    channel = await broker.open_channel()
    try:
        return await _last_offset(broker, name, channel, counted)
    finally:
        broker.close_channel(channel)


async def _last_offset(broker: Broker, name: str, channel: Channel, counted: int) -> int | None:
    """Return the offset of a stream's last message, None when it is empty.

    The broker handles all on one channel in order.  When the last chunk has come, so has what
    another consumer of this channel gets first, if there is anything.
    """
    chunk: list[Delivery] = []  # the last chunk, and what is published meanwhile
    came = asyncio.Event()

    def on_delivery(delivery: Delivery) -> None:
        chunk.append(delivery)
        came.set()

    await broker.consume(name, on_delivery, prefetch=_PREFETCH, offset="last", channel=channel)
    # Round trips are counted, not seconds: a broker that pauses has not said that there is nothing.
    turns = round(_TIMEOUT / _TURN) if counted else _EMPTY_TURNS
    while not await runtime.wait_for_any(_TURN, came):
        await broker.round_trip(channel)
        turns -= 1
        if turns == 0 and not counted:
            return None
        if turns == 0:
            raise BrokerError(f"{name}: the broker does not send the end of the stream")
    answered = -_PREFETCH
    # It sends what the prefetch allows before it answers: when that is less, that was the end.
    while len(chunk) - answered >= _PREFETCH:
        for delivery in chunk[max(answered, 0) :]:
            broker.ack(delivery)  # not multiple: that would be the other consumer's, too
        answered = len(chunk)
        await broker.round_trip(channel)
    # It ends with the channel: pika rejects what a cancelled consumer gets, which streams refuse.
    return chunk[-1].offset


async def _next(deliveries: asyncio.Queue[Delivery | str], name: str) -> Delivery:
    """Return the next delivery; BrokerError when none comes in time."""
    delivery: Delivery | str | None = None
    if deliveries.empty():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT):  # wait_for() may swallow a cancellation
                delivery = await deliveries.get()
        if delivery is None:
            # This process may have been held up itself: read what the broker has sent meanwhile.
            await asyncio.sleep(_HELD_UP)
    if delivery is None:
        if deliveries.empty():
            raise BrokerError(f"{name}: the broker sent only a part of the stream")
        delivery = deliveries.get_nowait()
    if isinstance(delivery, str):
        raise BrokerError(delivery)
    return delivery
