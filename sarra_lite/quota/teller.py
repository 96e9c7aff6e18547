"""Tells each user how much of the quotas is used, by a message in the user's own stream."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.errors import BrokerRefused
from sarra_lite.messages import usage
from sarra_lite.messages.usage import Usage
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.quota import QuotaConfig
    from sarra_lite.messages.usage import Used

_TURN: Final = 0.5  # seconds between two looks whether this instance is the active one
_AT_ONCE: Final = 50  # messages, after which the grants and the broker get their turn
_PAUSE: Final = 0.05  # seconds, as long as between two grants of a group
_MAX_TOPIC: Final = 255  # bytes, in AMQP 0.9.1


class News:
    """Which users are to be told something now."""

    def __init__(self, member: dict[str, str]) -> None:
        """``member``: group of each user."""
        self._member = member
        self._told: dict[str, tuple[object, float]] = {}  # what, and when

    def forget(self) -> None:
        """Have everybody told again."""
        self._told.clear()

    def due(self, table: list[Used], now: float) -> list[tuple[str, tuple[Used, ...]]]:
        """Return user, and what is used by the user and the group, of all who are to be told.

        That is who has sent something since, whose share of a limit has changed by a per cent, the
        group's too, and who was told nothing for ``usage.AT_LEAST_EVERY``; ``now`` in seconds.
        """
        rows = {(each.kind, each.name): each for each in table}
        found: list[tuple[str, tuple[Used, ...]]] = []
        for user in (each for each in table if each.kind == "user"):
            group = rows.get(("group", self._member.get(user.name, "")))
            used = (user,) if group is None else (user, group)
            state = (user.day, user.month, *(_share(each) for each in used))
            before, when = self._told.get(user.name, (None, 0.0))
            if state != before or now >= when + usage.AT_LEAST_EVERY.total_seconds():
                self._told[user.name] = (state, now)
                found.append((user.name, used))
        return found


class Teller:
    """Publishes on one broker connection after the other, while this instance is the active one."""

    def __init__(
        self,
        config: QuotaConfig,
        table: Callable[[datetime], list[Used]],
        is_active: Callable[[], bool],
    ) -> None:
        """``table`` returns what is used at a time."""
        self._exchange = config.usageExchange
        self._every = config.usageEvery
        self._table = table
        self._is_active = is_active
        self._news = News(config.member)
        self._send: Callable[[str, bytes], None] | None = None
        self._refusal = ""  # that was logged

    async def run(self, broker: Broker) -> None:
        """Tell what is new, now and then; never returns; raise BrokerError without connection."""
        self._send = None
        due = time.monotonic()
        while True:
            if not self._is_active():
                self._news.forget()
                due = time.monotonic()
            elif time.monotonic() >= due:
                due = time.monotonic() + self._every
                await self._tell(broker)
            await asyncio.sleep(min(_TURN, self._every))

    async def _tell(self, broker: Broker) -> None:
        if self._send is None and not await self._open(broker):
            return
        now = units.time_string(time.time_ns())
        news = self._news.due(self._table(datetime.now(UTC)), time.monotonic())
        for number, (user, used) in enumerate(news, start=1):
            topic = usage.topic(user)
            if len(topic.encode(errors="replace")) <= _MAX_TOPIC:  # no such user otherwise
                body = usage.encode(Usage(now, user, used))
                self._publish(topic, body)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(_PAUSE)

    async def _open(self, broker: Broker) -> bool:
        """Return whether users can be told; log once that they cannot."""
        self._news.forget()
        try:
            await broker.declare_exchange(self._exchange)
        except BrokerRefused as error:
            if str(error) != self._refusal:
                log.warning("users are not told what they have used: %s", error)
            self._refusal = str(error)
            return False
        # Who has no stream, or a host with an older version, is not told: that is no trouble here.
        channel = await broker.open_volatile(self._lost, self._exchange, lambda _: None)
        self._send = partial(broker.publish_volatile, channel, self._exchange)
        return True

    def _publish(self, topic: str, body: bytes) -> None:
        if self._send is not None:
            self._send(topic, body)

    def _lost(self, _reason: str) -> None:
        self._send = None


def _share(used: Used) -> tuple[int | None, ...]:
    """Return the used part of each limit in whole per cents, and of the disk in any case."""
    return tuple(100 * count // limit if limit else None for _, count, limit in used.amounts())
