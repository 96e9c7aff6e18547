"""Take announcements from the broker, push the files by SFTP, and report on every one.

Runs in the foreground, for example under systemd (Type=notify), until it is stopped, or with
--drain until the queue is empty.  Any number of senders, on any number of hosts, may share a queue.
If a sender is killed, the broker redelivers the announcements that it has not acknowledged; blocks
that are already written are not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime, units
from sarra_lite.broker import topology
from sarra_lite.commands import arguments, connections, sender_tidy
from sarra_lite.commands.progress import Progress
from sarra_lite.config.commands import SenderConfig
from sarra_lite.delivery.grants import Grants
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.dispatch.broker_link import BrokerLink
from sarra_lite.dispatch.dispatcher import Dispatcher
from sarra_lite.dispatch.grant_link import GrantLink
from sarra_lite.dispatch.pool import Done, Down, UnderWay, WorkerPool
from sarra_lite.errors import (
    EX_FAILED,
    EX_OK,
    EX_TEMPFAIL,
    BrokerError,
    DestinationUnreachable,
    UsageError,
)
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import argparse

    from sarra_lite.broker.client import Broker, Delivery

_GRACE: Final = 2.5  # seconds to complete transfers after SIGTERM
_TURN: Final = 0.2  # seconds between two looks at redeliveries and progress
_ANSWER: Final = 1.0  # seconds for the broker to tell, at the end, what is left in the queue
_EMPTY: Final = 0.5  # seconds without a delivery before --drain asks for the length of the queue
EXAMPLES: Final = (
    ("Declare queue and bindings before the first announcement:", "sr_sender --declare"),
    ("Send all files in the queue, then end:", "sr_sender --drain"),
    (
        "Show what was left at the destination for a month:",
        "sr_sender --tidy --dry-run --older-than 30d",
    ),
    ("Run a configuration with four connections:", "sr_sender -c science --connections 4"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_sender."""
    parser = arguments.make_parser("sr_sender", __doc__, SenderConfig, EXAMPLES)
    parser.add_argument("--drain", action="store_true", help="end when the queue is empty")
    parser.add_argument("--declare", action="store_true", help="only declare queue and bindings")
    parser.add_argument(
        "--tidy",
        action="store_true",
        help="only remove, below directory at the destination, inflight files and markers that"
        " nobody has written for a long time, and print their names",
    )
    parser.add_argument(
        "--older-than",
        metavar="DURATION",
        type=arguments.duration,
        help="with --tidy: for how long (default: 7d; at least twice retry_ttl and an hour)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --tidy: print what would be removed"
    )
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_sender; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, SenderConfig, _check)
    if args.tidy:
        age = sender_tidy.OLDER_THAN if args.older_than is None else args.older_than
        return runtime.run_loop(sender_tidy.run(config, age, dry_run=args.dry_run))
    return runtime.run_loop(_declare(config) if args.declare else _send(config, args))


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that cannot be combined."""
    if sum((args.drain, args.declare, args.tidy)) > 1:
        raise UsageError("--drain, --declare and --tidy: only one of them")
    if not args.tidy and (args.dry_run or args.older_than is not None):
        raise UsageError("--older-than and --dry-run need --tidy")


async def _declare(config: SenderConfig) -> int:
    async with connections.broker_factory(config)() as broker:
        await topology.declare_for_user(broker, config)
    log.info("queue %s is bound to exchange %s", config.queue, config.exchange_name)
    return EX_OK


async def _send(config: SenderConfig, args: argparse.Namespace) -> int:
    """Send files until asked to stop, or until the queue is empty; return the exit status."""
    stop = runtime.stop_on_signals()
    patience = 0.0 if args.drain else math.inf
    with Progress("sent", quiet=args.quiet) as progress:
        sender = _Sender(config, progress, stop, drain=args.drain)
        try:
            await connections.keep_connected(
                config, topology.declare_for_user, sender.serve, stop, patience, patience
            )
        finally:
            runtime.notify_systemd("STOPPING=1")
            await sender.pool.close(_GRACE if stop.is_set() else 0.5)
        return sender.conclude()


class _Sender:
    """Passes events of the broker and of the workers to the dispatcher, and shows progress."""

    def __init__(
        self, config: SenderConfig, progress: Progress, stop: asyncio.Event, *, drain: bool
    ) -> None:
        self._config = config
        self._progress = progress
        self._drain = drain
        self._stop = stop
        self._failure = runtime.Failure()
        grants = Grants() if config.grants is not None else None
        self.pool = WorkerPool(
            config.connections,
            connections.sftp_factory(config),
            RateLimit(config.limit, grants=grants),
            self._failure.guard(self._handle),
            self._count_bytes,
        )
        link = BrokerLink(config, self._receive, self._failure)
        self._dispatcher = Dispatcher(config, self.pool, link)
        self._grant_link: GrantLink | None = None
        if config.grants is not None and grants is not None:
            self._grant_link = GrantLink(config, config.grants, grants, self._failure)
            self._taking = asyncio.ensure_future(self._grant_link.run())
            self._failure.watch(self._taking)
        self._last_delivery = time.monotonic()
        self._found_empty = False
        self._left = 0  # announcements not acknowledged, their reports that are not confirmed

    async def serve(self, broker: Broker) -> None:
        """Work with one connection; raise BrokerError when it is lost."""
        self._failure.clear(BrokerError)
        try:
            if self._grant_link is not None:
                await self._grant_link.attach(broker)
            await self._dispatcher.attach(broker)
            runtime.notify_systemd("READY=1")
            log.debug("ready: %s", self._config.queue)
            while True:
                await runtime.wait_for_any(_TURN, self._stop, self._failure.event)
                self._failure.check()
                self._dispatcher.check_redelivered()
                self._show()
                if self._stop.is_set() or (self._drain and await self._drained(broker)):
                    self._left = len(self._dispatcher) + await self._count_waiting(broker)
                    return
        except BrokerError:
            self._left = len(self._dispatcher)
            self._dispatcher.detach()
            if self._grant_link is not None:
                self._grant_link.detach()
            raise

    def _receive(self, delivery: Delivery) -> None:
        self._last_delivery = time.monotonic()
        self._found_empty = False
        self._dispatcher.receive(delivery)

    def _handle(self, event: Done | Down | UnderWay | Exception) -> None:
        """Handle an event of the workers; ``serve`` raises what this callback raises."""
        match event:
            case Done():
                self._dispatcher.finished(event)
            case UnderWay():
                self._dispatcher.progressed(event)
            case Down():
                self._dispatcher.outage(event)
                if self._drain and event.lasts(self._config.timeout):
                    raise DestinationUnreachable(f"giving up: {event.reason}")
            case _:
                raise event

    async def _drained(self, broker: Broker) -> bool:
        """Return whether --drain can end: all is sent, or waits for the destination."""
        if time.monotonic() - self._last_delivery < _EMPTY:
            return False
        if self._dispatcher.waiting_for_destination:
            return True
        if len(self._dispatcher):
            return False
        if await broker.count_messages(self._config.queue):
            self._found_empty = False
            return False
        # A busy broker may report 0 messages for a quorum queue that has some, so ask twice.
        found_empty_before, self._found_empty = self._found_empty, True
        self._last_delivery = time.monotonic()
        return found_empty_before

    async def _count_waiting(self, broker: Broker) -> int:
        """Return how many announcements are in the queue; 0 when the broker does not tell soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER):
                return await broker.count_messages(self._config.queue)
        return 0

    def _count_bytes(self, count: int) -> None:
        self._progress.bytes += count

    def _show(self) -> None:
        tally, files, progress = self._dispatcher.reporting, self._dispatcher.files, self._progress
        progress.files, progress.failed = tally.arrived, tally.failed
        progress.of_files = tally.arrived + tally.failed + files
        progress.of_bytes = tally.expected
        progress.show()
        runtime.notify_alive(f"{tally.arrived} arrived, {tally.failed} failed, {files} in progress")

    def conclude(self) -> int:
        """Log the result in one line; return the exit status."""
        tally = self._dispatcher.reporting
        blocks = f" (and {tally.failed_blocks} blocks)" if tally.failed_blocks else ""
        log.info(
            "%d arrived, %d failed%s, %s moved%s",
            tally.arrived,
            tally.failed,
            blocks,
            units.show_size(self._progress.bytes),
            "; announcements are left in the queue for the next sender" if self._left else "",
        )
        if self._left:
            return EX_TEMPFAIL
        return EX_FAILED if self._drain and (tally.failed or tally.failed_blocks) else EX_OK
