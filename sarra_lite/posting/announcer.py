"""Publishes announcements and keeps each until the broker confirms it, across connections."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.broker.client import PublishOutcome
from sarra_lite.errors import BrokerError, BrokerRefused, Interrupted
from sarra_lite.messages import v03
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

_MAX_PENDING: Final = 2000  # announcements published and not confirmed, before more are published


class Announcer:
    """Publishes announcements with many publisher confirms outstanding.

    A queue may get an announcement twice, but loses none.
    """

    def __init__(
        self,
        config: PostConfig,
        stop: asyncio.Event,
        on_confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        """If ``stop`` is set while announcements are unconfirmed, methods raise Interrupted.

        ``on_confirmed`` is called for each that the broker confirms.
        """
        self.published = 0
        self.unroutable = 0  # confirmed announcements that reached no queue
        self._warned_unroutable = 0
        self._config = config
        self._stop = stop
        self._on_confirmed = on_confirmed
        self._pending: dict[int, Announcement] = {}
        self._refused: BrokerRefused | None = None
        self._answered = asyncio.Event()

    @property
    def unconfirmed(self) -> int:
        """Number of announcements that the broker has not confirmed."""
        return len(self._pending)

    @property
    def confirmed(self) -> int:
        """Number of the last announcement, counted from 1, that is confirmed with all before it."""
        return next(iter(self._pending), self.published + 1) - 1

    def attach(self, broker: Broker) -> None:
        """Publish on a new connection, first what is unconfirmed, in its order.

        Raise BrokerRefused when the broker rejected an announcement before.
        """
        if self._refused is not None:
            raise self._refused
        self._broker = broker
        for number in list(self._pending):
            self._publish(number)

    async def post(self, announcements: Iterable[Announcement]) -> None:
        """Publish announcements; wait only while too many are unconfirmed.

        Raise what ``wait_until_confirmed`` raises.  After a BrokerError, do not post them again:
        ``attach`` does.
        """
        self.publish(announcements)
        await self.wait_for_room()

    def publish(self, announcements: Iterable[Announcement]) -> None:
        """Publish announcements, as ``post`` does, without waiting."""
        first = self.published + 1
        for announcement in announcements:
            self.published += 1
            self._pending[self.published] = announcement
        if self._broker.lost.is_set():
            raise self.loss()
        for number in range(first, self.published + 1):
            self._publish(number)

    async def wait_for_room(self) -> None:
        """Wait while too many announcements are unconfirmed, as ``post`` does."""
        await self.wait_until_confirmed(all_but=_MAX_PENDING)

    async def wait_until_confirmed(self, all_but: int = 0) -> None:
        """Wait until the broker has confirmed all announcements but a number of them.

        Raise BrokerError when the connection is lost, BrokerRefused when the broker rejected an
        announcement.  Resets the watchdog of systemd meanwhile.
        """
        while True:
            runtime.notify_alive(f"{self.published} announced")
            if self._refused is not None:
                raise self._refused
            if self._stop.is_set() and self._pending:
                raise self.interrupted()
            if self._broker.lost.is_set():
                raise self.loss()
            if len(self._pending) <= all_but:
                return
            self._answered.clear()
            await runtime.wait_for_any(1.0, self._answered, self._stop, self._broker.lost)

    def loss(self) -> BrokerError:
        """Return why the connection is lost: BrokerRefused if it took an announcement with it."""
        return self._refused or BrokerError(self._broker.close_reason)

    def interrupted(self) -> Interrupted:
        """Return the error that ends a command which was asked to stop."""
        return Interrupted(f"stopped; {len(self._pending)} announcements are not confirmed")

    def warn_unroutable(self, advice: str) -> None:
        """Warn of announcements that reached no queue, if there are more than at the last call."""
        if self.unroutable > self._warned_unroutable:
            self._warned_unroutable = self.unroutable
            log.warning(
                "%d of %d announcements reached no queue, so nobody will send them: start sr_sender"
                " once on exchange %s, or set queueName, and %s",
                self.unroutable,
                self.published,
                self._config.exchange_name,
                advice,
            )

    def _publish(self, number: int) -> None:
        announcement, config = self._pending[number], self._config
        prefix = config.topic_prefix(announcement)
        self._broker.publish(
            config.exchange_name,
            v03.topic(prefix, announcement.rel_path),
            v03.encode(announcement),
            on_result=partial(self._on_result, number),
            mandatory=True,
        )

    def _on_result(self, number: int, outcome: PublishOutcome, reason: str) -> None:
        if outcome is PublishOutcome.REFUSED:
            self._refused = BrokerRefused(f"announcement refused by the broker: {reason}")
        elif outcome is not PublishOutcome.LOST and self._pending.pop(number, None) is not None:
            self.unroutable += outcome is PublishOutcome.UNROUTABLE
            self._on_confirmed()
        self._answered.set()
