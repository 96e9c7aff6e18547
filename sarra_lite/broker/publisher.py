"""Publishing with publisher confirms, and a pika connection that sends many messages in one write.

All of this runs in the thread of ``sarra_lite.broker.connection``.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from pika import BasicProperties
from pika.adapters.select_connection import SelectConnection
from pika.exceptions import ChannelClosed
from pika.spec import Basic

from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.errors import BrokerError
from sarra_lite.messages.v03 import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class BatchingConnection(SelectConnection):
    """A pika connection that can collect outgoing data and send it with one system call."""

    _batch: list[bytes] | None = None

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Collect the data sent inside the ``with`` block; send it, in order, at its end."""
        self._batch = []
        try:
            yield
        finally:
            data, self._batch = b"".join(self._batch), None
            if data and not self.is_closed:
                self._adapter_emit_data(data)

    def _adapter_emit_data(self, data: bytes) -> None:
        """Send bytes; pika calls this for each frame, three times for a message."""
        if self._batch is None:
            super()._adapter_emit_data(data)  # type: ignore[misc]  # not in pika's types
        else:
            self._batch.append(data)


class Publisher:
    """Publishes on one channel in confirm mode and matches each confirm to its message."""

    def __init__(
        self,
        channel: Channel,
        user: str,
        url: str,
        *,
        on_ready: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Put the channel into confirm mode; ``on_ready`` is called when the broker agreed.

        ``user``: the ``user_id`` of each message, which RabbitMQ compares with the login.
        ``url`` names the broker in errors.  ``on_failure`` is called when the channel cannot be
        used any more.
        """
        self._channel = channel
        self._user = user
        self._url = url
        self._on_failure = on_failure
        self._published = 0  # the delivery tag of the last message
        self._unconfirmed: dict[int, OnResult] = {}  # by delivery tag, ascending
        self._unroutable: set[int] = set()
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_close)
        channel.confirm_delivery(self._on_confirm, lambda _: on_ready())

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
        if isinstance(error, ChannelClosed):
            self.finish_all(PublishOutcome.REFUSED, str(translate_error(error, self._url)))
        self._on_failure(error)
