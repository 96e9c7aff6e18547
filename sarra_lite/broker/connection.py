"""One AMQP connection: pika's AsyncioConnection in the running event loop (decision 0017).

All methods and callbacks run on the loop's thread.  Callbacks must not block: the heartbeats are
sent from there, too.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from pika import ConnectionParameters, PlainCredentials, SSLOptions

from sarra_lite import runtime
from sarra_lite.broker.io_services import IOServices
from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.broker.properties import accept_any_headers
from sarra_lite.broker.publisher import BatchingConnection, OnResult, Publisher, PublishOutcome
from sarra_lite.errors import BrokerError
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from pika.channel import Channel
    from pika.frame import Method
    from pika.spec import Connection as PikaConnection

    from sarra_lite.config.credentials import Endpoint

    OnReply = Callable[[Any], None]
    # Calls a method of the channel, which calls the callback with the broker's reply.
    Request = Callable[[Channel, OnReply], object]

logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # its errors are raised as BrokerError
accept_any_headers()

_HEARTBEAT: Final = 10  # seconds; a dead connection is noticed within twice this time
_CONNECT_TIMEOUT: Final = 10.0  # seconds to connect and log in
_REPLY_TIMEOUT: Final = 20.0  # seconds for the broker's reply to a request
_CLOSE_TIMEOUT: Final = 2.0  # seconds


class Connection:
    """An AMQP connection with one channel for publishing and one for each consumer.

    Declarations share another channel, since the broker closes a channel when it refuses one.
    """

    def __init__(self, endpoint: Endpoint, program: str, tls: ssl.SSLContext | None = None) -> None:
        """``endpoint`` has the password; the broker lists the connection as ``program``."""
        self.lost = asyncio.Event()
        self.close_reason = ""
        self._blocked = False
        self._parameters = ConnectionParameters(
            host=endpoint.host,
            port=endpoint.port,
            virtual_host=endpoint.path or "/",
            credentials=PlainCredentials(endpoint.user, endpoint.password or ""),
            ssl_options=SSLOptions(tls, endpoint.host) if tls is not None else None,
            heartbeat=_HEARTBEAT,
            socket_timeout=_CONNECT_TIMEOUT,
            stack_timeout=_CONNECT_TIMEOUT,
            client_properties={"connection_name": program, "product": "sarra_lite"},
        )
        self._url = str(endpoint)
        self._user = endpoint.user
        self._connection: BatchingConnection | None = None
        self._publisher: Publisher | None = None
        self._idle_channel: Channel | None = None  # for the next declaration
        # Called once, with the reason, when this channel or the connection ends.
        self._on_end: dict[Callable[[BrokerError], None], Channel | None] = {}

    async def __aenter__(self) -> Self:
        """Connect and log in; raise BrokerRefused when the login fails, else BrokerError."""
        try:
            await self._reply_to(self._connect, _CONNECT_TIMEOUT + 5)
            channel = await self.open_channel()
            publisher = self._publisher = Publisher(channel, self._user, self._url, self._end)
            await self.request_on(channel, publisher.start)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _connect(self, on_open: OnReply) -> None:
        self._connection = BatchingConnection(
            self._parameters,
            on_open_callback=on_open,
            on_open_error_callback=lambda _, error: self._end(error),
            on_close_callback=lambda _, error: self._end(error),
            custom_ioloop=IOServices(asyncio.get_running_loop()),
        )
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)

    def _on_blocked(self, _: object, frame: Method[PikaConnection.Blocked]) -> None:
        self._blocked = True
        log.warning("%s: the broker takes nothing for now: %s", self._url, frame.method.reason)

    def _on_unblocked(self, *_: object) -> None:
        self._blocked = False
        log.info("%s: the broker takes messages again", self._url)

    async def __aexit__(self, *_: object) -> None:
        """Send outstanding messages and acknowledgements, then close."""
        connection = self._connection
        if self.lost.is_set() or connection is None:
            return
        if not (connection.is_closed or connection.is_closing):
            connection.close()
            # A broker that blocks a connection reads nothing from it, not even that it is closed.
            if self._blocked or not await runtime.wait_for_any(_CLOSE_TIMEOUT, self.lost):
                connection.abort()
                await runtime.wait_for_any(1.0, self.lost)
        self._end(BrokerError("closed"))

    async def open_channel(
        self, on_lost: Callable[[str], None] | None = None, queue: str = ""
    ) -> Channel:
        """Open a channel; a consumer's ``on_lost`` is called with the reason when it ends.

        ``queue``: the name of what it consumes.
        """
        connection = self._connection
        if connection is None or not connection.is_open:
            raise self._not_open()
        channel: Channel = await self._reply_to(
            lambda ok: connection.channel(on_open_callback=ok), _REPLY_TIMEOUT
        )
        channel.add_on_close_callback(
            lambda _, error: self._call_on_end(translate_error(error, self._url), channel)
        )
        if on_lost is not None:
            self._on_end[lambda error: on_lost(str(error))] = channel
            deleted = BrokerError(f"{queue} was deleted, or is moving to another node")
            channel.add_on_cancel_callback(lambda _: self._call_on_end(deleted, channel))
        return channel

    async def request(self, send: Request) -> Any:
        """Send a request on the channel for declarations; return the broker's reply."""
        channel, self._idle_channel = self._idle_channel, None
        if channel is None or not channel.is_open:
            channel = await self.open_channel()
        reply = await self.request_on(channel, send)
        self._idle_channel = channel
        return reply

    async def request_on(self, channel: Channel, send: Request) -> Any:
        """Send a request on a channel; return the broker's reply."""
        if not channel.is_open:  # it may have been closed since ``open_channel`` has ended
            raise self._not_open()
        return await self._reply_to(partial(send, channel), _REPLY_TIMEOUT, channel)

    def publish(
        self,
        exchange: str,
        topic: str,
        body: bytes,
        *,
        on_result: OnResult,
        mandatory: bool = False,
    ) -> None:
        """Publish a persistent message; it leaves with others of this iteration of the loop.

        ``on_result`` is called with the outcome.  ``mandatory``: the outcome is UNROUTABLE when
        no queue is bound.  Raise BrokerError when the connection is lost.
        """
        if self._publisher is None or not self._publisher.publish(
            exchange, topic, body, on_result, mandatory=mandatory
        ):
            raise self._not_open()

    def close_channel(self, channel: Channel) -> None:
        """Close the channel of a consumer, without calling its ``on_lost``."""
        self._on_end = {call: other for call, other in self._on_end.items() if other is not channel}
        if channel.is_open:
            channel.close()

    async def _reply_to(
        self, send: Callable[[OnReply], object], seconds: float, channel: Channel | None = None
    ) -> Any:
        """Call ``send`` with the callback for a reply, and return the reply.

        Raise what ended the channel or the connection, or BrokerError when no reply comes.
        """
        reply = asyncio.get_running_loop().create_future()

        def fail(error: BrokerError) -> None:
            if not reply.done():
                reply.set_exception(error)

        self._on_end[fail] = channel
        try:
            send(lambda result: None if reply.done() else reply.set_result(result))
            async with asyncio.timeout(seconds):  # wait_for() may swallow a cancellation
                return await reply
        except TimeoutError:
            raise BrokerError(f"{self._url}: the broker does not answer") from None
        finally:
            self._on_end.pop(fail, None)

    def _call_on_end(self, error: BrokerError, channel: Channel | None = None) -> None:
        """Pass what ended the connection, or only this channel, to all that must know it."""
        for call, its_channel in list(self._on_end.items()):
            if channel is None or its_channel is channel:
                self._on_end.pop(call, None)
                call(error)

    def _not_open(self) -> BrokerError:
        return BrokerError(self.close_reason or f"{self._url}: not open")

    def _end(self, error: BaseException) -> None:
        """Fail everything that waits, with this error; further calls do nothing."""
        if self.lost.is_set():
            return
        self.lost.set()
        broker_error = translate_error(error, self._url)
        self.close_reason = str(broker_error)
        publisher, self._publisher, self._idle_channel = self._publisher, None, None
        if publisher is not None:
            publisher.finish_all(PublishOutcome.LOST, self.close_reason)
        self._call_on_end(broker_error)
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
