"""Declares the exchanges, queues, bindings and streams that a command needs.

Every command declares what it uses, with the same arguments, so any of them may start first.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig, SenderConfig, Src2logConfig

log = logging.getLogger("sarra_lite")

_QUORUM: Final = {"x-queue-type": "quorum"}


def declare_for_posting(broker: Broker, config: PostConfig, *, reports: bool = False) -> None:
    """Declare the user's exchange, the queue if one is configured, and the stream of reports.

    ``reports``: the caller reads the stream, so raise BrokerError when it cannot be declared.
    """
    broker.declare_exchange(config.exchange_name)
    if config.queueName:
        _declare_queue(broker, config, config.queueName)
    _declare_report_stream(broker, config, required=reports)


def declare_for_sending(broker: Broker, config: SenderConfig) -> None:
    """Declare the user's exchange, the queue with its bindings, and the stream of reports."""
    broker.declare_exchange(config.exchange_name)
    _declare_queue(broker, config, config.queue)
    _declare_report_stream(broker, config, required=False)


def declare_for_copying(broker: Broker, config: Src2logConfig) -> None:
    """Declare the exchange xlog, its stream, and the queue of sr_src2log.

    The queue is bound to the configured exchanges; others are bound when they are created.
    """
    broker.declare_exchange(config.xlog)
    topic = f"{config.report_topic}.#"
    broker.declare_queue(config.queue, _QUORUM)
    for exchange in config.exchanges:
        try:
            broker.bind(config.queue, exchange, topic)
        except BrokerRefused as error:
            # One missing exchange must not stop the reports of all other users.
            log.warning("exchange %s is not bound, bind it when it is there: %s", exchange, error)
    broker.declare_queue(config.xlogStream, config.report_arguments)
    broker.bind(config.xlogStream, config.xlog, topic)


def _declare_queue(broker: Broker, config: PostConfig | SenderConfig, queue: str) -> None:
    # sr3 declares its queues without arguments, and fails when a queue has any.
    broker.declare_queue(queue, _QUORUM if config.queueType == "quorum" else None)
    for key in config.binding_keys:
        broker.bind(queue, config.exchange_name, key)


def _declare_report_stream(
    broker: Broker, config: PostConfig | SenderConfig, *, required: bool
) -> None:
    """Declare and bind the stream; only log a refusal unless the stream is required."""
    try:
        broker.declare_queue(config.report_stream, config.report_arguments)
        broker.bind(config.report_stream, config.exchange_name, f"{config.report_topic}.#")
    except BrokerError as error:
        if required or broker.lost.is_set():
            raise
        log.warning("reports are not kept: %s", error)
