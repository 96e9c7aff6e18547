"""Publishes announcements and keeps each until the broker confirms it, across connections."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from typing import TYPE_CHECKING, Final, Self

from sarra_lite import runtime
from sarra_lite.broker.client import PublishOutcome
from sarra_lite.errors import BrokerError, BrokerRefused, Interrupted
from sarra_lite.messages import v03

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

    Result = tuple[int, PublishOutcome, str, Broker]

log = logging.getLogger("sarra_lite")

_MAX_PENDING: Final = 2000  # announcements published and not confirmed
_UNCONFIRMED: Final = "stopped; {} announcements are not confirmed"


class Announcer:
    """Publishes announcements with many publisher confirms outstanding.

    sr_post and sr_post --watch use it as a context manager, from one thread.  When the connection
    is lost, it reconnects with back-off and publishes the unconfirmed announcements again, in
    order.  So a queue may get an announcement twice, but loses none.
    """

    def __init__(
        self,
        config: PostConfig,
        connect: Callable[[], Broker],
        stop: threading.Event,
        opened: Callable[[Broker], None],
        confirmed: Callable[[Announcement], None],
    ) -> None:
        """Set up without connecting.

        ``opened`` is called with each new connection before anything is published on it,
        ``confirmed`` with each announcement that the broker has confirmed.  If ``stop`` is set
        while announcements are unconfirmed, methods raise Interrupted.
        """
        self.published = 0
        self.unroutable = 0  # confirmed announcements that reached no queue
        self.patience = 60.0  # seconds to try to reconnect until BrokerError is raised
        self.away: Callable[[], None] = lambda: None  # called after each failed attempt
        self._config = config
        self._connect = connect
        self._stop = stop
        self._opened = opened
        self._confirmed = confirmed
        self._broker: Broker | None = None
        self._pending: dict[int, Announcement] = {}
        # Put by the connection's thread: number in _pending, outcome, reason, connection.
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Connect; raise BrokerError at once when the broker cannot be reached."""
        self._broker = self._connect().__enter__()
        try:
            self._opened(self._broker)
        except BrokerRefused:
            raise
        except BrokerError:
            self._reconnect()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection without waiting for confirms."""
        self._close()

    def post(self, announcement: Announcement) -> None:
        """Publish an announcement; wait only while too many are unconfirmed."""
        while len(self._pending) >= _MAX_PENDING:
            self.collect(1.0)
        self.published += 1
        self._pending[self.published] = announcement
        if not self._publish(self.published):
            self._reconnect()

    def flush(self) -> None:
        """Wait until every announcement is confirmed."""
        while self._pending:
            self.collect(1.0)

    def collect(self, wait: float = 0.0) -> None:
        """Process all results; wait up to ``wait`` seconds for the first one.

        Reconnect when the connection is lost.  Raise BrokerRefused when the broker rejected an
        announcement.
        """
        lost = False
        with contextlib.suppress(queue.Empty):
            while True:
                lost |= self._process(*self._results.get(wait > 0, wait))
                wait = 0.0
        if self._stop.is_set() and self._pending:
            raise Interrupted(_UNCONFIRMED.format(len(self._pending)))
        if lost or self._broker is None or self._broker.lost.is_set():
            self._reconnect()

    def _process(self, number: int, outcome: PublishOutcome, reason: str, broker: Broker) -> bool:
        """Process one result; return whether it means that the current connection is lost."""
        if outcome is PublishOutcome.REFUSED:
            raise BrokerRefused(f"announcement refused by the broker: {reason}")
        if outcome is PublishOutcome.LOST:
            return broker is self._broker
        announcement = self._pending.pop(number, None)
        if announcement is not None:
            self.unroutable += outcome is PublishOutcome.UNROUTABLE
            self._confirmed(announcement)
        return False

    def _publish(self, number: int) -> bool:
        """Publish one pending announcement; return False when there is no connection."""
        broker, announcement, config = self._broker, self._pending[number], self._config
        if broker is None:
            return False
        prefix = config.finish_topic if announcement.is_finish else config.topicPrefix
        topic = v03.topic(prefix, announcement.rel_path)
        body = v03.encode(announcement)

        def on_result(outcome: PublishOutcome, reason: str) -> None:
            self._results.put((number, outcome, reason, broker))

        try:
            broker.publish(config.exchange_name, topic, body, on_result=on_result, mandatory=True)
        except BrokerRefused:
            raise
        except BrokerError as error:
            log.debug("%s", error)
            return False
        return True

    def _reconnect(self) -> None:
        """Connect again, and publish what is unconfirmed in its order."""
        self._close()
        started = time.monotonic()
        for delay in runtime.backoff():
            try:
                self._broker = self._connect().__enter__()
                self._opened(self._broker)
                if all(self._publish(number) for number in list(self._pending)):
                    return
                self._close()
            except BrokerRefused:
                raise
            except BrokerError as error:
                if time.monotonic() - started > self.patience:
                    raise
                log.warning("%s; trying again", error)
            self.away()
            if self._stop.wait(delay):
                raise Interrupted(_UNCONFIRMED.format(len(self._pending)))

    def _close(self) -> None:
        if self._broker is not None:
            broker, self._broker = self._broker, None
            broker.__exit__(None, None, None)
