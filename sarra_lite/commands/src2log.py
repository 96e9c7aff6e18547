"""Copy every user's reports to xlog, checked and stamped with the user whose they are.

A report counts when it is well-formed and its author, proven by the broker (AMQP user_id), owns the
exchange it was published on.  Anything else goes to xlog as a rejected report with the reason.
Several instances may share the work; exchanges that are bound to the queue later are served without
a restart.
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
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker

log = logging.getLogger("sarra_lite")

_REJECTED: Final = 417
_FORGED: Final = 403
EXAMPLES: Final = (
    ("Serve the configuration default, as systemd does it:", "sr_src2log"),
    ("Bind an exchange that nobody has bound yet, and serve:", "sr_src2log --exchanges xac_b"),
)


class _Answer(NamedTuple):
    delivery: Delivery
    outcome: PublishOutcome
    reason: str


_Event = Delivery | _Answer | BrokerError | None


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_src2log."""
    return arguments.make_parser("sr_src2log", __doc__, Src2logConfig, EXAMPLES)


def main(argv: list[str] | None = None) -> int:
    """Run sr_src2log; return its exit status."""
    return runtime.run(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    _, config = arguments.configured(make_parser(), argv, Src2logConfig)
    runtime.log_to_stderr(config.logLevel)
    return _Copier(config).run(connections.broker_factory(config, "sr_src2log"))


def checked(delivery: Delivery, config: Src2logConfig) -> Announcement:
    """Return what goes to xlog for a delivery: the report, stamped, or one that rejects it."""
    owner = config.owner_of(delivery.exchange)
    try:
        found = v03.decode(delivery.body, delivery.content_type)
    except MessageError as error:
        unreadable = Announcement(pub_time=v03.now(), base_url="", rel_path="")
        return _rejected(unreadable, owner, _REJECTED, str(error))
    if found.report is None:
        return _rejected(found, owner, _REJECTED, "no report, though published as one")
    if owner is None:
        return _rejected(found, owner, _FORGED, f"exchange {delivery.exchange} has no owner")
    if delivery.user_id is None and not config.acceptUnproven:
        return _rejected(found, owner, _FORGED, "author not proven (no user_id)")
    if delivery.user_id not in (None, owner):
        return _rejected(found, owner, _FORGED, f"author {delivery.user_id} is not {owner}")
    return msgspec.structs.replace(found, source=owner)


def _rejected(found: Announcement, owner: str | None, code: int, reason: str) -> Announcement:
    """Return the rejected report that tells what came, on whose exchange, and why it is bad."""
    report = found.report or Report(code=code, message="", time_completed=v03.now())
    report = msgspec.structs.replace(report, code=code, message=reason, rejected=reason)
    return msgspec.structs.replace(found, source=owner, report=report)


class _Copier:
    """Reads the queue, publishes on xlog, acknowledges what is confirmed there."""

    def __init__(self, config: Src2logConfig) -> None:
        self._config = config
        self._inbox: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._stop = runtime.stop_on_signals(lambda: self._inbox.put(None))
        self._status = runtime.Status()
        self._suspects: list[Delivery] = []
        self._copied = self._rejected = 0

    def run(self, connect: Callable[[], Broker]) -> int:
        """Serve until told to stop; return the exit status."""
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
        # A new one, so that nothing of an earlier connection is taken for something of this one.
        inbox = self._inbox = queue.SimpleQueue()
        self._suspects.clear()
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
                event = inbox.get(timeout=0.1 if self._suspects else 1.0)
            except queue.Empty:
                event = None
                self._look_up_suspects(broker)
            self._handle(broker, event)
            self._status.alive(f"{self._copied} reports copied, {self._rejected} rejected")
            if broker.lost.is_set():
                raise BrokerError(broker.close_reason)

    def _look_up_suspects(self, broker: Broker) -> None:
        """Copy what is delivered a second time, unless it was copied before all the same."""
        if not self._suspects:
            return
        suspects, self._suspects = self._suspects, []
        copies = [(delivery, checked(delivery, self._config)) for delivery in suspects]
        times = [copy.report.time_completed for _, copy in copies if copy.report is not None]
        there = report_stream.find_copies(broker, self._config.xlogStream, times)
        for delivery, copy in copies:
            if copy.report is not None and (copy.key, copy.report.time_completed) in there:
                broker.ack(delivery)
            else:
                self._copy(broker, delivery, copy)

    def _handle(self, broker: Broker, event: _Event) -> None:
        match event:
            case Delivery(redelivered=True):
                self._suspects.append(event)
            case Delivery():
                self._copy(broker, event, checked(event, self._config))
            case _Answer(delivery, PublishOutcome.CONFIRMED | PublishOutcome.UNROUTABLE):
                broker.ack(delivery)
            case _Answer(_, PublishOutcome.REFUSED, reason):
                raise BrokerRefused(f"exchange {self._config.xlog}: {reason}")
            case BrokerError():
                raise event
            case _:
                pass  # lost: the broker delivers it again

    def _copy(self, broker: Broker, delivery: Delivery, copy: Announcement) -> None:
        if copy.report is not None and copy.report.rejected:
            self._rejected += 1
            log.warning("rejected on %s: %s", delivery.exchange, copy.report.rejected)
        else:
            self._copied += 1

        inbox = self._inbox

        def answered(outcome: PublishOutcome, reason: str) -> None:
            inbox.put(_Answer(delivery, outcome, reason))

        topic = v03.topic(self._config.report_topic, copy.rel_path)
        broker.publish(self._config.xlog, topic, v03.encode(copy), on_result=answered)


if __name__ == "__main__":
    sys.exit(main())
