"""The Broker class: declares, publishes, consumes and reads streams for all other packages.

All methods may be called from any thread.  Callbacks run in the connection's thread and must not
block; those of this project put an event into a queue that another thread reads.
"""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pika

from sarra_lite.broker.connection import CONNECT_TIMEOUT, Connection
from sarra_lite.broker.publisher import PublishOutcome
from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from pika.channel import Channel
    from pika.spec import Basic, BasicProperties

    from sarra_lite.config.credentials import Endpoint

__all__ = ["Broker", "Delivery", "PublishOutcome"]

_HEARTBEAT: Final = 30  # seconds; a dead connection is noticed within twice this time
_QUIET: Final = 1.0  # seconds without a delivery that mean the end of a stream
_NOT_FOUND: Final = 404
_STREAM_PREFETCH: Final = 1000


@dataclass(frozen=True)
class Delivery:
    """A message from a queue, to be acknowledged; ``offset`` is its position in a stream."""

    body: bytes
    content_type: str | None
    user_id: str | None
    exchange: str
    redelivered: bool
    offset: int | None
    tag: int = 0
    channel: Channel | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Consumer:
    """A consumer of one queue, on a channel of its own; ``Broker.consume`` creates it."""

    connection: Connection
    channel: Channel
    begin: Callable[[Channel, int, Callable[[Any], None]], None]

    def set_prefetch(self, prefetch: int) -> None:
        """Change the prefetch: cancel the consumer and start another one on the same channel.

        pika rejects what arrives in between; the broker delivers it again, as redelivered.
        """

        def restart() -> None:
            if self.channel.is_open:
                for tag in self.channel.consumer_tags:
                    self.channel.basic_cancel(tag)
                self.begin(self.channel, prefetch, lambda _: None)

        with contextlib.suppress(BrokerError):
            self.connection.run_in_thread(restart)

    def cancel(self) -> None:
        """Close the channel; the broker requeues all messages that are not acknowledged."""
        with contextlib.suppress(BrokerError):
            self.connection.close_channel(self.channel)


class Broker(Connection):
    """One connection to the broker, open from ``__enter__`` to ``__exit__``.

    When it is lost, ``lost`` is set and ``close_reason`` is a message for users; reconnecting
    needs a new instance.
    """

    def __init__(self, endpoint: Endpoint, program: str, tls: ssl.SSLContext | None = None) -> None:
        """``endpoint`` has the password; the broker lists the connection as ``program``."""
        parameters = pika.ConnectionParameters(
            host=endpoint.host,
            port=endpoint.port,
            virtual_host=endpoint.path or "/",
            credentials=pika.PlainCredentials(endpoint.user, endpoint.password or ""),
            ssl_options=pika.SSLOptions(tls, endpoint.host) if tls is not None else None,
            heartbeat=_HEARTBEAT,
            socket_timeout=CONNECT_TIMEOUT,
            stack_timeout=CONNECT_TIMEOUT,
            client_properties={"connection_name": program, "product": "sarra_lite"},
        )
        super().__init__(parameters, endpoint.user, str(endpoint))

    def declare_exchange(self, name: str) -> None:
        """Declare a durable topic exchange."""
        self.request(
            lambda channel, ok: channel.exchange_declare(name, "topic", durable=True, callback=ok)
        )

    def declare_queue(self, name: str, arguments: dict[str, Any] | None = None) -> int:
        """Declare a durable queue unless it exists; return the number of its ready messages.

        An existing queue may have other arguments: sr3 declares its queues without any.
        """
        try:
            answer = self.request(
                lambda channel, ok: channel.queue_declare(name, passive=True, callback=ok)
            )
        except BrokerRefused as error:
            if error.code != _NOT_FOUND:
                raise
            answer = self.request(
                lambda channel, ok: channel.queue_declare(
                    name, durable=True, arguments=arguments, callback=ok
                )
            )
        return int(answer.method.message_count)

    def bind(self, name: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange, for topics that match ``key``."""
        self.request(lambda channel, ok: channel.queue_bind(name, exchange, key, callback=ok))

    def consume(
        self,
        name: str,
        deliver: Callable[[Delivery], None],
        *,
        prefetch: int,
        on_lost: Callable[[str], None] = lambda _: None,
        offset: str | int | datetime | None = None,
    ) -> Consumer:
        """Consume a queue, with at most ``prefetch`` messages not acknowledged.

        ``on_lost`` is called with the reason when the consumer ends without ``cancel``.
        ``offset``: where a stream is read from, as RabbitMQ's x-stream-offset.
        """
        arguments = {} if offset is None else {"x-stream-offset": offset}

        def on_message(*message: Any) -> None:
            deliver(_to_delivery(*message))

        def begin(channel: Channel, prefetch: int, ok: Callable[[Any], None]) -> None:
            channel.basic_qos(prefetch_count=prefetch)
            channel.basic_consume(
                name, on_message, arguments=arguments, callback=lambda _: ok(channel)
            )

        channel = self.request(lambda channel, ok: begin(channel, prefetch, ok), on_lost)
        return Consumer(self, channel, begin)

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a message; do nothing when its channel or the connection is closed."""

        def send() -> None:
            if delivery.channel is not None and delivery.channel.is_open:
                delivery.channel.basic_ack(delivery.tag)

        with contextlib.suppress(BrokerError):
            self.run_in_thread(send)

    def read_stream(self, name: str, since: datetime) -> Iterator[Delivery]:
        """Yield the messages that a stream holds now, since a time; the first may be older.

        RabbitMQ starts at the chunk of messages that contains this time.
        """
        inbox: queue.SimpleQueue[Delivery | str] = queue.SimpleQueue()
        newer: list[Delivery] = []  # the first message published after this call, if any
        consumers = [
            self.consume(name, newer.append, prefetch=1, offset="next"),
            self.consume(
                name, inbox.put, prefetch=_STREAM_PREFETCH, on_lost=inbox.put, offset=since
            ),
        ]
        try:
            while isinstance(event := inbox.get(timeout=_QUIET), Delivery):
                if newer and (event.offset or 0) >= (newer[0].offset or 0):
                    return  # in a busy stream there is no pause that marks the end
                yield event
                self.ack(event)
        except queue.Empty:
            return
        finally:
            for consumer in consumers:
                consumer.cancel()
        raise BrokerError(event)


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
    )
