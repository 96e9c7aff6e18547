"""The announcer: publishes announcements so that none is lost when the broker goes and comes."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from sarra_lite import runtime
from sarra_lite.broker.client import PublishOutcome
from sarra_lite.errors import BrokerError, BrokerRefused, Interrupted
from sarra_lite.messages import v03

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from types import TracebackType

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

log = logging.getLogger("sarra_lite")

_WINDOW: Final = 2000  # announcements that may wait for their confirm at once


class _Answer(NamedTuple):
    number: int
    outcome: PublishOutcome
    reason: str
    broker: Broker


class Announcer:
    """Publishes with many confirms outstanding; what is not confirmed is published again.

    One thread uses it.  ``opened`` is called with each new broker connection before anything is
    published on it, ``confirmed`` with each announcement that the broker has answered for.
    """

    def __init__(
        self,
        config: PostConfig,
        connect: Callable[[], Broker],
        stop: threading.Event,
        opened: Callable[[Broker], None],
        confirmed: Callable[[Announcement], None],
    ) -> None:
        """``stop`` set: what is confirmed is confirmed, and Interrupted is raised."""
        self.published = 0
        self.unroutable = 0
        self.patience = 60.0  # seconds without a broker until BrokerError is raised
        self.away: Callable[[], None] = lambda: None  # called while there is no broker
        self._config = config
        self._connect = connect
        self._stop = stop
        self._opened = opened
        self._confirmed = confirmed
        self._broker: Broker | None = None
        self._pending: dict[int, Announcement] = {}
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Connect once: who cannot reach the broker now wants to know it now."""
        self._broker = self._connect().__enter__()
        try:
            self._opened(self._broker)
        except BrokerRefused:
            raise
        except BrokerError:
            self._reopen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection; unconfirmed announcements are not waited for."""
        self._close()

    def post(self, announcement: Announcement) -> None:
        """Publish; returns at once unless too many confirms are outstanding."""
        while len(self._pending) >= _WINDOW:
            self.collect(1.0)
        self.published += 1
        self._pending[self.published] = announcement
        if self._broker is None or not self._publish(self.published):
            self._reopen()

    @property
    def broker(self) -> Broker:
        """The connection; BrokerError when there is none."""
        if self._broker is None:
            raise BrokerError("not connected to the broker")
        return self._broker

    def flush(self) -> None:
        """Return when every announcement is confirmed."""
        while self._pending:
            self.collect(1.0)

    def collect(self, wait: float = 0.0) -> None:
        """Take the broker's answers, waiting at most so many seconds for the first one."""
        lost = False
        with contextlib.suppress(queue.Empty):
            while True:
                lost |= self._take(self._answers.get(wait > 0, wait))
                wait = 0.0
        if self._stop.is_set() and self._pending:
            raise Interrupted(f"stopped; {len(self._pending)} announcements are not confirmed")
        if lost or self._broker is None or self._broker.lost.is_set():
            self._reopen()

    def _take(self, answer: _Answer) -> bool:
        """Note one answer; True when it means that the connection is lost."""
        if answer.outcome is PublishOutcome.REFUSED:
            raise BrokerRefused(f"announcement refused by the broker: {answer.reason}")
        if answer.outcome is PublishOutcome.LOST:
            return answer.broker is self._broker
        announcement = self._pending.pop(answer.number, None)
        if announcement is not None:
            self.unroutable += answer.outcome is PublishOutcome.UNROUTABLE
            self._confirmed(announcement)
        return False

    def _publish(self, number: int) -> bool:
        """Publish one pending announcement; False when the connection is lost."""
        broker, announcement = self._broker, self._pending[number]
        if broker is None:
            return False
        config = self._config
        prefix = config.finish_topic if announcement.is_finish else config.post_topic
        topic = v03.topic(prefix, announcement.rel_path)

        def answered(outcome: PublishOutcome, reason: str) -> None:
            self._answers.put(_Answer(number, outcome, reason, broker))

        body = v03.encode(announcement)
        try:
            broker.publish(config.exchange_name, topic, body, on_result=answered, mandatory=True)
        except BrokerRefused:
            raise
        except BrokerError as error:
            log.debug("%s", error)
            return False
        return True

    def _reopen(self) -> None:
        """Connect anew and publish again, in order, what was not confirmed."""
        self._close()
        started = time.monotonic()
        for delay in runtime.backoff():
            try:
                self._open()
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
                raise Interrupted(f"stopped; {len(self._pending)} announcements are not confirmed")

    def _open(self) -> None:
        self._broker = self._connect().__enter__()
        self._opened(self._broker)

    def _close(self) -> None:
        if self._broker is not None:
            broker, self._broker = self._broker, None
            broker.__exit__(None, None, None)
