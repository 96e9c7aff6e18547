"""The broker as the rest of the package sees it.

Pika is known here, in connection.py, in publisher.py and in refusals.py only.

All methods may be called from any thread.  Callbacks run in the connection's thread and must not
block: they put what they get into somebody's inbox.
"""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import pika

from sarra_lite.broker import connection
from sarra_lite.broker.publisher import PublishOutcome
from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from types import TracebackType

    from pika.channel import Channel
    from pika.spec import Basic, BasicProperties

    from sarra_lite.config.credentials import Endpoint

__all__ = ["Broker", "Delivery", "PublishOutcome"]

_HEARTBEAT: Final = 30  # seconds; a dead peer is noticed within twice this
_QUIET: Final = 1.0  # seconds without a delivery that mean the end of a stream
_NOT_FOUND: Final = 404
_READ_AHEAD: Final = 1000  # messages of a stream under way at once


@dataclass(frozen=True)
class Delivery:
    """A message from a queue, to be acknowledged.  ``offset``: its place in a stream."""

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
    """Something that has messages of a queue delivered."""

    connection: connection.Connection
    channel: Channel
    begin: Callable[[Channel, int, Callable[[Any], None]], None]

    def set_prefetch(self, prefetch: int) -> None:
        """Have more, or fewer, delivered before any of it is acknowledged.

        What is on its way meanwhile is given back, and delivered again in its order.
        """

        def send() -> None:
            if self.channel.is_open:
                for tag in self.channel.consumer_tags:
                    self.channel.basic_cancel(tag)
                self.begin(self.channel, prefetch, lambda _: None)

        with contextlib.suppress(BrokerError):
            self.connection.do(send)

    def cancel(self) -> None:
        """Have no more delivered, and give back what is not acknowledged."""
        with contextlib.suppress(BrokerError):
            self.connection.close_channel(self.channel)


class Broker:
    """One connection to the broker, open between ``__enter__`` and ``__exit__``."""

    def __init__(self, where: Endpoint, program: str, tls: ssl.SSLContext | None = None) -> None:
        """``where`` has the password; ``program`` is shown in the broker's list of connections."""
        parameters = pika.ConnectionParameters(
            host=where.host,
            port=where.port,
            virtual_host=where.path or "/",
            credentials=pika.PlainCredentials(where.user, where.password or ""),
            ssl_options=pika.SSLOptions(tls, where.host) if tls is not None else None,
            heartbeat=_HEARTBEAT,
            socket_timeout=connection.CONNECT,
            stack_timeout=connection.CONNECT,
            client_properties={"connection_name": program, "product": "sarra_lite"},
        )
        self._connection = connection.Connection(parameters, where.user, str(where))

    def __enter__(self) -> Self:
        """Connect; BrokerRefused when the broker does not let us in, BrokerError otherwise."""
        try:
            self._connection.open()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what was published and acknowledged, then close."""
        self._connection.close()

    @property
    def lost(self) -> threading.Event:
        """Set when the connection is gone; ``closed_because`` then tells why."""
        return self._connection.lost

    @property
    def close_reason(self) -> str:
        """One line for people."""
        return self._connection.close_reason

    def declare_exchange(self, name: str) -> None:
        """Make a durable topic exchange where there is none."""
        self._connection.request(
            lambda channel, ok: channel.exchange_declare(name, "topic", durable=True, callback=ok)
        )

    def declare_queue(self, name: str, arguments: dict[str, Any] | None = None) -> int:
        """Make a durable queue where there is none; return the number of messages ready in it.

        A queue that exists is taken as it is: sr3 declares its queues without arguments.
        """
        try:
            answer = self._connection.request(
                lambda channel, ok: channel.queue_declare(name, passive=True, callback=ok)
            )
        except BrokerRefused as error:
            if error.code != _NOT_FOUND:
                raise
            answer = self._connection.request(
                lambda channel, ok: channel.queue_declare(
                    name, durable=True, arguments=arguments, callback=ok
                )
            )
        return int(answer.method.message_count)

    def bind(self, name: str, exchange: str, key: str) -> None:
        """Let a queue have what is published on an exchange under topics that match ``key``."""
        self._connection.request(
            lambda channel, ok: channel.queue_bind(name, exchange, key, callback=ok)
        )

    def publish(
        self,
        exchange: str,
        topic: str,
        body: bytes,
        *,
        on_result: Callable[[PublishOutcome, str], None],
        mandatory: bool = False,
    ) -> None:
        """Publish persistently, signed with our user_id; ``on_result`` gets the broker's answer.

        ``mandatory``: the answer tells when no queue was bound.  BrokerError: already lost.
        """
        self._connection.publish(exchange, topic, body, on_result, mandatory=mandatory)

    def consume(
        self,
        name: str,
        deliver: Callable[[Delivery], None],
        *,
        prefetch: int,
        on_lost: Callable[[str], None] = lambda _: None,
        offset: str | int | datetime | None = None,
    ) -> Consumer:
        """Have messages of a queue delivered, at most ``prefetch`` unacknowledged at once.

        Of a stream, those from ``offset`` on.  ``on_lost`` gets the reason when it has ended.
        """
        arguments = {} if offset is None else {"x-stream-offset": offset}

        def begin(channel: Channel, prefetch: int, ok: Callable[[Any], None]) -> None:
            channel.basic_qos(prefetch_count=prefetch)
            channel.basic_consume(
                name,
                partial(_hand_over, deliver),
                arguments=arguments,
                callback=lambda _: ok(channel),
            )

        channel: Channel = self._connection.request(
            lambda channel, ok: begin(channel, prefetch, ok), on_lost
        )
        return Consumer(self._connection, channel, begin)

    def ack(self, delivery: Delivery) -> None:
        """Tell the broker that a message is dealt with; nothing happens when it is too late."""

        def send() -> None:
            if delivery.channel is not None and delivery.channel.is_open:
                delivery.channel.basic_ack(delivery.tag)

        with contextlib.suppress(BrokerError):
            self._connection.do(send)

    def read_stream(self, name: str, since: datetime) -> Iterator[Delivery]:
        """Yield what a stream holds since a moment, then end; the first ones may be older."""
        inbox: queue.SimpleQueue[Delivery | str] = queue.SimpleQueue()
        newer: list[Delivery] = []  # the first message that came after we began, if any did
        consumers = [
            self.consume(name, newer.append, prefetch=1, offset="next"),
            self.consume(name, inbox.put, prefetch=_READ_AHEAD, on_lost=inbox.put, offset=since),
        ]
        try:
            while isinstance(event := inbox.get(timeout=_QUIET), Delivery):
                if newer and (event.offset or 0) >= (newer[0].offset or 0):
                    return  # a busy stream is never quiet
                yield event
                self.ack(event)
        except queue.Empty:
            return
        finally:
            for consumer in consumers:
                consumer.cancel()
        raise BrokerError(event)


def _hand_over(
    deliver: Callable[[Delivery], None],
    channel: Channel,
    method: Basic.Deliver,
    properties: BasicProperties,
    body: bytes,
) -> None:
    offset = (properties.headers or {}).get("x-stream-offset")
    deliver(
        Delivery(
            body=body,
            content_type=properties.content_type,
            user_id=properties.user_id,
            exchange=method.exchange or "",
            redelivered=bool(method.redelivered),
            offset=offset if isinstance(offset, int) else None,
            tag=method.delivery_tag or 0,
            channel=channel,
        )
    )
