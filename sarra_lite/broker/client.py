"""The Broker class: declares, publishes and consumes for all other packages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pika import BasicProperties

from sarra_lite.broker.connection import Connection
from sarra_lite.broker.publisher import PublishOutcome
from sarra_lite.errors import BrokerRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel
    from pika.spec import Basic

    from sarra_lite.broker.connection import Request

__all__ = ["Broker", "Delivery", "PublishOutcome"]

_NOT_PERMITTED: Final = 403  # of AMQP 0.9.1
_OTHER_ARGUMENTS: Final = 406
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Delivery:
    """A message from a queue, to be acknowledged; ``offset`` is its position in a stream.

    ``user_id``: who has published it, as the broker has verified; None: not said.
    """

    body: bytes
    content_type: str | None
    user_id: str | None
    exchange: str
    redelivered: bool
    offset: int | None
    tag: int = 0
    channel: Channel | None = field(default=None, repr=False)
    topic: str = ""


@dataclass(frozen=True)
class Consumer:
    """A consumer of one queue, on a channel of its own; ``Broker.consume`` creates it."""

    channel: Channel
    begin: Callable[[int, Channel, Callable[[Any], None]], None]

    def set_prefetch(self, prefetch: int) -> None:
        """Change the prefetch, by another consumer on the same channel in place of this one.

        What is on its way to this one is redelivered.
        """
        if self.channel.is_open:
            for tag in self.channel.consumer_tags:
                self.channel.basic_cancel(tag)
            self.begin(prefetch, self.channel, lambda _: None)


class Broker(Connection):
    """One connection to the broker, open inside ``async with``.

    When it is lost, ``lost`` is set and ``close_reason`` is a message for users; reconnecting
    needs a new instance.
    """

    async def declare_exchange(self, name: str) -> None:
        """Declare a durable topic exchange unless it exists.

        Operators of a scope create the exchanges, which users may not configure.
        """
        try:
            await self.request(
                lambda channel, ok: channel.exchange_declare(name, passive=True, callback=ok)
            )
        except BrokerRefused as error:
            if not error.is_missing:
                raise
            await self._create(
                lambda channel, ok: channel.exchange_declare(
                    name, "topic", durable=True, callback=ok
                )
            )

    async def declare_queue(self, name: str, arguments: dict[str, Any] | None = None) -> int:
        """Declare a durable queue unless it exists; return the number of its ready messages.

        An existing queue may have other arguments: sr3 declares its queues without any, and other
        versions of this program with others.
        """
        if (count := await self._count_if_any(name)) is not None:
            return count
        try:
            await self._create(
                lambda channel, ok: channel.queue_declare(
                    name, durable=True, arguments=arguments, callback=ok
                )
            )
        except BrokerRefused as error:
            count = await self._count_if_any(name) if error.code == _OTHER_ARGUMENTS else None
            if count is None:
                raise
            return count  # another program has declared it meanwhile
        return 0

    async def _create(self, request: Request) -> None:
        """Create what does not exist; when the user may not, say what to do."""
        try:
            await self.request(request)
        except BrokerRefused as error:
            if error.code == _NOT_PERMITTED:
                error.args = (
                    f"{error}; it does not exist: ask the operators of the broker for it",
                )
            raise

    async def _count_if_any(self, name: str) -> int | None:
        """Return how many messages are ready in a queue; None when there is no such queue."""
        try:
            return await self.count_messages(name)
        except BrokerRefused as error:
            if not error.is_missing:
                raise
        return None

    async def count_messages(self, name: str) -> int:
        """Return how many messages are ready in a queue; BrokerRefused when there is none."""
        return (await self.look_at(name))[0]

    async def count_consumers(self, name: str) -> int:
        """Return how many consumers a queue has; BrokerRefused when there is no such queue."""
        return (await self.look_at(name))[1]

    async def look_at(self, name: str) -> tuple[int, int]:
        """Return how many messages are ready in a queue, and how many consumers it has.

        Raise BrokerRefused when there is no such queue.
        """
        reply = await self.request(
            lambda channel, ok: channel.queue_declare(name, passive=True, callback=ok)
        )
        return int(reply.method.message_count), int(reply.method.consumer_count)

    async def bind(self, name: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange, for topics that match ``key``."""
        await self.request(lambda channel, ok: channel.queue_bind(name, exchange, key, callback=ok))

    async def consume(
        self,
        name: str,
        deliver: Callable[[Delivery], None],
        *,
        prefetch: int,
        on_lost: Callable[[str], None] = lambda _: None,
        offset: str | int | datetime | None = None,
        channel: Channel | None = None,
    ) -> Consumer:
        """Consume a queue, with at most ``prefetch`` messages not acknowledged.

        ``on_lost`` is called with the reason when the consumer ends without ``close_channel``.
        ``offset``: where a stream is read from, as RabbitMQ's x-stream-offset.
        ``channel``: that of another consumer, whose ``on_lost`` is called.
        """
        if isinstance(offset, datetime):
            offset = max(offset, _EPOCH)  # AMQP has no earlier times
        arguments = {} if offset is None else {"x-stream-offset": offset}

        def on_message(*message: Any) -> None:
            deliver(_to_delivery(*message))

        def begin(prefetch: int, channel: Channel, ok: Callable[[Any], None]) -> None:
            channel.basic_qos(prefetch_count=prefetch)
            channel.basic_consume(name, on_message, arguments=arguments, callback=ok)

        channel = channel or await self.open_channel(on_lost, name)
        await self.request_on(channel, partial(begin, prefetch))
        return Consumer(channel, begin)

    async def open_volatile(
        self, on_lost: Callable[[str], None], exchange: str, on_returned: Callable[[str], None]
    ) -> Channel:
        """Open a channel for ``publish_volatile``.

        ``on_lost`` is called with the reason when it ends, ``on_returned`` with the topic of a
        message for which no queue is bound.
        """
        channel = await self.open_channel(on_lost, exchange)
        channel.add_on_return_callback(lambda _, method, *__: on_returned(method.routing_key))
        return channel

    def publish_volatile(self, channel: Channel, exchange: str, topic: str, body: bytes) -> None:
        """Publish a message that nobody needs when its queue is full, or the connection lost."""
        if channel.is_open:
            properties = BasicProperties(user_id=self._user)
            channel.basic_publish(exchange, topic, body, properties, mandatory=True)

    async def round_trip(self, channel: Channel) -> None:
        """Return when the broker has handled all that was sent on this channel before."""
        await self.request_on(channel, lambda channel, ok: channel.basic_qos(callback=ok))

    def ack(self, delivery: Delivery, *, multiple: bool = False) -> None:
        """Acknowledge a message; do nothing when its channel or the connection is closed.

        ``multiple``: also all before it.
        """
        if delivery.channel is not None and delivery.channel.is_open:
            delivery.channel.basic_ack(delivery.tag, multiple=multiple)


def _to_delivery(
    channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
) -> Delivery:
    offset = (properties.headers or {}).get("x-stream-offset")
    return Delivery(
        body=body,
        content_type=properties.content_type,
        user_id=properties.user_id,
        exchange=method.exchange or "",
        redelivered=bool(method.redelivered),
        offset=offset if isinstance(offset, int) else None,
        tag=method.delivery_tag or 0,
        channel=channel,
        topic=method.routing_key or "",
    )
