"""Show your transfers: what is being sent, waits or failed; where one file is, and what to do.

Reads your announcements and reports, which the broker keeps in one stream, and looks at the queue
of your senders; your own broker account is enough.  Without a FILE it shows what is unfinished,
what failed and has not arrived since, and how much of quotas is used, where operators count it.
Files that take longer than ten seconds have progress, with what limits them.

Exit status with a FILE: 0 all of it arrived, 1 something failed, 66 it is not announced, 75 it
waits, is being sent, or is to be tried again; the first of 1, 66 and 75 that is true.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from sarra_lite import process, runtime, units
from sarra_lite.broker import report_stream, streams
from sarra_lite.commands import arguments, connections, status_text, usage_text
from sarra_lite.commands.names import Name, add_arguments
from sarra_lite.commands.status_text import Shown
from sarra_lite.config.status import StatusConfig
from sarra_lite.errors import EX_FAILED, EX_NOINPUT, EX_OK, EX_TEMPFAIL, BrokerRefused
from sarra_lite.messages.usage import AT_LEAST_EVERY
from sarra_lite.runtime import log
from sarra_lite.transfers.history import History
from sarra_lite.transfers.latest_usage import LatestUsage
from sarra_lite.transfers.queue import Queue, places
from sarra_lite.transfers.transfer import State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.usage import Usage
    from sarra_lite.messages.v03 import Announcement

# Between the clock of a poster, which writes the time of an announcement, and that of the broker.
_CLOCKS_DIFFER: Final = timedelta(minutes=1)
_EXIT: Final = {State.ARRIVED: EX_OK, State.FAILED: EX_FAILED, State.NOT_ANNOUNCED: EX_NOINPUT}
EXAMPLES: Final = (
    ("Show what is unfinished, and what failed within a day:", "sr_status"),
    ("Show where a file is:", "sr_status data/big.bin"),
    ("Show where all files below a directory are, for a program:", "sr_status --json data/"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_status."""
    parser = arguments.make_parser("sr_status", __doc__, StatusConfig, EXAMPLES)
    add_arguments(parser, None, "1d, with a FILE 7d")
    parser.add_argument("--all", action="store_true", help="show all, not ten of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_status; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, StatusConfig)
    age = args.since or ("7d" if args.names else "1d")
    return runtime.run_loop(_show(config, args, arguments.parse_since(age, datetime.now(UTC))))


async def _show(config: StatusConfig, args: argparse.Namespace, since: datetime) -> int:
    """Read and print; return the exit status."""
    names = [Name(name) for name in args.names]
    async with connections.broker_factory(config)() as broker:
        history, since, usage = await _read(broker, config, since, names)
        # After the stream, so that what a sender has finished meanwhile is not taken for lost.
        queue = await _queue(broker, config.queue)
    found = places(history.unfinished, queue)
    transfers = history.found() if names else history.overview()
    shown = [Shown(one, found.get(one.number)) for one in transfers]
    missing = [
        name.text for name in names if not any(name.matches(one.announcement) for one in transfers)
    ]
    overview = status_text.Overview(history, queue, since, time.time())
    if args.json:
        told = overview.as_json(shown, missing) | {"usage": msgspec.to_builtins(usage)}
        process.write(json.dumps(told) + "\n")
    else:
        limit = None if args.all else status_text.SHOWN
        for line in overview.lines(shown, missing, limit, sought=bool(names)):
            process.write(line + "\n")
        for line in usage_text.lines(usage, time.time()) if not names else ():
            process.write(line + "\n")
    return _exit_status(shown, missing) if names else EX_OK


async def _read(
    broker: Broker, config: StatusConfig, since: datetime, names: list[Name]
) -> tuple[History, datetime, Usage | None]:
    """Return what the stream tells, and since when: later, if it does not reach back so far.

    And what it tells of quotas.  Of what is unfinished it tells all since the announcement.
    """

    def is_sought(announcement: Announcement) -> bool:
        return any(name.matches(announcement) for name in names)

    begin = min(since, datetime.now(UTC) - AT_LEAST_EVERY - _CLOCKS_DIFFER)
    latest = LatestUsage(config.broker.user)
    while True:
        history = History(units.time_string(int(since.timestamp()) * 10**9), is_sought)
        first = await _take_all(broker, config, begin, history, latest)
        oldest = _moment(history.oldest) - _CLOCKS_DIFFER if history.oldest else begin
        if oldest >= begin - _CLOCKS_DIFFER:
            break
        begin = oldest  # a large file may have been begun long before
    if history.begins and not history.knows_announcements:
        log.warning(
            "%s has reports, but no announcements: what waits is not known before sr_post or"
            " sr_sender of this version has run",
            config.report_stream,
        )
    if first and history.begins:  # what was before may have been deleted
        since = max(since, _moment(history.begins))
    return history, since, latest.usage


async def _take_all(
    broker: Broker, config: StatusConfig, begin: datetime, history: History, latest: LatestUsage
) -> int | None:
    """Have the two take all messages since a time; return the offset of the first one."""
    first = None
    try:
        async for delivery in streams.read(broker, config.report_stream, begin):
            first = delivery.offset if first is None else first
            if latest.is_about(delivery.topic):
                latest.take(delivery.body, delivery.user_id)
            elif (message := report_stream.decode(delivery)) is not None:
                history.take(message)
    except BrokerRefused as error:
        if not error.is_missing or config.reportStream is not None:
            raise
        text = "there is no %s; the first sr_post or sr_sender of this user makes it"
        log.warning(text, config.report_stream)
    return first


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(units.nanoseconds(text) / 1e9, UTC)


async def _queue(broker: Broker, name: str) -> Queue | None:
    """Return what the broker tells of a queue; None when there is none."""
    try:
        return Queue(name, *await broker.look_at(name))
    except BrokerRefused as error:
        if not error.is_missing:
            raise
        log.warning("there is no queue %s; sr_sender --declare makes it", name)
        return None


def _exit_status(shown: Iterable[Shown], missing: list[str]) -> int:
    statuses = {_EXIT.get(one.state, EX_TEMPFAIL) for one in shown}
    if missing:
        statuses.add(EX_NOINPUT)
    order = (EX_FAILED, EX_NOINPUT, EX_TEMPFAIL)
    return next((status for status in order if status in statuses), EX_OK)
