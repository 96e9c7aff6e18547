"""Check the reports of all users, add the user's name, and copy them to the exchange xlog.

A report is valid when it is well-formed and its author, whom the broker verifies (AMQP user_id),
owns the exchange that it was published on.  Any other message is copied as a rejected report with
the reason.  What one user reports beyond a share of xlog is not copied.  Several instances may
share the queue.  Exchanges that are bound to the queue later need no restart.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import platformdirs
from msgspec.structs import replace

from sarra_lite import runtime
from sarra_lite.broker import report_stream, topology
from sarra_lite.broker.client import Delivery, PublishOutcome
from sarra_lite.commands import arguments, connections, src2log_changes
from sarra_lite.commands.user_shares import UserShares
from sarra_lite.config.src2log import Src2logConfig
from sarra_lite.errors import EX_OK, BrokerError, BrokerRefused, MessageError, TransferError
from sarra_lite.messages import chain, v03
from sarra_lite.messages.limits import MAX_REPORT, clean_text
from sarra_lite.messages.v03 import Announcement, Report
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sarra_lite.broker.client import Broker

_TURN: Final = 0.2  # seconds between two looks at redelivered reports
_TOO_MANY: Final = 429  # of HTTP: the user is beyond the limit
EXAMPLES: Final = (
    ("Run the configuration default, as systemd does:", "sr_src2log"),
    ("Bind the queue to one more exchange, and run:", "sr_src2log --exchanges xac_b"),
    ("Hand in what a playbook has changed:", "sr_src2log --record < change.json"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_src2log."""
    parser = arguments.make_parser("sr_src2log", __doc__, Src2logConfig, EXAMPLES)
    parser.add_argument(
        "--record",
        action="store_true",
        help="only publish what a playbook has changed, a JSON object on standard input;"
        " a running sr_src2log copies it",
    )
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_src2log; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, Src2logConfig)
    if args.record:
        return src2log_changes.record(config)
    return runtime.run_loop(_copy(config))


