"""Check the reports of all users, add the user's name, and copy them to the exchange xlog.

A report is valid when it is well-formed and its author, whom the broker verifies (AMQP user_id),
owns the exchange that it was published on.  Any other message is copied as a rejected report with
the reason.  Several instances may share the queue.  Exchanges that are bound to the queue later
need no restart.
"""

from __future__ import annotations

import logging
import queue
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from sarra_lite import runtime
from sarra_lite.broker import report_stream, topology
from sarra_lite.broker.client import Delivery, PublishOutcome
from sarra_lite.commands import arguments, connections
from sarra_lite.config.commands import Src2logConfig
from sarra_lite.errors import EX_OK, BrokerError, BrokerRefused, MessageError
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Report

if TYPE_CHECKING:
    import argparse

    from sarra_lite.broker.client import Broker

log = logging.getLogger("sarra_lite")

_REJECTED: Final = 417
_FORGED: Final = 403
EXAMPLES: Final = (
    ("Run the configuration default, as systemd does:", "sr_src2log"),
    ("Bind the queue to one more exchange, and run:", "sr_src2log --exchanges xac_b"),
)


class _Answer(NamedTuple):
    """The broker's answer to the copy of a delivery."""

    delivery: Delivery
    outcome: PublishOutcome
    reason: str


_Event = Delivery | _Answer | BrokerError | None


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_src2log."""
    return arguments.make_parser("sr_src2log", __doc__, Src2logConfig, EXAMPLES)


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_src2log; return its exit status."""
    _, config = arguments.configured(make_parser(), argv, Src2logConfig)
    return _Copier(config).run(connections.broker_factory(config))


def _checked(delivery: Delivery, config: Src2logConfig) -> Announcement:
    """Return the message for xlog: the report with its user, or a rejected report."""
    owner = config.owner_of(delivery.exchange)
    try:
        message = v03.decode(delivery.body, delivery.content_type)
    except MessageError as error:
        unreadable = Announcement(pub_time=v03.now(), base_url="", rel_path="")
        return _rejected(unreadable, owner, _REJECTED, str(error))
    if message.report is None:
        return _rejected(message, owner, _REJECTED, "no report, though published as one")
    if owner is None:
        return _rejected(message, owner, _FORGED, f"exchange {delivery.exchange} has no owner")
    if delivery.user_id is None and not config.acceptUnproven:
        return _rejected(message, owner, _FORGED, "author not proven (no user_id)")
    if delivery.user_id not in (None, owner):
        return _rejected(message, owner, _FORGED, f"author {delivery.user_id} is not {owner}")
    return msgspec.structs.replace(message, source=owner)


def _rejected(message: Announcement, owner: str | None, code: int, reason: str) -> Announcement:
    """Return the message as a rejected report, with the owner of its exchange and the reason."""
    report = message.report or Report(code=code, message="", time_completed=v03.now())
    report = msgspec.structs.replace(report, code=code, message=reason, rejected=reason)
    return msgspec.structs.replace(message, source=owner, report=report)


class _Copier:
    """The main loop: consumes the queue, publishes copies on xlog, acknowledges when confirmed.

    Lives as long as the process and uses one broker connection after the other.
    """

    def __init__(self, config: Src2logConfig) -> None:
        self._config = config
        self._inbox: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._stop = runtime.stop_on_signals(lambda: self._inbox.put(None))
        self._status = runtime.SystemdStatus()
        self._redelivered: list[Delivery] = []
        self._copied = self._rejected = 0

    def run(self, connect: connections.BrokerFactory) -> int:
        """Copy reports until a signal asks to stop; return the exit status."""
        delays = runtime.backoff()
        while not self._stop.is_set():
            try:
                with connect() as broker:
                    delays = runtime.backoff()
                    self._serve(broker)
            except BrokerRefused:
                raise
            except BrokerError as error:
                log.warning("%s; trying again", error)
                self._status.alive("the broker is away")
                self._stop.wait(next(delays))
        self._status.stopping()
        log.info("%d reports copied, %d rejected", self._copied, self._rejected)
        return EX_OK

    def _serve(self, broker: Broker) -> None:
        # A new queue, because events of an earlier connection must not be mixed with this one's.
        inbox = self._inbox = queue.SimpleQueue()
        self._redelivered.clear()
        topology.declare_for_copying(broker, self._config)
        broker.consume(
            self._config.queue,
            inbox.put,
            prefetch=self._config.prefetch,
            on_lost=lambda reason: inbox.put(BrokerError(reason)),
        )
        self._status.ready()
        while not self._stop.is_set():
            try:
                event = inbox.get(timeout=0.1 if self._redelivered else 1.0)
            except queue.Empty:
                event = None
                self._copy_redelivered(broker)
            self._handle(broker, event)
            self._status.alive(f"{self._copied} reports copied, {self._rejected} rejected")
            if broker.lost.is_set():
                raise BrokerError(broker.close_reason)

    def _copy_redelivered(self, broker: Broker) -> None:
        """Copy redelivered reports unless xlog already has the copy."""
        if not self._redelivered:
            return
        deliveries, self._redelivered = self._redelivered, []
        copies = [(delivery, _checked(delivery, self._config)) for delivery in deliveries]
        times = [copy.report.time_completed for _, copy in copies if copy.report is not None]
        existing = report_stream.find_copies(broker, self._config.xlogStream, times)
        for delivery, copy in copies:
            if copy.report is not None and (copy.key, copy.report.time_completed) in existing:
                broker.ack(delivery)
            else:
                self._copy(broker, delivery, copy)

    def _handle(self, broker: Broker, event: _Event) -> None:
        match event:
            case Delivery(redelivered=True):
                self._redelivered.append(event)
            case Delivery():
                self._copy(broker, event, _checked(event, self._config))
            case _Answer(delivery, PublishOutcome.CONFIRMED | PublishOutcome.UNROUTABLE):
                broker.ack(delivery)
            case _Answer(_, PublishOutcome.REFUSED, reason):
                raise BrokerRefused(f"exchange {self._config.xlog}: {reason}")
            case BrokerError():
                raise event
            case _:
                pass  # no event, or the answer was lost: then the broker redelivers the report

    def _copy(self, broker: Broker, delivery: Delivery, copy: Announcement) -> None:
        if copy.report is not None and copy.report.rejected:
            self._rejected += 1
            log.warning("rejected on %s: %s", delivery.exchange, copy.report.rejected)
        else:
            self._copied += 1
        inbox = self._inbox  # of this connection
        topic = v03.topic(self._config.report_topic, copy.rel_path)
        broker.publish(
            self._config.xlog,
            topic,
            v03.encode(copy),
            on_result=lambda outcome, reason: inbox.put(_Answer(delivery, outcome, reason)),
        )


if __name__ == "__main__":
    sys.exit(main())
