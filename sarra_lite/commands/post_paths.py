"""sr_post without --watch: announces paths, and waits for the reports on them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.broker import topology
from sarra_lite.commands import connections
from sarra_lite.commands.path_announcements import PathAnnouncements
from sarra_lite.commands.progress import Progress
from sarra_lite.errors import (
    EX_FAILED,
    EX_OK,
    EX_TEMPFAIL,
    BrokerError,
    BrokerRefused,
    Interrupted,
    SarraError,
)
from sarra_lite.posting.announcer import Announcer
from sarra_lite.posting.waiter import ReportWaiter
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

_BATCH_SIZE: Final = 500  # announcements
_BATCH_SECONDS: Final = 0.02
_TURN: Final = 0.2  # seconds
_LOOK_FOR_SENDER: Final = 2.0  # seconds without all reports, after which a sender is looked for
_LOOK_AGAIN: Final = 10.0  # seconds
_PATIENCE: Final = 60.0  # seconds to reconnect, and for the broker to confirm something


async def post(config: PostConfig, args: argparse.Namespace) -> int:
    """Announce all paths, wait for reports if asked to, and return the exit status."""
    stop = runtime.stop_on_signals()
    declare = partial(topology.declare_for_user, reports=args.wait)
    with Progress("arrived" if args.wait else "announced", quiet=args.quiet) as progress:
        posting = _Posting(config, args, progress, stop)
        connect = partial(connections.keep_connected, config, declare, posting.work)
        try:
            async with posting.limit:
                if not await connect(stop, 0.0, _PATIENCE):
                    raise posting.announcer.interrupted()
        except TimeoutError:
            if not posting.limit.expired():
                raise
    return posting.conclude()


def _batches(announcements: Iterable[Announcement]) -> Iterator[list[Announcement]]:
    """Yield announcements in lists that are not larger, and do not take longer, than a batch."""
    batch: list[Announcement] = []
    until = 0.0
    for announcement in announcements:
        batch.append(announcement)
        if len(batch) == _BATCH_SIZE or time.monotonic() > until:
            yield batch
            batch, until = [], time.monotonic() + _BATCH_SECONDS
    yield batch


class _Posting:
    """One run of sr_post without --watch.

    Paths are listed and read in a thread, which alternates with the loop: it collects a batch of
    announcements, the loop publishes them.  ``limit`` ends the run when the broker takes nothing
    for too long, or the reports do not come.
    """

    def __init__(
        self, config: PostConfig, args: argparse.Namespace, progress: Progress, stop: asyncio.Event
    ) -> None:
        self.announcer = Announcer(config, stop, self._restart_limit)
        self.limit = asyncio.timeout(args.timeout)
        patience = math.inf if args.wait else _PATIENCE
        self._patience = patience if args.timeout is None else args.timeout
        self._config = config
        self._args = args
        self._progress = progress
        self._stop = stop
        self._all_posted = False
        self._unread = False  # no sender consumes the queue
        self._waiter = ReportWaiter(config.report_stream)  # used with --wait only
        self._announcements = PathAnnouncements(config, args)
        self._batches = itertools.chain.from_iterable(map(_batches, self._announcements))
        self._reading: asyncio.Task[list[Announcement] | None] | None = None

    async def work(self, broker: Broker) -> None:
        """Do with one connection what is not done yet."""
        if self._args.wait:
            await self._waiter.follow(broker)
        self.announcer.attach(broker)
        if self.limit.when() is None or not self._waits:
            self._restart_limit()
        try:
            while (batch := await self._next_batch(broker)) is not None:
                await self._post_batch(batch)
            await self.announcer.wait_until_confirmed()
            if not self._all_posted:
                self._all_posted = True
                self._restart_limit()
            self.announcer.warn_unroutable("post again")
            if self._args.wait:
                await self._wait(broker)
        except BrokerError:
            if self._args.timeout is None:
                self.limit.reschedule(None)  # it does not count while there is no connection
            raise

    @property
    def _waits(self) -> bool:
        """Whether this waits for the broker or for reports, not only for paths to be read."""
        return self._all_posted or self.announcer.unconfirmed > 0

    def _restart_limit(self) -> None:
        """Count anew how long nothing happens, if this waits for others."""
        if not self.limit.expired():
            now = asyncio.get_running_loop().time()
            self.limit.reschedule(now + self._patience if self._waits else None)

    async def _next_batch(self, broker: Broker) -> list[Announcement] | None:
        """Return announcements, None after the last; BrokerError when the connection is lost."""
        if self._reading is None:
            listing = asyncio.to_thread(lambda: next(self._batches, None))
            self._reading = asyncio.ensure_future(listing)
        read = asyncio.Event()
        self._reading.add_done_callback(lambda _: read.set())
        await runtime.wait_for_any(math.inf, read, self._stop, broker.lost)
        if self._stop.is_set():
            raise Interrupted("stopped before all paths were announced; run it again")
        if not self._reading.done():  # the next connection continues with it
            raise self.announcer.loss()
        reading, self._reading = self._reading, None
        return reading.result()

    async def _post_batch(self, batch: list[Announcement]) -> None:
        progress = self._progress
        for announcement in batch:
            if self._args.wait:
                self._waiter.expect(announcement)
            if announcement.block is None:
                progress.of_files += 1
                progress.of_bytes += announcement.size or 0
        if not self._args.wait:
            progress.files, progress.bytes = progress.of_files, progress.of_bytes
        progress.show()
        self.announcer.publish(batch)
        if self.limit.when() is None:
            self._restart_limit()
        await self.announcer.wait_for_room()

    async def _wait(self, broker: Broker) -> None:
        """Wait until all files are reported."""
        if self.announcer.unroutable:
            raise SarraError("not waiting for files that nobody will send")
        progress, waiter = self._progress, self._waiter
        look = time.monotonic() + _LOOK_FOR_SENDER
        while waiter.waiting:
            if time.monotonic() > look:
                await self._look_for_sender(broker)
                look = time.monotonic() + _LOOK_AGAIN
            await self.announcer.wait_until_confirmed()  # a lost connection is noticed, too
            await runtime.wait_for_any(_TURN, self._stop, waiter.changed)
            waiter.changed.clear()
            if waiter.lost:
                raise BrokerError(waiter.lost)
            progress.files, progress.failed = waiter.arrived, waiter.failed
            progress.bytes = waiter.arrived_bytes
            progress.show()
            if self._stop.is_set():
                raise Interrupted(f"stopped; {waiter.waiting} files are not reported yet")

    async def _look_for_sender(self, broker: Broker) -> None:
        """Warn when no sender consumes the queue, each time that this begins."""
        config = self._config
        queue = config.queueName or f"q_{config.broker.user}_{config.name}"
        with contextlib.suppress(BrokerRefused):  # the senders may have another queue
            unread = await broker.count_consumers(queue) == 0
            if unread and not self._unread:
                log.warning("no sender reads %s; start sr_sender", queue)
            self._unread = unread

    def conclude(self) -> int:
        """Log the result in one or two lines; return the exit status."""
        waiter = self._waiter
        if not self._all_posted:
            left = self.announcer.unconfirmed
            log.error("not in time: the broker has not confirmed %d announcements", left)
            return EX_TEMPFAIL
        failed = self._announcements.problems
        problems = f", {failed} not" if failed else ""
        log.info("%d announced%s", self._progress.of_files, problems)
        if self._args.wait:
            late = f", {waiter.waiting} not reported in time" if waiter.waiting else ""
            log.info("%d arrived, %d failed%s", waiter.arrived, waiter.failed, late)
        if waiter.waiting:
            return EX_TEMPFAIL
        return EX_FAILED if failed or waiter.failed else EX_OK
