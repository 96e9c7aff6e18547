"""Publishing with publisher confirms, and a pika connection that sends many messages in one write.

pika's AsyncioConnection writes each frame by itself, three for a message; here the frames of one
iteration of the event loop leave in one write.
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from pika import BasicProperties
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient
from pika.spec import Basic

from sarra_lite import runtime
from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.messages.v03 import CONTENT_TYPE
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika import ConnectionParameters
    from pika.channel import Channel
    from pika.frame import Method

_PERSISTENT: Final = 2  # AMQP delivery mode
_MAX_DELAY: Final = 5.0  # seconds until rejected messages are sent again
_SAY_AGAIN: Final = 60.0  # seconds without a rejection, after which the next is logged again


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


@dataclass(frozen=True)
class _Message:
    exchange: str
    topic: str
    body: bytes
    on_result: OnResult
    mandatory: bool


class Publisher:
    """Publishes on one channel in confirm mode and matches each confirm to its message.

    A queue may reject messages, since it is full.  Then they and all published after them are sent
    again, in their order, after a delay that doubles: first one, and more with each confirm.
    """

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
        # By delivery tag, ascending: what is not confirmed, and all after the first of it.
        self._unconfirmed: dict[int, _Message] = {}
        self._early: set[int] = set()  # those of them that are confirmed
        self._unroutable: set[int] = set()
        self._held: deque[_Message] = deque()  # to be sent when those before are confirmed
        self._window = 1  # unconfirmed messages while there are held ones
        self._delays = _delays()
        self._timer: asyncio.TimerHandle | None = None
        self._rejected = -math.inf  # when a message was rejected last

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
        message = _Message(exchange, topic, body, on_result, mandatory)
        if self._held:
            self._held.append(message)
        else:
            self._send(message)
        return True

    def _send(self, message: _Message) -> None:
        self._published += 1
        self._unconfirmed[self._published] = message
        properties = BasicProperties(
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode=_PERSISTENT,
            headers={},
            user_id=self._user,
            # A returned message carries no delivery tag, so its tag is kept here.
            message_id=str(self._published) if message.mandatory else None,
        )
        self._channel.basic_publish(
            message.exchange, message.topic, message.body, properties, mandatory=message.mandatory
        )

    def finish_all(self, outcome: PublishOutcome, reason: str) -> None:
        """Give this outcome to all messages that the broker has not confirmed."""
        unfinished = [m for tag, m in self._unconfirmed.items() if tag not in self._early]
        unfinished += self._held
        self._unconfirmed.clear()
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
        for message in unfinished:
            message.on_result(outcome, reason)

    def _on_return(
        self, _: Channel, __: Basic.Return, properties: BasicProperties, ___: bytes
    ) -> None:
        """Note an unroutable message; the broker returns it before it confirms it."""
        self._unroutable.add(int(properties.message_id or 0))

    def _on_confirm(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        confirm = frame.method
        last = confirm.delivery_tag
        tags = list(takewhile(last.__ge__, self._unconfirmed)) if confirm.multiple else [last]
        if isinstance(confirm, Basic.Nack):
            if tags and tags[0] in self._unconfirmed:
                self._hold_from(tags[0])
            return
        for tag in tags:
            message = self._unconfirmed.get(tag)
            if message is None or tag in self._early:
                continue  # it is held, or finish_all() has reported it
            self._early.add(tag)
            self._window += 1
            if tag in self._unroutable:
                self._unroutable.discard(tag)
                message.on_result(PublishOutcome.UNROUTABLE, "no queue is bound")
            else:
                message.on_result(PublishOutcome.CONFIRMED, "")
        while (first := next(iter(self._unconfirmed), -1)) in self._early:
            self._early.discard(first)
            del self._unconfirmed[first]
        if self._held and self._timer is None:
            self._delays = _delays()
            self._send_held()

    def _hold_from(self, tag: int) -> None:
        """Send the message of this tag, which was rejected, and all after it again later.

        Those that were taken are sent again, too: what was published last has to come last.
        """
        for later in reversed([later for later in self._unconfirmed if later >= tag]):
            message = self._unconfirmed.pop(later)
            if later in self._early:  # its result is known
                message = replace(message, on_result=lambda *_: None)
            self._early.discard(later)
            self._unroutable.discard(later)
            self._held.appendleft(message)
        now = time.monotonic()
        if now - self._rejected > _SAY_AGAIN:
            log.warning(
                "%s: a queue rejects what is published, since it is full or cannot store it;"
                " trying again",
                self._url,
            )
        self._rejected = now
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(next(self._delays), self._send_again)

    def _send_again(self) -> None:
        self._timer = None
        self._window = 1
        self._send_held()

    def _send_held(self) -> None:
        while self._held and len(self._unconfirmed) < self._window and self._channel.is_open:
            self._send(self._held.popleft())

    def _on_close(self, _: Channel, error: Exception) -> None:
        # The broker closes the channel when it refuses a message: one of those not confirmed.
        if isinstance(error, ChannelClosedByBroker):
            self.finish_all(PublishOutcome.REFUSED, str(translate_error(error, self._url)))
        if not isinstance(error, ChannelClosedByClient):  # else we are closing the connection
            self._on_failure(error)


def _delays() -> Iterator[float]:
    """Yield the seconds to wait before each next attempt."""
    return (min(delay, _MAX_DELAY) for delay in runtime.backoff())
