"""Take announcements from the broker, push the files by SFTP, and report on every one.

Runs in the foreground, under systemd (Type=notify), or with --drain until the queue is empty.  Any
number of senders, on any number of hosts, may share a queue.  Killed at any moment, it loses
nothing: what is not acknowledged is delivered again, and blocks that are written are not sent
twice.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime, units
from sarra_lite.broker import topology
from sarra_lite.broker.client import Delivery
from sarra_lite.commands import arguments, connections
from sarra_lite.commands.progress import Progress
from sarra_lite.config.commands import SenderConfig
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.dispatch.broker_link import BrokerLink, Confirmed
from sarra_lite.dispatch.dispatcher import Dispatcher
from sarra_lite.dispatch.pool import Done, Down, Fatal, WorkerPool
from sarra_lite.errors import (
    EX_FAILED,
    EX_OK,
    EX_TEMPFAIL,
    BrokerError,
    BrokerRefused,
    DestinationUnreachable,
)

if TYPE_CHECKING:
    import argparse

    from sarra_lite.broker.client import Broker

log = logging.getLogger("sarra_lite")

_GRACE: Final = 2.5  # seconds that files in the middle have to end after SIGTERM
_TURN: Final = 0.2  # seconds that events are handled before anything else is looked at
_EMPTY: Final = 0.5  # seconds without a delivery after which --drain asks if the queue is empty
EXAMPLES: Final = (
    ("Make queue and bindings, before anything is posted:", "sr_sender --declare"),
    ("Send what is in the queue, then end:", "sr_sender --drain"),
    (
        "Serve the configuration science, four connections at once:",
        "sr_sender -c science --connections 4",
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_sender."""
    parser = arguments.make_parser("sr_sender", __doc__, SenderConfig, EXAMPLES)
    parser.add_argument("--drain", action="store_true", help="end when the queue is empty")
    parser.add_argument(
        "--declare", action="store_true", help="declare queue and bindings, send nothing"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run sr_sender; return its exit status."""
    return runtime.run(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    args, config = arguments.configured(make_parser(), argv, SenderConfig)
    runtime.log_to_stderr(config.logLevel)
    connect = connections.broker_factory(config, "sr_sender")
    if args.declare:
        with connect() as broker:
            topology.declare_for_sending(broker, config)
        log.info("queue %s is bound to exchange %s", config.queue, config.exchange_name)
        return EX_OK
    with Progress("sent", quiet=args.quiet) as progress:
        return _Sender(config, progress, drain=args.drain).run(connect)


class _Lost:
    """The consumer is gone: the broker took it away, for a time-out or a deleted queue."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


_Event = Delivery | Done | Down | Fatal | Confirmed | _Lost | None


class _Sender:
    """Everything meets in one inbox, which the main thread alone reads."""

    def __init__(self, config: SenderConfig, progress: Progress, *, drain: bool) -> None:
        self._config = config
        self._progress = progress
        self._drain = drain
        self._inbox: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._stop = runtime.stop_on_signals(partial(self._inbox.put, None))
        self._status = runtime.Status()
        self._moved = 0
        self._moved_lock = threading.Lock()
        self._pool = WorkerPool(
            config.connections,
            connections.sftp_factory(config),
            RateLimit(config.limit),
            self._inbox.put,
            self._count_bytes,
        )
        link = BrokerLink(config, self._inbox.put, lambda reason: self._inbox.put(_Lost(reason)))
        self._dispatcher = Dispatcher(config, self._pool, link)
        self._quiet_since = time.monotonic()
        self._found_empty = False

    def run(self, connect: connections.BrokerFactory) -> int:
        """Serve until told to stop, or drained; return the exit status."""
        delays = runtime.backoff()
        try:
            while not self._stop.is_set():
                try:
                    with connect() as broker:
                        delays = runtime.backoff()
                        self._attend(broker)
                        break
                except BrokerRefused:
                    raise
                except BrokerError as error:
                    if self._drain:
                        raise
                    log.warning("%s; trying again", error)
                    self._dispatcher.detach()
                    self._forget_broker()
                    self._status.alive("the broker is away")
                    self._stop.wait(next(delays))
        finally:
            self._status.stopping()
            self._pool.close(_GRACE if self._stop.is_set() else 0.5)
        return self._conclude()

    def _attend(self, broker: Broker) -> None:
        """Consume on one connection until told to stop, or drained; BrokerError when it is lost."""
        topology.declare_for_sending(broker, self._config)
        self._dispatcher.attach(broker)
        self._status.ready()
        log.debug("ready: %s", self._config.queue)
        while not self._stop.is_set():
            self._next(self._dispatcher.start_due())
            self._show()
            if broker.lost.is_set():
                raise BrokerError(broker.close_reason)
            if self._drain and self._drained(broker):
                return

    def _forget_broker(self) -> None:
        """Drop what a connection that is gone has left in the inbox; the workers' events stay."""
        events = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._inbox.get_nowait())
        for event in events:
            if not isinstance(event, Delivery | Confirmed | _Lost):
                self._inbox.put(event)

    def _next(self, patience: float) -> None:
        """Handle events until the inbox is empty, or for a while; wait so long for the first."""
        until = time.monotonic() + patience + _TURN
        try:
            while not self._stop.is_set() and time.monotonic() < until:
                self._handle(self._inbox.get(timeout=max(0.0, patience)))
                patience = 0.0
        except queue.Empty:
            self._dispatcher.check_redelivered()

    def _handle(self, event: _Event) -> None:
        match event:
            case Delivery():
                self._quiet_since = time.monotonic()
                self._found_empty = False
                self._dispatcher.receive(event)
            case Done():
                self._dispatcher.finished(event)
            case Confirmed():
                self._dispatcher.confirmed(event)
            case Down():
                self._dispatcher.outage(event)
                if self._drain and event.lasts(self._config.timeout):
                    raise DestinationUnreachable(f"giving up: {event.reason}")
            case Fatal():
                raise event.error
            case _Lost():
                raise BrokerError(event.reason)
            case None:
                pass

    def _drained(self, broker: Broker) -> bool:
        """Nothing is held, and nothing waits in the queue; or all that is held waits for room."""
        if time.monotonic() - self._quiet_since < _EMPTY or (
            len(self._dispatcher) and not self._dispatcher.waiting_for_space
        ):
            return False
        if self._dispatcher.waiting_for_space:
            return True
        if broker.declare_queue(self._config.queue):
            self._found_empty = False
            return False
        # A broker that has much to do answers 0 for a quorum queue that it cannot ask in time.
        again, self._found_empty = self._found_empty, True
        self._quiet_since = time.monotonic()
        return again

    def _count_bytes(self, count: int) -> None:
        with self._moved_lock:
            self._moved += count

    def _show(self) -> None:
        tally, progress = self._dispatcher.tally, self._progress
        progress.files, progress.failed = tally.arrived, tally.failed
        progress.of_files = tally.arrived + tally.failed + len(self._dispatcher)
        progress.bytes, progress.of_bytes = self._moved, max(tally.expected, self._moved)
        progress.show()
        self._status.alive(
            f"{tally.arrived} arrived, {tally.failed} failed, {len(self._dispatcher)} in progress"
        )

    def _conclude(self) -> int:
        tally, left = self._dispatcher.tally, len(self._dispatcher)
        log.info(
            "%d arrived, %d failed, %s moved%s",
            tally.arrived,
            tally.failed,
            units.show_size(self._moved),
            f"; {left} left in the queue" if left else "",
        )
        if not self._drain:
            return EX_OK
        if left:
            return EX_TEMPFAIL
        return EX_FAILED if tally.failed else EX_OK


if __name__ == "__main__":
    sys.exit(main())
