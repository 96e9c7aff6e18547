"""Publishing on a connection: what is published together goes in one write, each with its answer.

Pika is known here, in amqp.py, in broker.py and in refusals.py only.  All of this runs in the
connection's thread.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pika import BasicProperties
from pika.adapters.select_connection import SelectConnection
from pika.spec import Basic

from sarra_lite.messages.v03 import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.channel import Channel
    from pika.frame import Method

_PERSISTENT: Final = 2


class PublishOutcome(enum.Enum):
    """What became of a published message."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "confirmed, though no queue is bound"
    REFUSED = "refused"
    LOST = "not known, since the connection was lost"


Answered = Callable[[PublishOutcome, str], None]


class BatchingConnection(SelectConnection):
    """A connection that can hold back what it sends, to send it with one system call."""

    _held: list[bytes] | None = None

    @contextlib.contextmanager
    def gathering(self) -> Iterator[None]:
        """Hold back what is sent meanwhile, in its order; send it at the end."""
        self._held = []
        try:
            yield
        finally:
            data, self._held = b"".join(self._held), None
            if data and not self.is_closed:
                self._adapter_emit_data(data)

    def _adapter_emit_data(self, data: bytes) -> None:
        """Send bytes; pika calls this with each frame, three times for a message."""
        if self._held is None:
            super()._adapter_emit_data(data)  # type: ignore[misc]  # not in pika's types
        else:
            self._held.append(data)


class Publisher:
    """Publishes on a channel in confirm mode, and knows what the broker has not answered for."""

    def __init__(self, channel: Channel, user: str, nacked: Callable[[], None]) -> None:
        """``user`` signs what is published; ``nacked``: the broker could not store a message."""
        self._channel = channel
        self._user = user
        self._nacked = nacked
        self._published = 0
        self._unconfirmed: dict[int, Answered] = {}
        self._unroutable: set[int] = set()
        channel.add_on_return_callback(self._on_return)

    def begin(self, ready: Callable[[], None]) -> None:
        """Have the broker confirm what is published; ``ready`` when it will."""
        self._channel.confirm_delivery(self._on_confirm, lambda _: ready())

    def publish(
        self, exchange: str, topic: str, body: bytes, done: Answered, *, mandatory: bool
    ) -> bool:
        """Publish persistently; ``done`` gets the broker's answer.  False: the channel is gone."""
        if not self._channel.is_open:
            return False
        self._published += 1
        self._unconfirmed[self._published] = done
        properties = BasicProperties(
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode=_PERSISTENT,
            headers={},
            user_id=self._user,
            # What comes back unroutable has no other sign of which one it was.
            message_id=str(self._published) if mandatory else None,
        )
        self._channel.basic_publish(exchange, topic, body, properties, mandatory=mandatory)
        return True

    def answer_all(self, outcome: PublishOutcome, reason: str) -> None:
        """Answer for all that the broker did not answer for."""
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for done in unconfirmed.values():
            done(outcome, reason)

    def _on_return(
        self, _: Channel, __: Basic.Return, properties: BasicProperties, ___: bytes
    ) -> None:
        self._unroutable.add(int(properties.message_id or 0))

    def _on_confirm(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        method = frame.method
        if isinstance(method, Basic.Nack):
            self._nacked()
            return
        for number in self._numbers(method.delivery_tag, multiple=method.multiple):
            done = self._unconfirmed.pop(number)
            if number in self._unroutable:
                self._unroutable.discard(number)
                done(PublishOutcome.UNROUTABLE, "no queue is bound")
            else:
                done(PublishOutcome.CONFIRMED, "")

    def _numbers(self, last: int, *, multiple: bool) -> Iterator[int]:
        """Numbers of the messages that a confirm is about."""
        if not multiple:
            yield from (number for number in (last,) if number in self._unconfirmed)
            return
        while self._unconfirmed and (first := next(iter(self._unconfirmed))) <= last:
            yield first
