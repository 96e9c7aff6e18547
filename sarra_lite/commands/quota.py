"""Give each group its share of the bandwidth, as grants that its senders take from a queue.

Fills the queue grant_<group> of each group at the group's rate.  A sender with the option grants
takes a grant before it sends as many bytes as the grant is worth.  Several instances may run, on
several hosts: one fills, and another as soon as that one is gone.

Counts what the reports in xlog say was sent, by user and group, and gives a group that has reached
its volume no grants until the next day or month.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import process, runtime
from sarra_lite.broker import topology
from sarra_lite.commands import arguments, connections
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.errors import EX_OK
from sarra_lite.quota.accounting import Accounting, counts_of
from sarra_lite.quota.filler import Filler
from sarra_lite.quota.store import Store
from sarra_lite.quota.volumes import Volumes, line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from sarra_lite.broker.client import Broker

EXAMPLES: Final = (
    ("Run the configuration default, as systemd does:", "sr_quota"),
    ("Give one group 100 Mbit/s:", "sr_quota --rate 'cloudmech=100 Mbit/s'"),
    ("Show what groups and users have sent today and this month:", "sr_quota --show"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_quota."""
    parser = arguments.make_parser("sr_quota", __doc__, QuotaConfig, EXAMPLES)
    parser.add_argument("--show", action="store_true", help="only show the volumes counted here")
    parser.add_argument("--json", action="store_true", help="with --show: one JSON object per line")
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_quota; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, QuotaConfig)
    if args.show:
        _show(config, as_json=args.json)
        return EX_OK
    return runtime.run_loop(_fill(config))


async def _fill(config: QuotaConfig) -> int:
    """Fill until a signal; return the exit status."""
    stop = runtime.stop_on_signals()
    work: Callable[[Broker], Awaitable[None]]
    if config.member:
        store = Store(config.volumes_file)
        volumes = Volumes(config, counts_of(store))
        accounting = Accounting(config.xlogStream, store, volumes)
        work = partial(_fill_and_count, Filler(config, stop, volumes.refusal), accounting)
    else:
        work = Filler(config, stop).serve
    await connections.keep_connected(config, topology.declare_for_quota, work, stop)
    runtime.notify_systemd("STOPPING=1")
    return EX_OK


async def _fill_and_count(filler: Filler, accounting: Accounting, broker: Broker) -> None:
    """Fill and count with one connection, and store what was counted at its end."""
    failure = runtime.Failure()
    await accounting.attach(broker, failure)
    storing = asyncio.ensure_future(accounting.run())
    failure.watch(storing)
    try:
        await filler.serve(broker, failure)
    finally:
        storing.cancel()
        await accounting.store()


def _show(config: QuotaConfig, *, as_json: bool) -> None:
    """Print what was counted on this host of each group and user."""
    volumes = Volumes(config, counts_of(Store(config.volumes_file)))
    for entry in volumes.table(datetime.now(UTC)):
        process.write((json.dumps(entry) if as_json else line(entry)) + "\n")
