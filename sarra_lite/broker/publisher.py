"""Publishing with publisher confirms, and a pika connection that sends many messages in one write.

pika's AsyncioConnection writes each frame by itself, three for a message; here the frames of one
iteration of the event loop leave in one write.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from pika import BasicProperties
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient
from pika.spec import Basic

from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.errors import BrokerError
from sarra_lite.messages.v03 import CONTENT_TYPE

if TYPE_CHECKING:
    from pika import ConnectionParameters
    from pika.channel import Channel
    from pika.frame import Method

_PERSISTENT: Final = 2  # AMQP delivery mode


class PublishOutcome(enum.Enum):
    """The result of publishing one message."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "confirmed, though no queue is bound"
    REFUSED = "refused"
    LOST = "not known, since the connection was lost"


OnResult = Callable[[PublishOutcome, str], None]  # gets the outcome, and a reason for users


class BatchingConnection(AsyncioConnection):
    """A pika connection that sends all frames of one iteration of the loop with one write."""

    def __init__(self, parameters: ConnectionParameters, **callbacks: Any) -> None:
        """See AsyncioConnection."""
        self._batch: list[bytes] = []
        super().__init__(parameters, **callbacks)

    def _adapter_emit_data(self, data: bytes) -> None:
        """Send bytes soon; pika calls this for each frame."""
        if not self._batch:
            self.ioloop.call_soon(self.send_batch)
        self._batch.append(data)

    def send_batch(self) -> None:
        """Send at once what was collected."""
        data, self._batch = b"".join(self._batch), []
        if data and not self.is_closed:
            super()._adapter_emit_data(data)  # type: ignore[misc]  # not in pika's types

    def abort(self) -> None:
        """End without waiting for the broker; the callbacks for the end are called soon."""
        transport: Any = self._transport  # type: ignore[attr-defined]  # not in pika's types
        if transport is not None:
            transport.abort()


class Publisher:
    """Publishes on one channel in confirm mode and matches each confirm to its message."""

    def __init__(
        self, channel: Channel, user: str, url: str, on_failure: Callable[[BaseException], None]
    ) -> None:
        """Use a channel of its own; ``on_failure`` is called when it cannot be used any more.

        ``user``: the ``user_id`` of each message, which RabbitMQ compares with the login.
        ``url`` names the broker in errors.
        """
        self._channel = channel
        self._user = user
        self._url = url
        self._on_failure = on_failure
        self._published = 0  # the delivery tag of the last message
        self._unconfirmed: dict[int, OnResult] = {}  # by delivery tag, ascending
        self._unroutable: set[int] = set()

    def start(self, channel: Channel, on_ready: Callable[[Any], None]) -> None:
        """Put the channel into confirm mode; ``on_ready`` is called when the broker agreed."""
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_close)
        channel.confirm_delivery(self._on_confirm, on_ready)

    def publish(
        self, exchange: str, topic: str, body: bytes, on_result: OnResult, *, mandatory: bool
    ) -> bool:
        """Publish a persistent message; return False when the channel is closed."""
        if not self._channel.is_open:
            return False
        self._published += 1
        self._unconfirmed[self._published] = on_result
        properties = BasicProperties(
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode=_PERSISTENT,
            headers={},
            user_id=self._user,
            # A returned message carries no delivery tag, so its tag is kept here.
            message_id=str(self._published) if mandatory else None,
        )
        self._channel.basic_publish(exchange, topic, body, properties, mandatory=mandatory)
        return True

    def finish_all(self, outcome: PublishOutcome, reason: str) -> None:
        """Give this outcome to all messages that the broker has not confirmed."""
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for on_result in unconfirmed.values():
            on_result(outcome, reason)

    def _on_return(
        self, _: Channel, __: Basic.Return, properties: BasicProperties, ___: bytes
    ) -> None:
        """Note an unroutable message; the broker returns it before it confirms it."""
        self._unroutable.add(int(properties.message_id or 0))

    def _on_confirm(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        confirm = frame.method
        if isinstance(confirm, Basic.Nack):
            self._on_failure(BrokerError("the broker could not store a message"))
            return
        last = confirm.delivery_tag
        tags = list(takewhile(last.__ge__, self._unconfirmed)) if confirm.multiple else [last]
        for tag in tags:
            on_result = self._unconfirmed.pop(tag, None)
            if on_result is None:
                continue  # finish_all() has reported it
            if tag in self._unroutable:
                self._unroutable.discard(tag)
                on_result(PublishOutcome.UNROUTABLE, "no queue is bound")
            else:
                on_result(PublishOutcome.CONFIRMED, "")

    def _on_close(self, _: Channel, error: Exception) -> None:
        # The broker closes the channel when it refuses a message: one of those not confirmed.
        if isinstance(error, ChannelClosedByBroker):
            self.finish_all(PublishOutcome.REFUSED, str(translate_error(error, self._url)))
        if not isinstance(error, ChannelClosedByClient):  # else we are closing the connection
            self._on_failure(error)
