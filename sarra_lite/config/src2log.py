"""Options of sr_src2log."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig, Prefetch


class Src2logConfig(BrokerConfig):
    """Options of sr_src2log.

    queueName: Queue of the reports of all users. Bind it to each user's exchange when the exchange
        is created.
    exchanges: Exchanges to bind the queue to at the start. It may be bound to others at any time.
    xlog: Exchange that the reports of all users are copied to.
    xlogStream: Stream that keeps the reports of all users.
    prefetch: Maximum number of unacknowledged reports from the queue.
    maxUserShare: Share of the stream, in percent of reportMaxBytes, that the reports of one user
        may take in a day. Beyond it they are not copied, and one rejected report an hour says how
        many. Each sr_src2log counts what it copies. 0: no limit.
    acceptUnproven: Accept reports without an author that the broker has verified. sr3 sends none.
    """

    component: ClassVar[str] = "src2log"
    queueName: str = option(default="q_src2log", example='"q_src2log"')
    exchanges: list[str] = option(default=[], example='["xac_earnest"]')
    xlog: str = option(default="xlog", example='"xlog"')
    xlogStream: str = option(default="q_xlog", example='"q_xlog"')
    prefetch: Prefetch = option(default=500, example="1000")
    maxUserShare: Annotated[int, Meta(ge=0, le=100)] = option(default=10, example="25")
    acceptUnproven: bool = option(default=False)
