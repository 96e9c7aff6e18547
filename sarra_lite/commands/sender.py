"""Take announcements from the broker, push the files by SFTP, and report on every one.

Runs in the foreground, for example under systemd (Type=notify), until it is stopped, or with
--drain until the queue is empty.  Any number of senders, on any number of hosts, may share a queue.
If a sender is killed, the broker redelivers the announcements that it has not acknowledged; blocks
that are already written are not sent again.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
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

_GRACE: Final = 2.5  # seconds to complete transfers after SIGTERM
_TURN: Final = 0.2  # seconds to handle events before timers, progress and the connection's state
_EMPTY: Final = 0.5  # seconds without a delivery before --drain asks for the length of the queue
EXAMPLES: Final = (
    ("Declare queue and bindings before the first announcement:", "sr_sender --declare"),
    ("Send all files in the queue, then end:", "sr_sender --drain"),
    ("Run a configuration with four connections:", "sr_sender -c science --connections 4"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_sender."""
    parser = arguments.make_parser("sr_sender", __doc__, SenderConfig, EXAMPLES)
    parser.add_argument("--drain", action="store_true", help="end when the queue is empty")
    parser.add_argument("--declare", action="store_true", help="only declare queue and bindings")
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_sender; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, SenderConfig)
    connect = connections.broker_factory(config)
    if args.declare:
        with connect() as broker:
            topology.declare_for_sending(broker, config)
        log.info("queue %s is bound to exchange %s", config.queue, config.exchange_name)
        return EX_OK
    with Progress("sent", quiet=args.quiet) as progress:
        return _Sender(config, progress, drain=args.drain).run(connect)


# BrokerError: the broker ended the consumer.  None: a signal asked to stop.
_Event = Delivery | Done | Down | Fatal | Confirmed | BrokerError | None


class _Sender:
    """The main loop.  All threads put events into one inbox; only the main thread takes them.

    Lives as long as the process and uses one broker connection after the other.
    """

    def __init__(self, config: SenderConfig, progress: Progress, *, drain: bool) -> None:
        self._config = config
        self._progress = progress
        self._drain = drain
        self._inbox: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        put = self._inbox.put
        self._stop = runtime.stop_on_signals(lambda: put(None))
        self._status = runtime.SystemdStatus()
        self._sent_bytes = 0
        self._sent_bytes_lock = threading.Lock()
        self._pool = WorkerPool(
            config.connections,
            connections.sftp_factory(config),
            RateLimit(config.limit),
            put,
            self._count_bytes,
        )
        link = BrokerLink(config, put, lambda reason: put(BrokerError(reason)))
        self._dispatcher = Dispatcher(config, self._pool, link)
        self._last_delivery = time.monotonic()
        self._found_empty = False

    def run(self, connect: connections.BrokerFactory) -> int:
        """Send files until asked to stop, or until the queue is empty; return the exit status."""
        delays = runtime.backoff()
        try:
            while not self._stop.is_set():
                try:
                    with connect() as broker:
                        delays = runtime.backoff()
                        self._consume(broker)
                        break
                except BrokerRefused:
                    raise
                except BrokerError as error:
                    if self._drain:
                        raise
                    log.warning("%s; trying again", error)
                    self._dispatcher.detach()
                    self._discard_broker_events()
                    self._status.alive("the broker is away")
                    self._stop.wait(next(delays))
        finally:
            self._status.stopping()
            self._pool.close(_GRACE if self._stop.is_set() else 0.5)
        return self._conclude()

    def _consume(self, broker: Broker) -> None:
        """Work with one connection; raise BrokerError when it is lost."""
        topology.declare_for_sending(broker, self._config)
        self._dispatcher.attach(broker)
        self._status.ready()
        log.debug("ready: %s", self._config.queue)
        while not self._stop.is_set():
            self._handle_events(self._dispatcher.start_due())
            self._show()
            if broker.lost.is_set():
                raise BrokerError(broker.close_reason)
            if self._drain and self._drained(broker):
                return

    def _discard_broker_events(self) -> None:
        """Discard events of a lost connection from the inbox; keep those of the workers."""
        for _ in range(self._inbox.qsize()):
            event = self._inbox.get()
            if not isinstance(event, Delivery | Confirmed | BrokerError):
                self._inbox.put(event)

    def _handle_events(self, wait: float) -> None:
        """Handle events for at most ``_TURN`` seconds; wait ``wait`` seconds for the first."""
        until = time.monotonic() + wait + _TURN
        try:
            while not self._stop.is_set() and time.monotonic() < until:
                self._handle(self._inbox.get(timeout=max(0.0, wait)))
                wait = 0.0
        except queue.Empty:
            self._dispatcher.check_redelivered()

    def _handle(self, event: _Event) -> None:
        match event:
            case Delivery():
                self._last_delivery = time.monotonic()
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
            case BrokerError():
                raise event

    def _drained(self, broker: Broker) -> bool:
        """Return whether nothing is left, or only files for which the destination has no room."""
        if time.monotonic() - self._last_delivery < _EMPTY:
            return False
        if self._dispatcher.waiting_for_space:
            return True
        if len(self._dispatcher):
            return False
        if broker.declare_queue(self._config.queue):
            self._found_empty = False
            return False
        # A busy broker may report 0 messages for a quorum queue that has some, so ask twice.
        found_empty_before, self._found_empty = self._found_empty, True
        self._last_delivery = time.monotonic()
        return found_empty_before

    def _count_bytes(self, count: int) -> None:
        with self._sent_bytes_lock:
            self._sent_bytes += count

    def _show(self) -> None:
        tally, held, progress = self._dispatcher.tally, len(self._dispatcher), self._progress
        progress.files, progress.failed = tally.arrived, tally.failed
        progress.of_files = tally.arrived + tally.failed + held
        progress.bytes, progress.of_bytes = self._sent_bytes, tally.expected
        progress.show()
        self._status.alive(f"{tally.arrived} arrived, {tally.failed} failed, {held} in progress")

    def _conclude(self) -> int:
        """Log the result in one line; return the exit status."""
        tally, left = self._dispatcher.tally, len(self._dispatcher)
        log.info(
            "%d arrived, %d failed, %s moved%s",
            tally.arrived,
            tally.failed,
            units.show_size(self._sent_bytes),
            f"; {left} left in the queue" if left else "",
        )
        if not self._drain:
            return EX_OK
        if left:
            return EX_TEMPFAIL
        return EX_FAILED if tally.failed else EX_OK


if __name__ == "__main__":
    sys.exit(main())
