"""What must exist on the broker before anything is published, declared by whoever comes first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig, SenderConfig, Src2logConfig

log = logging.getLogger("sarra_lite")

_DURABLE: Final = {"x-queue-type": "quorum"}


def declare_for_posting(broker: Broker, config: PostConfig, *, reports: bool = False) -> None:
    """Exchange, the queue where one is named, the stream.  ``reports``: it is an error without."""
    broker.declare_exchange(config.exchange_name)
    if config.queueName:
        _queue(broker, config, config.queueName)
    if reports:
        _stream(broker, config)
    else:
        _try_stream(broker, config)


def declare_for_sending(broker: Broker, config: SenderConfig) -> None:
    """Exchange, queue with its bindings, and the stream of reports."""
    broker.declare_exchange(config.exchange_name)
    _queue(broker, config, config.queue)
    _try_stream(broker, config)


def declare_for_copying(broker: Broker, config: Src2logConfig) -> None:
    """The exchange xlog and its stream, and the queue, bound to the exchanges that are named.

    Other exchanges are bound to the queue by whoever creates them.
    """
    broker.declare_exchange(config.xlog)
    topic = f"{config.report_topic}.#"
    broker.declare_queue(config.queue, _DURABLE)
    for exchange in config.exchanges:
        try:
            broker.bind(config.queue, exchange, topic)
        except BrokerRefused as error:
            # One user's trouble is not to hold up the reports of all others.
            log.warning("exchange %s is not bound, bind it when it is there: %s", exchange, error)
    broker.declare_queue(config.xlogStream, config.report_arguments)
    broker.bind(config.xlogStream, config.xlog, topic)


def _queue(broker: Broker, config: PostConfig | SenderConfig, queue: str) -> None:
    # sr3 declares its queues without arguments, and refuses those that have any.
    broker.declare_queue(queue, _DURABLE if config.queueType == "quorum" else None)
    for key in config.binding_keys:
        broker.bind(queue, config.exchange_name, key)


def _stream(broker: Broker, config: PostConfig | SenderConfig) -> None:
    broker.declare_queue(config.report_stream, config.report_arguments)
    broker.bind(config.report_stream, config.exchange_name, f"{config.report_topic}.#")


def _try_stream(broker: Broker, config: PostConfig | SenderConfig) -> None:
    """Keep reports where they can be read again; files go their way without that, too."""
    try:
        _stream(broker, config)
    except BrokerError as error:
        if broker.lost.is_set():
            raise
        log.warning("reports are not kept: %s", error)
