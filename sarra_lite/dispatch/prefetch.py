"""How many announcements a sender takes from its queue before they are done.

Few, so that other senders get their share; many while all of them are small, or else the way to the
broker and back would be what takes the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker, Consumer, Delivery
    from sarra_lite.config.commands import SenderConfig

_MANY: Final = 1000
_SMALL: Final = 256 * 1024  # bytes an announcement, on average, that are small


class Intake:
    """Consumes the sender's queue, on one connection to the broker after the other."""

    def __init__(
        self,
        config: SenderConfig,
        deliver: Callable[[Delivery], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """``deliver`` and ``on_lost`` are called in the broker's thread."""
        self._queue = config.queue
        self._deliver = deliver
        self._on_lost = on_lost
        self._few = config.prefetch_count
        self._many = config.prefetch or max(_MANY, self._few)
        self._consumer: Consumer | None = None
        self._prefetch = self._few
        self._seen = (0, 0)

    def begin(self, broker: Broker) -> None:
        """Take few, on a fresh connection."""
        self._prefetch = self._few
        self._consumer = broker.consume(
            self._queue, self._deliver, prefetch=self._few, on_lost=self._on_lost
        )

    def look(self, count: int, size: int) -> None:
        """Decide anew: so many announcements came until now, which mean so many bytes."""
        more = count - self._seen[0]
        if more < self._few:
            return
        small = size - self._seen[1] < _SMALL * more
        self._seen = (count, size)
        wanted = self._many if small else self._few
        if wanted != self._prefetch and self._consumer is not None:
            self._prefetch = wanted
            self._consumer.set_prefetch(wanted)