async def _copy(config: Src2logConfig) -> int:
    """Copy reports until a signal; return the exit status."""
    stop = runtime.stop_on_signals()
    file = platformdirs.user_state_path("sarra_lite") / f"src2log-{config.name}.json"
    shares = UserShares(config.reportMaxBytes * config.maxUserShare // 100, file)
    copier = _Copier(config, shares, stop)
    saving = asyncio.ensure_future(shares.keep_saved(stop))
    await connections.keep_connected(config, topology.declare_for_copying, copier.serve, stop)
    runtime.notify_systemd("STOPPING=1")
    await saving
    shares.save()
    log.info("%d reports copied, %d rejected", copier.copied, copier.rejected)
    return EX_OK


class _Copy(NamedTuple):
    """What to publish on xlog: a report with its user, or a rejected report."""

    announcement: Announcement
    report: Report
    body: bytes


def _copy_of(delivery: Delivery, config: Src2logConfig) -> _Copy:
    """Return the copy of a delivery, whatever it contains: one message must not stop all others."""
    owner = config.owner_of(delivery.exchange)
    try:
        return _checked(delivery, owner, config)
    except Exception as error:
        log.exception("this is a bug; please report it")
        reason = f"bug in sr_src2log: {error!r}"
        return _rejection(_unreadable(), TransferError(500, reason), owner)


def _checked(delivery: Delivery, owner: str | None, config: Src2logConfig) -> _Copy:
    message = _unreadable()
    try:
        message = v03.decode(delivery.body, delivery.content_type)
        report = replace(_trusted(message.report, delivery, owner, config), rejected=None)
    except (MessageError, TransferError) as error:
        return _rejection(message, error, owner)
    copy = replace(message, source=owner, report=report)
    body = v03.encode(copy)
    if len(body) > MAX_REPORT - chain.ROOM:
        large = MessageError(f"report of {len(body)} bytes; at most {MAX_REPORT} are copied")
        named = replace(_unreadable(), pub_time=message.pub_time, rel_path=message.rel_path)
        return _rejection(named, large, owner)
    return _Copy(copy, report, body)


def _unreadable() -> Announcement:
    return Announcement(pub_time=v03.now(), base_url="", rel_path="")


def _rejection(
    message: Announcement, error: MessageError | TransferError, owner: str | None
) -> _Copy:
    report = message.report or Report(code=error.code, message="", time_completed=v03.now())
    reason = clean_text(str(error))
    report = replace(report, code=error.code, message=reason, rejected=reason)
    copy = replace(message, source=owner, report=report)
    return _Copy(copy, report, v03.encode(copy))


def _trusted(
    report: Report | None, delivery: Delivery, owner: str | None, config: Src2logConfig
) -> Report:
    """Return the report; raise TransferError if there is none or its author is not the owner."""
    if report is None:
        raise TransferError(417, "no report, though published as one")
    if owner is None:
        raise TransferError(403, f"exchange {delivery.exchange} has no owner")
    if delivery.user_id is None and not config.acceptUnproven:
        raise TransferError(403, "author not proven (no user_id)")
    if delivery.user_id not in (None, owner):
        raise TransferError(403, f"author {delivery.user_id} is not {owner}")
    return report


class _Copier:
    """Consumes the queue, publishes copies on xlog, acknowledges when they are confirmed."""

    def __init__(self, config: Src2logConfig, shares: UserShares, stop: asyncio.Event) -> None:
        self.copied = self.rejected = 0
        self._config = config
        self._shares = shares
        self._stop = stop
        self._writer = f"{socket.gethostname()}/{config.name}/{os.getpid()}-{int(time.time())}"
        self._connections = 0

    async def serve(self, broker: Broker) -> None:
        """Copy reports with one connection; raise BrokerError when it is lost."""
        self._broker = broker
        self._failure = failure = runtime.Failure()
        self._redelivered: list[Delivery] = []
        self._connections += 1
        self._chain = chain.Chain(f"{self._writer}-{self._connections}")
        await broker.consume(
            self._config.queueName,
            failure.guard(self._receive),
            prefetch=self._config.prefetch,
            on_lost=lambda reason: failure.set(BrokerError(reason)),
        )
        runtime.notify_systemd("READY=1")
        checking: asyncio.Task[None] | None = None
        while not await runtime.wait_for_any(_TURN, self._stop, failure.event):
            if self._redelivered and (checking is None or checking.done()):
                checking = asyncio.ensure_future(self._copy_redelivered())
                failure.watch(checking)
            self._tell_what_is_dropped()
            runtime.notify_alive(f"{self.copied} reports copied, {self.rejected} rejected")
        if checking is not None:
            checking.cancel()
        failure.check()

    def _receive(self, delivery: Delivery) -> None:
        if delivery.exchange == self._config.xlog:
            self._copy_change(delivery)
        elif delivery.redelivered:
            self._redelivered.append(delivery)
        else:
            self._copy(delivery, _copy_of(delivery, self._config))

    async def _copy_redelivered(self) -> None:
        """Copy redelivered reports unless xlog already has the copy."""
        deliveries, self._redelivered = self._redelivered, []
        copies = [(delivery, _copy_of(delivery, self._config)) for delivery in deliveries]
        reports = [(copy.announcement, copy.report) for _, copy in copies]
        existing = await report_stream.find_copies(self._broker, self._config.xlogStream, reports)
        if self._broker.lost.is_set():
            return  # the broker redelivers all of it
        for delivery, copy in copies:
            if (copy.announcement.key, copy.report.time_completed) in existing:
                self._broker.ack(delivery)
            else:
                self._copy(delivery, copy)

    def _copy(self, delivery: Delivery, copy: _Copy) -> None:
        """Publish a copy; acknowledge the report when the broker has confirmed it.

        A report beyond the user's share is only acknowledged.
        """
        if not self._shares.take(copy.announcement.source or delivery.exchange, len(copy.body)):
            self._broker.ack(delivery)
            return
        if copy.report.rejected:
            self.rejected += 1
            log.warning("rejected on %s: %s", delivery.exchange, copy.report.rejected)
        else:
            self.copied += 1
        topic = v03.topic(self._config.report_topic, copy.announcement.rel_path)
        self._publish(topic, copy.body, lambda: self._broker.ack(delivery))

    def _copy_change(self, delivery: Delivery) -> None:
        """Copy what a playbook has changed; readers know by its id one that is copied twice."""
        try:
            body = src2log_changes.accepted(delivery, self._config)
        except MessageError as error:
            log.warning("dropped on %s: %s", delivery.exchange, error)
            self._broker.ack(delivery)
            return
        self._publish(topology.CHANGE, body, lambda: self._broker.ack(delivery))

    def _tell_what_is_dropped(self) -> None:
        """Log, and report on xlog, what was not copied."""
        for user, text in self._shares.summaries():
            log.warning("%s", text)
            error = TransferError(_TOO_MANY, text)
            copy = _rejection(_unreadable(), error, user)
            self._publish(self._config.report_topic, copy.body, lambda: None)

    def _publish(self, topic: str, body: bytes, on_confirmed: Callable[[], None]) -> None:
        def on_result(outcome: PublishOutcome, reason: str) -> None:
            if outcome is PublishOutcome.REFUSED:
                self._failure.set(BrokerRefused(f"exchange {self._config.xlog}: {reason}"))
            elif outcome is PublishOutcome.UNROUTABLE:  # a new connection binds the stream again
                self._failure.set(BrokerError(f"{reason} to exchange {self._config.xlog}"))
            elif outcome is not PublishOutcome.LOST:  # else the broker redelivers the report
                on_confirmed()

        linked = self._chain.link(body)
        self._broker.publish(self._config.xlog, topic, linked, on_result=on_result, mandatory=True)
