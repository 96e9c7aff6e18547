"""Declares the exchanges, queues, bindings and streams that a command needs.

Every command declares what it uses, with the same arguments, so any of them may start first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sarra_lite.config.commands import SenderConfig
from sarra_lite.errors import BrokerError, BrokerRefused
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.config.monitor import MonitorConfig
    from sarra_lite.config.quota import QuotaConfig
    from sarra_lite.config.src2log import Src2logConfig

# RabbitMQ 4 drops a message after 20 lost connections, in silence, unless the queue has another
# limit.  -1, for none, is known to newer versions only.
_QUORUM: Final = {"x-queue-type": "quorum", "x-delivery-limit": 10**9}


# Topics of what playbooks have changed: handed in for sr_src2log, and copied by it.
RECORD: Final = "v03.record"
CHANGE: Final = "v03.change"


async def declare_for_user(
    broker: Broker, config: PostConfig | SenderConfig, *, reports: bool = False
) -> None:
    """Declare the user's exchange, the queue with its bindings, and the stream of reports.

    A post declares a queue, and has the stream keep announcements, only if one is configured.
    ``reports``: the caller reads the stream, so raise BrokerError when it cannot be declared;
    otherwise only log a refusal.
    """
    await broker.declare_exchange(config.exchange_name)
    queue = config.queue if isinstance(config, SenderConfig) else config.queueName
    if queue:
        # sr3 declares its queues without arguments, and fails when a queue has any.
        await broker.declare_queue(queue, _QUORUM if config.queueType == "quorum" else None)
        for key in config.binding_keys:
            await broker.bind(queue, config.exchange_name, key)
    try:
        await broker.declare_queue(config.report_stream, config.report_arguments)
        # Announcements that a stream keeps count as routed, so sr_post would not notice that no
        # queue gets them: one without a queue of its own does not have them kept.
        keys = config.stream_keys if queue else [f"{config.report_topic}.#"]
        for key in [*keys, config.usage_topic]:
            await broker.bind(config.report_stream, config.exchange_name, key)
    except BrokerError as error:
        if reports or broker.lost.is_set():
            raise
        log.warning("reports are not kept: %s", error)


async def declare_for_copying(broker: Broker, config: Src2logConfig) -> None:
    """Declare the exchange xlog, its stream, and the queue of sr_src2log.

    The queue is bound to the configured exchanges; others are bound when they are created.
    """
    await broker.declare_exchange(config.xlog)
    topic = f"{config.report_topic}.#"
    await broker.declare_queue(config.queueName, _QUORUM)
    for exchange in config.exchanges:
        try:
            await broker.bind(config.queueName, exchange, topic)
        except BrokerRefused as error:
            # One missing exchange must not stop the reports of all other users.
            log.warning("exchange %s is not bound, bind it when it is there: %s", exchange, error)
    await broker.declare_queue(config.xlogStream, config.report_arguments)
    await broker.bind(config.xlogStream, config.xlog, topic)
    await broker.bind(config.xlogStream, config.xlog, CHANGE)
    await broker.bind(config.queueName, config.xlog, RECORD)


async def declare_for_monitoring(broker: Broker, config: MonitorConfig) -> None:
    """Declare the stream of the reports of all users, which sr_src2log binds."""
    await broker.declare_queue(config.xlogStream, config.report_arguments)


async def declare_for_quota(broker: Broker, config: QuotaConfig) -> None:
    """Declare the exchange of grants, each group's queue, and the queue that chooses who fills."""
    await broker.declare_exchange(config.exchange)
    only_one = {"x-single-active-consumer": True, "x-max-length": 10}
    await broker.declare_queue(config.activeQueue, _QUORUM | only_one)
    await broker.bind(config.activeQueue, config.exchange, config.activeQueue)
    for group in config.rate:
        await declare_grants(broker, config, group)


async def declare_grants(broker: Broker, config: QuotaConfig, group: str) -> bool:
    """Declare the queue of a group; return whether it is there, else log why not.

    In a scope only operators make it, and their policies limit its length, which can be changed;
    here the argument of a new queue does.
    """
    queue = config.grant_queue(group)
    length = {"x-max-length": config.burst_grants[group], "x-overflow": "reject-publish"}
    try:
        await broker.declare_queue(queue, _QUORUM | length)
        await broker.bind(queue, config.exchange, queue)
    except BrokerRefused as error:
        # One missing queue must not stop the grants of all other groups.
        log.warning("group %s gets no grants: %s", group, error)
        return False
    return True
