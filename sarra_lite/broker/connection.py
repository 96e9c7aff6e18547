"""One AMQP connection in a thread of its own (decision 0001).

``do``, ``request`` and ``publish`` may be called from any thread.  Callbacks run in the
connection's thread and must not block.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pika.adapters.select_connection import IOLoop
from pika.exceptions import ChannelClosed

from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.broker.publisher import Answered, BatchingConnection, Publisher, PublishOutcome
from sarra_lite.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika import ConnectionParameters
    from pika.channel import Channel
    from pika.connection import Connection as PikaConnection

log = logging.getLogger("sarra_lite")
logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # what matters comes as an error of ours

CONNECT: Final = 10.0  # seconds that connecting and logging in may take
_ANSWER: Final = 20.0  # seconds that the broker may take to answer to a declaration
_GOODBYE: Final = 2.0  # seconds that closing may take
# Seconds in which what is published is gathered: waking the thread for each message costs more.
_GATHER: Final = 0.002


class Connection:
    """A connection, and the channel on which it publishes."""

    def __init__(self, parameters: ConnectionParameters, user: str, url: str) -> None:
        """``user`` signs what is published; ``url`` names the broker in errors."""
        self.lost = threading.Event()
        self.close_reason = ""
        self.url = url
        self._parameters = parameters
        self._user = user
        self._loop = IOLoop()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._opened: Future[None] = Future()
        self._connection: BatchingConnection | None = None
        self._publisher: Publisher | None = None
        self._spare: Channel | None = None
        self._asked: dict[Channel, Future[Any]] = {}
        self._consumers: dict[Channel, Callable[[str], None]] = {}
        self._lock = threading.Lock()
        self._ended = False
        self._woken = False
        self._actions: deque[Callable[[], None]] = deque()

    # The caller's side: any thread.

    def open(self) -> None:
        """Connect; BrokerRefused when the broker does not let us in, BrokerError otherwise."""
        self._thread.start()
        try:
            self._opened.result(CONNECT + 5)
        except LateError:
            raise BrokerError(f"{self.url}: the broker does not answer") from None

    def close(self) -> None:
        """Send what was published and acknowledged, then close."""
        if not self.lost.is_set():
            self._loop.add_callback_threadsafe(self._close)
        self._thread.join(_GOODBYE)

    def do(self, action: Callable[[], None]) -> None:
        """Run something in the connection's thread, now; BrokerError when it is gone."""
        self._enqueue(action)
        with self._lock:
            woken, self._woken = self._woken, True
        if not woken:
            self._loop.add_callback_threadsafe(self._act)

    def request(
        self,
        question: Callable[[Channel, Callable[[Any], None]], object],
        on_lost: Callable[[str], None] | None = None,
    ) -> Any:
        """Ask the broker something on a channel and return its answer.

        ``question`` gets the channel and what is to be called with the answer.  With ``on_lost``
        the channel is kept for the caller, who is told when it is closed, and why.
        """
        answer: Future[Any] = Future()
        self.do(partial(self._find_channel, answer, question, on_lost))
        try:
            return answer.result(_ANSWER)
        except LateError:
            raise BrokerError(f"{self.url}: the broker does not answer") from None

    def publish(
        self, exchange: str, topic: str, body: bytes, done: Answered, *, mandatory: bool
    ) -> None:
        """Publish persistently, soon, signed with our user_id; ``done`` gets the answer."""
        action = partial(self._publish, exchange, topic, body, done, mandatory=mandatory)
        if self._enqueue(action):
            self._loop.add_callback_threadsafe(lambda: self._loop.call_later(_GATHER, self._act))

    def close_channel(self, channel: Channel) -> None:
        """Close a channel that ``request`` opened for a caller."""

        def end() -> None:
            self._consumers.pop(channel, None)
            if channel.is_open:
                channel.close()

        self.do(end)

    def _enqueue(self, action: Callable[[], None]) -> bool:
        """Put something among what is to be run; True when it is alone there."""
        with self._lock:
            if self._ended:
                raise BrokerError(self.close_reason)
            self._actions.append(action)
            return len(self._actions) == 1

    # The connection's side: its own thread.

    def _run(self) -> None:
        try:
            self._connection = BatchingConnection(
                self._parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=lambda _, error: self._end(error),
                on_close_callback=lambda _, error: self._end(error),
                custom_ioloop=self._loop,
            )
            self._loop.start()
        except Exception as error:  # whatever it is, nobody may wait for this thread for ever
            log.debug("in the thread of %s", self.url, exc_info=True)
            self._end(error)
        self._end(BrokerError("closed"))
        self._loop.close()

    def _act(self) -> None:
        with self._lock:
            actions, self._actions = self._actions, deque()
            self._woken = False
        if not actions:
            return
        connection = self._connection
        with nullcontext() if connection is None else connection.gathering():
            for action in actions:
                action()

    def _close(self) -> None:
        self._act()
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._end(BrokerError("closed"))

    def _end(self, error: BaseException) -> None:
        """Tell all who wait that the connection is gone, once."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            left, self._actions = self._actions, deque()
        told = translate_error(error, self.url)
        self.close_reason = str(told)
        publisher, self._publisher, self._spare = self._publisher, None, None
        for action in left:
            action()
        if publisher is not None:
            publisher.answer_all(PublishOutcome.LOST, self.close_reason)
        for future in [self._opened, *self._asked.values()]:
            if not future.done():
                future.set_exception(told)
        self.lost.set()
        for on_lost in self._consumers.values():
            on_lost(self.close_reason)
        if self._connection is not None and self._connection.is_open:
            self._connection.close()  # which stops the loop when it is done
        else:
            self._loop.stop()

    def _on_open(self, connection: PikaConnection) -> None:
        connection.add_on_connection_blocked_callback(
            lambda _, blocked: log.warning(
                "%s: the broker takes nothing for now: %s", self.url, blocked.method.reason
            )
        )
        connection.channel(on_open_callback=self._on_publisher)

    def _on_publisher(self, channel: Channel) -> None:
        channel.add_on_close_callback(lambda _, error: self._on_publisher_closed(error))
        not_stored = BrokerError("the broker could not store a message")
        self._publisher = Publisher(channel, self._user, lambda: self._end(not_stored))
        self._publisher.begin(lambda: self._opened.set_result(None))

    def _publish(
        self, exchange: str, topic: str, body: bytes, done: Answered, *, mandatory: bool
    ) -> None:
        publisher = self._publisher
        if publisher is None or not publisher.publish(
            exchange, topic, body, done, mandatory=mandatory
        ):
            done(PublishOutcome.LOST, self.close_reason)

    def _on_publisher_closed(self, error: Exception) -> None:
        """Note that we published what we may not: it is among the unconfirmed messages."""
        if isinstance(error, ChannelClosed) and not self._ended:
            self.close_reason = str(translate_error(error, self.url))
            if self._publisher is not None:
                self._publisher.answer_all(PublishOutcome.REFUSED, self.close_reason)
        self._end(error)

    def _find_channel(
        self,
        answer: Future[Any],
        question: Callable[[Channel, Callable[[Any], None]], object],
        on_lost: Callable[[str], None] | None,
    ) -> None:
        if self._connection is None or not self._connection.is_open:
            answer.set_exception(BrokerError(self.close_reason or f"{self.url}: not open"))
        elif on_lost is None and self._spare is not None and self._spare.is_open:
            channel, self._spare = self._spare, None
            self._put(answer, question, None, channel)
        else:
            self._connection.channel(on_open_callback=partial(self._put, answer, question, on_lost))

    def _put(
        self,
        answer: Future[Any],
        question: Callable[[Channel, Callable[[Any], None]], object],
        on_lost: Callable[[str], None] | None,
        channel: Channel,
    ) -> None:
        """Put a question, on a channel that is open."""

        def answered(result: Any) -> None:
            self._asked.pop(channel, None)
            if not answer.done():
                answer.set_result(result)
            if on_lost is None:
                self._spare = channel

        self._asked[channel] = answer
        if on_lost is not None:
            self._consumers[channel] = on_lost
            channel.add_on_cancel_callback(
                lambda _: self._tell_lost(channel, "the queue was deleted")
            )
        channel.add_on_close_callback(self._on_channel_closed)
        question(channel, answered)

    def _on_channel_closed(self, channel: Channel, error: Exception) -> None:
        told = translate_error(error, self.url)
        answer = self._asked.pop(channel, None)
        if answer is not None and not answer.done():
            answer.set_exception(told)
        self._tell_lost(channel, str(told))

    def _tell_lost(self, channel: Channel, reason: str) -> None:
        on_lost = self._consumers.pop(channel, None)
        if on_lost is not None and not self._ended:
            on_lost(reason)
