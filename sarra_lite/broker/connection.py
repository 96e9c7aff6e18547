"""One AMQP connection: pika's SelectConnection on an I/O loop in a thread of its own.

``run_in_thread``, ``request`` and ``publish`` may be called from any thread.  All callbacks run in
the connection's thread and must not block: the heartbeats are sent from there, too.
The reasons are in docs/decisions/0001-broker-thread.md.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from pika.adapters.select_connection import IOLoop

from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.broker.publisher import BatchingConnection, OnResult, Publisher, PublishOutcome
from sarra_lite.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika import ConnectionParameters
    from pika.channel import Channel

    # Calls a method of the channel, which calls the callback with the broker's reply.
    Request = Callable[[Channel, Callable[[Any], None]], object]

log = logging.getLogger("sarra_lite")
logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # its errors are raised as BrokerError

CONNECT_TIMEOUT: Final = 10.0  # seconds to connect and log in
_REPLY_TIMEOUT: Final = 20.0  # seconds for the broker's reply to a request
_CLOSE_TIMEOUT: Final = 2.0  # seconds
# Seconds in which publications are collected: waking the thread for each message costs more.
_BATCH_TIME: Final = 0.002


class Connection:
    """An AMQP connection with one channel for publishing and one for each consumer.

    Declarations share another channel, since the broker closes a channel when it refuses one.
    """

    def __init__(self, parameters: ConnectionParameters, user: str, url: str) -> None:
        """``user``: the ``user_id`` of messages; ``url`` names the broker in errors."""
        self.lost = threading.Event()
        self.close_reason = ""
        self._url = url
        self._user = user
        self._loop = IOLoop()
        self._thread = threading.Thread(
            target=self._run, args=(parameters,), name="broker", daemon=True
        )
        self._opened: Future[None] = Future()
        self._connection: BatchingConnection | None = None
        self._publisher: Publisher | None = None
        self._idle_channel: Channel | None = None  # for the next declaration
        self._replies: dict[Channel, Future[Any]] = {}  # of requests without a reply so far
        self._consumers: dict[Channel, Callable[[str], None]] = {}  # the on_lost of each
        # The lock protects the three attributes below, which all threads use.
        self._lock = threading.Lock()
        self._ended = False
        self._wake_requested = False
        self._actions: deque[Callable[[], None]] = deque()

    # Called from any thread.

    def __enter__(self) -> Self:
        """Connect and log in; raise BrokerRefused when the login fails, else BrokerError."""
        self._thread.start()
        try:
            self._wait_for(self._opened, CONNECT_TIMEOUT + 5)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Send outstanding messages and acknowledgements, then close."""
        if not self.lost.is_set():
            self._loop.add_callback_threadsafe(self._close)
        self._thread.join(_CLOSE_TIMEOUT)

    def run_in_thread(self, action: Callable[[], None]) -> None:
        """Run a function in the connection's thread at once; BrokerError if it has ended."""
        self._enqueue(action)
        with self._lock:
            requested, self._wake_requested = self._wake_requested, True
        if not requested:
            self._loop.add_callback_threadsafe(self._run_actions)

    def request(self, send: Request, on_lost: Callable[[str], None] | None = None) -> Any:
        """Send a request on a channel, wait for the broker's reply and return it.

        With ``on_lost`` the channel is a new one that stays open for a consumer; ``on_lost`` is
        called with the reason when it is closed.
        """
        reply: Future[Any] = Future()
        self.run_in_thread(partial(self._send_request, send, reply, on_lost))
        return self._wait_for(reply, _REPLY_TIMEOUT)

    def publish(
        self,
        exchange: str,
        topic: str,
        body: bytes,
        *,
        on_result: OnResult,
        mandatory: bool = False,
    ) -> None:
        """Publish a persistent message, at the end of the current batch.

        ``on_result`` is called with the outcome.  ``mandatory``: the outcome is UNROUTABLE when
        no queue is bound.
        """

        def action() -> None:
            publisher = self._publisher
            if publisher is None or not publisher.publish(
                exchange, topic, body, on_result, mandatory=mandatory
            ):
                on_result(PublishOutcome.LOST, self.close_reason)

        if self._enqueue(action):
            self._loop.add_callback_threadsafe(
                lambda: self._loop.call_later(_BATCH_TIME, self._run_actions)
            )

    def close_channel(self, channel: Channel) -> None:
        """Close the channel of a consumer, without calling its ``on_lost``."""

        def close() -> None:
            self._consumers.pop(channel, None)
            if channel.is_open:
                channel.close()

        self.run_in_thread(close)

    def _enqueue(self, action: Callable[[], None]) -> bool:
        """Append an action; return True when it is the only one."""
        with self._lock:
            if self._ended:
                raise BrokerError(self.close_reason)
            self._actions.append(action)
            return len(self._actions) == 1

    def _wait_for(self, reply: Future[Any], timeout: float) -> Any:
        try:
            return reply.result(timeout)
        except TimeoutError:
            raise BrokerError(f"{self._url}: the broker does not answer") from None

    # Called in the connection's thread.

    def _run(self, parameters: ConnectionParameters) -> None:
        try:
            self._connection = BatchingConnection(
                parameters,
                on_open_callback=lambda opened: opened.channel(on_open_callback=self._on_channel),
                on_open_error_callback=lambda _, error: self._end(error),
                on_close_callback=lambda _, error: self._end(error),
                custom_ioloop=self._loop,
            )
            self._connection.add_on_connection_blocked_callback(
                lambda _, blocked: log.warning(
                    "%s: the broker takes nothing for now: %s", self._url, blocked.method.reason
                )
            )
            self._loop.start()
        except Exception as error:  # of any kind: callers must not wait for this thread for ever
            log.debug("in the thread of %s", self._url, exc_info=True)
            self._end(error)
        self._end(BrokerError("closed"))
        self._loop.close()

    def _run_actions(self) -> None:
        with self._lock:
            actions, self._actions = self._actions, deque()
            self._wake_requested = False
        if actions and self._connection is not None:
            with self._connection.batch():
                for action in actions:
                    action()

    def _close(self) -> None:
        self._run_actions()
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._end(BrokerError("closed"))

    def _end(self, error: BaseException) -> None:
        """Fail everything that waits, with this error; further calls do nothing."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            actions, self._actions = self._actions, deque()
        broker_error = translate_error(error, self._url)
        self.close_reason = str(broker_error)
        publisher, self._publisher, self._idle_channel = self._publisher, None, None
        for action in actions:
            action()
        if publisher is not None:
            publisher.finish_all(PublishOutcome.LOST, self.close_reason)
        for reply in [self._opened, *self._replies.values()]:
            if not reply.done():
                reply.set_exception(broker_error)
        self.lost.set()
        for on_lost in self._consumers.values():
            on_lost(self.close_reason)
        if self._connection is not None and self._connection.is_open:
            self._connection.close()  # stops the loop as well
        else:
            self._loop.stop()

    def _on_channel(self, channel: Channel) -> None:
        """Start publishing, on the first channel."""
        self._publisher = Publisher(
            channel,
            self._user,
            self._url,
            on_ready=lambda: self._opened.set_result(None),
            on_failure=self._end,
        )

    def _send_request(
        self, send: Request, reply: Future[Any], on_lost: Callable[[str], None] | None
    ) -> None:
        """Send a request on the idle channel, or on a new one."""

        def on_reply(channel: Channel, result: Any) -> None:
            self._replies.pop(channel, None)
            if not reply.done():
                reply.set_result(result)
            if on_lost is None:
                self._idle_channel = channel

        def send_on(channel: Channel) -> None:
            self._replies[channel] = reply
            if on_lost is not None:
                self._consumers[channel] = on_lost
                channel.add_on_cancel_callback(
                    lambda _: self._end_consumer(channel, "the queue was deleted")
                )
            channel.add_on_close_callback(self._on_channel_closed)
            send(channel, partial(on_reply, channel))

        if self._connection is None or not self._connection.is_open:
            reply.set_exception(BrokerError(self.close_reason or f"{self._url}: not open"))
        elif on_lost is None and self._idle_channel is not None and self._idle_channel.is_open:
            channel, self._idle_channel = self._idle_channel, None
            send_on(channel)
        else:
            self._connection.channel(on_open_callback=send_on)

    def _on_channel_closed(self, channel: Channel, error: Exception) -> None:
        broker_error = translate_error(error, self._url)
        reply = self._replies.pop(channel, None)
        if reply is not None and not reply.done():
            reply.set_exception(broker_error)
        self._end_consumer(channel, str(broker_error))

    def _end_consumer(self, channel: Channel, reason: str) -> None:
        """Call the consumer's ``on_lost``; ``_end`` does so when the connection ends."""
        on_lost = self._consumers.pop(channel, None)
        if on_lost is not None and not self._ended:
            on_lost(reason)
