"""What playbooks have changed: ``sr_src2log --record`` hands it in, a running sr_src2log copies it.

It goes through the queue of reports, so that it is a part of the chain of a running sr_src2log.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from sarra_lite import runtime
from sarra_lite.broker import topology
from sarra_lite.broker.client import PublishOutcome
from sarra_lite.commands import connections
from sarra_lite.errors import EX_OK, BrokerError, BrokerRefused, MessageError
from sarra_lite.messages import chain, change, v03
from sarra_lite.messages.limits import MAX_REPORT
from sarra_lite.messages.v03 import Announcement
from sarra_lite.units import time_string

if TYPE_CHECKING:
    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.config.src2log import Src2logConfig

_PATIENCE: Final = 30.0  # seconds without a broker
_MAX_INPUT: Final = 4 << 20  # characters


def record(config: Src2logConfig) -> int:
    """Publish the change that standard input has, for sr_src2log; return the exit status.

    Raise MessageError if it is not one, BrokerError when the broker does not take it.
    """
    try:
        found = json.loads(sys.stdin.read(_MAX_INPUT))
    except ValueError as error:
        raise MessageError(f"standard input: not JSON: {error}") from None
    body = _encoded(change.parse(found))
    return runtime.run_loop(_publish(config, body))


def accepted(delivery: Delivery, config: Src2logConfig) -> bytes:
    """Return the message to copy, of one that was published on xlog itself.

    Only the account of sr_src2log may publish there.  Raise MessageError for anything else.
    """
    if delivery.user_id != config.broker.user:
        raise MessageError(f"author {delivery.user_id or 'not proven'} is not {config.broker.user}")
    message = v03.decode(delivery.body, delivery.content_type)
    return _encoded(change.parse(message.extra.get(change.FIELD)))


def _encoded(told: change.Change) -> bytes:
    body = _message(told)
    return body if len(body) <= MAX_REPORT - chain.ROOM else _message(change.smaller(told))


def _message(told: change.Change) -> bytes:
    fields: dict[str, Any] = {change.FIELD: change.as_json(told)}
    pub_time = time_string(int(told.time * 10**9))
    return v03.encode(Announcement(pub_time=pub_time, base_url="", rel_path="", extra=fields))


async def _publish(config: Src2logConfig, body: bytes) -> int:
    stop = runtime.stop_on_signals()

    async def work(broker: Broker) -> None:
        result: asyncio.Future[tuple[PublishOutcome, str]] = asyncio.Future()

        def on_result(*told: Any) -> None:
            if not result.done():
                result.set_result(told)

        broker.publish(config.xlog, topology.RECORD, body, on_result=on_result, mandatory=True)
        outcome, reason = await runtime.unless_stopped(stop, result, "stopped")
        if outcome is PublishOutcome.REFUSED:
            raise BrokerRefused(f"exchange {config.xlog}: {reason}")
        if outcome is not PublishOutcome.CONFIRMED:
            raise BrokerError(f"exchange {config.xlog}: {reason}")

    declare = topology.declare_for_copying
    try:
        async with asyncio.timeout(2 * _PATIENCE):
            await connections.keep_connected(config, declare, work, stop, _PATIENCE, _PATIENCE)
    except TimeoutError:
        raise BrokerError(f"exchange {config.xlog}: the broker does not confirm") from None
    return EX_OK
