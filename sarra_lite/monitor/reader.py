"""Reads the streams of reports and announcements by offset, and stores in batches what they say."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.broker import streams
from sarra_lite.errors import BrokerError, BrokerRefused, MessageError
from sarra_lite.messages import change, v03
from sarra_lite.monitor import history
from sarra_lite.monitor.chains import Chains
from sarra_lite.monitor.judging import Judging
from sarra_lite.monitor.records import record_of
from sarra_lite.monitor.schema import StoreFull
from sarra_lite.monitor.store import Batch
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.config.monitor import MonitorConfig
    from sarra_lite.monitor.metrics import Metrics
    from sarra_lite.monitor.store import Store

_PREFETCH: Final = 4000  # messages of a stream that are not stored
_BATCH: Final = 1000  # messages that are stored without waiting for more
_STORED_EVERY: Final = 0.2  # seconds
_COUNTED_EVERY: Final = 2.0  # seconds
_LAG_EVERY: Final = 7  # counts
_EXPIRED_EVERY: Final = 1800  # counts, an hour
# RabbitMQ gives single offsets to chunks of its own, as at the beginning of each segment.  What it
# deletes are whole segments, of at least 1 MB, in which there are more messages.
_OWN_OFFSETS: Final = 8
_LOOKS: Final = 3  # at the end of a stream that a broker may not have in full yet


@dataclass
class _Stream:
    """A stream, the offset of the last message that came, and that message."""

    name: str
    read: int | None = None
    last: Delivery | None = None
    consumed: bool = False


class Reader:
    """Reads on one broker connection after the other; what is not stored is read again."""

    def __init__(
        self, config: MonitorConfig, store: Store, metrics: Metrics, stop: asyncio.Event
    ) -> None:
        """``stop`` ends ``serve``."""
        self._config = config
        self._store = store
        self._metrics = metrics
        self._stop = stop
        self._reports = _Stream(config.xlogStream)
        self._posts = _Stream(config.postsStream)
        self._batch = Batch()
        self._judging = Judging(config, store, metrics)
        self._ready = asyncio.Event()  # there is enough for a batch
        self._told_absent = False

    async def serve(self, broker: Broker) -> None:
        """Read with one connection until ``stop``; raise BrokerError when it is lost."""
        self._broker = broker
        self._failure = failure = runtime.Failure()
        self._batch = Batch()
        self._chains = Chains(await asyncio.to_thread(self._store.chains))
        self._posts.consumed = False
        await self._consume(self._reports)
        await self._consume_posts()
        runtime.notify_systemd("READY=1")
        ended = asyncio.Event()
        storing = asyncio.ensure_future(self._keep_storing(ended))
        counting = asyncio.ensure_future(self._keep_counting())
        read = (self._reports, self._posts)
        consumed = lambda: [stream.name for stream in read if stream.consumed]  # noqa: E731
        judging = asyncio.ensure_future(self._judging.keep(broker, consumed))
        for task in (storing, counting, judging):
            failure.watch(task)
        try:
            while not await runtime.wait_for_any(1.0, self._stop, failure.event):
                runtime.notify_alive(
                    "the disk is full" if self._metrics.shown.store_full else "reading the streams"
                )
            failure.check()
        finally:
            counting.cancel()
            judging.cancel()
            ended.set()
            await asyncio.wait([storing])

    async def _consume(self, stream: _Stream) -> None:
        """Consume a stream from what is stored of it on, or else from its beginning."""
        stream.read = await asyncio.to_thread(self._store.offset, stream.name)
        if stream.read is not None and not await self._has(stream.name, stream.read):
            self._note_gap(stream, None)
            stream.read = self._batch.offsets[stream.name] = -1
        await self._broker.consume(
            stream.name,
            self._failure.guard(partial(self._receive, stream)),
            prefetch=_PREFETCH,
            on_lost=lambda reason: self._failure.set(BrokerError(reason)),
            offset="first" if stream.read is None else stream.read + 1,
        )
        stream.consumed = True

    async def _has(self, name: str, offset: int) -> bool:
        """Return whether a stream is still the one that had a message of this offset."""
        if offset < 0:
            return True
        for _ in range(_LOOKS):
            last = await streams.last_offset(self._broker, name)
            if last is not None and last >= offset:
                return True
            # A member of the cluster may be behind the one that was read before.
            await runtime.wait_for_any(1.0, self._stop)
        return self._stop.is_set()

    async def _consume_posts(self) -> None:
        """Consume the stream of announcements if it exists and may be read."""
        if not self._posts.name or self._posts.consumed:
            return
        try:
            await self._broker.count_messages(self._posts.name)
            await self._consume(self._posts)
        except BrokerRefused as error:
            if not self._told_absent:
                log.info("files that nobody reports are not seen: %s", error)
            self._told_absent = True

    def _receive(self, stream: _Stream, delivery: Delivery) -> None:
        offset = delivery.offset
        if offset is None or (stream.read is not None and offset <= stream.read):
            self._broker.ack(delivery)
            return
        if stream.read is not None and offset > stream.read + 1 + _OWN_OFFSETS:
            self._note_gap(stream, offset - 1)
        stream.read, stream.last = offset, delivery
        self._batch.offsets[stream.name] = offset
        self._learn(stream, delivery)
        if len(self._batch.records) >= _BATCH:
            self._ready.set()

    def _note_gap(self, stream: _Stream, last: int | None) -> None:
        """Note that a stream no longer has what comes after ``read``, up to ``last``."""
        first = (stream.read or 0) + 1
        if last is None:
            log.warning("%s is a new stream: what the old one had is lost", stream.name)
        else:
            log.warning("%s no longer has the offsets %d to %d", stream.name, first, last)
        if stream is self._reports:
            self._chains = Chains({})
        self._metrics.count_gap(stream.name)
        self._batch.gaps.append((stream.name, first, last))

    def _learn(self, stream: _Stream, delivery: Delivery) -> None:
        """Add to the batch what a message says."""
        if stream is self._reports and (wrong := self._chains.check(delivery.body)):
            log.warning("%s: the report at offset %s is %s", stream.name, delivery.offset, wrong)
            self._metrics.count_broken_chain(wrong)
        try:
            message = v03.decode(delivery.body, delivery.content_type)
        except MessageError:
            self._metrics.count_unusable(stream.name)
            return
        report = message.report
        if (report is None) is (stream is self._reports):
            if stream is self._reports and (told := change.change_of(message)):
                self._batch.changes.append(told)
            return
        if report is not None and report.rejected:
            self._metrics.count_rejected(message.source)
            return
        user = message.source
        if report is None:  # nobody but its owner may publish on a user's exchange
            user = self._config.owner_of(delivery.exchange) or delivery.user_id
        record = record_of(message, user, time.time_ns() // 10**6, self._store.oldest)
        if record is None:
            self._metrics.count_unusable(stream.name)
            return
        self._batch.records.append(record)

    async def _keep_storing(self, ended: asyncio.Event) -> None:
        """Store what has come, now and then, and once more at the end."""
        is_last = False
        while not is_last:
            await runtime.wait_for_any(_STORED_EVERY, self._ready, ended)
            is_last = ended.is_set()
            await self._store_batch(ended)

    async def _store_batch(self, ended: asyncio.Event) -> None:
        """Store the batch, and let the broker send more; while the disk is full, wait.

        What is not stored is not acknowledged either, so that no more than the prefetch comes.
        """
        batch, self._batch = self._batch, Batch()
        batch.chains = self._chains.moved()
        last = [stream.last for stream in (self._reports, self._posts) if stream.last is not None]
        self._reports.last = self._posts.last = None
        self._ready.clear()
        if not batch.offsets and not batch.gaps:
            return
        while True:
            try:
                taken = await asyncio.to_thread(self._store.take, batch)
                break
            except StoreFull as error:
                if not self._metrics.shown.store_full:
                    log.error("%s; what the streams have is read when there is room", error)  # noqa: TRY400
                self._metrics.shown.store_full = True
            if await runtime.wait_for_any(1.0, ended):
                return
        if self._metrics.shown.store_full:
            log.info("%s: there is room again", self._store.file)
            self._metrics.shown.store_full = False
        self._metrics.count(taken)
        for delivery in last:
            self._broker.ack(delivery, multiple=True)

    async def _keep_counting(self) -> None:
        """Show what the store has and how far behind it is; drop what is too old."""
        turn = 0
        while True:
            if turn % _EXPIRED_EVERY == 0:
                with contextlib.suppress(StoreFull):
                    while await asyncio.to_thread(self._store.expire):
                        pass
            if turn % _LAG_EVERY == 0:
                await self._consume_posts()
                await self._measure_lag()
            self._metrics.shown.figures = await asyncio.to_thread(history.figures, self._store.file)
            await asyncio.sleep(_COUNTED_EVERY)
            turn += 1

    async def _measure_lag(self) -> None:
        """Show how many messages of each stream are not read."""
        for stream in (self._reports, self._posts):
            if stream.consumed:
                last = await streams.last_offset(self._broker, stream.name)
                read = -1 if stream.read is None else stream.read
                lag = 0 if last is None else max(0, last - read)
                self._metrics.shown.lag = {**self._metrics.shown.lag, stream.name: lag}
