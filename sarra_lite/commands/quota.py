"""Give each group its share of the bandwidth, as grants that its senders take from a queue.

Fills the queue grant_<group> of each group at the group's rate.  A sender with the option grants
takes a grant before it sends as many bytes as the grant is worth.  Several instances may run, on
several hosts: one fills, and another as soon as that one is gone.

Counts what the reports in xlog say was sent, by user and group, and gives a group that has reached
its volume no grants until the next day or month.  Users are told in their streams of reports,
which sr_status shows.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from sarra_lite import process, runtime
from sarra_lite.broker import topology
from sarra_lite.commands import arguments, connections
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.errors import EX_OK, ConfigError
from sarra_lite.quota.accounting import Accounting
from sarra_lite.quota.filler import Filler
from sarra_lite.quota.store import Store
from sarra_lite.quota.teller import Teller
from sarra_lite.quota.volumes import Volumes, line

if TYPE_CHECKING:
    import argparse

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.usage import Used
    from sarra_lite.quota.disks import DiskReader

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
    work = _Counting(config, stop).serve if config.member else Filler(config, stop).serve
    await connections.keep_connected(config, topology.declare_for_quota, work, stop)
    runtime.notify_systemd("STOPPING=1")
    return EX_OK


class _Counting:
    """Fills, counts, and tells users what was counted, on one connection after the other."""

    def __init__(self, config: QuotaConfig, stop: asyncio.Event) -> None:
        store = Store(config.volumes_file)
        volumes = Volumes(config, store.kept(f"{datetime.now(UTC):%Y-%m}").counts)
        self._filler = Filler(config, stop, volumes.refusal)
        self._accounting = Accounting(config.xlogStream, store, volumes)
        self._disks = _disk_reader(config, store)

        def table(now: datetime) -> list[Used]:
            return volumes.table(now, self._disks.disks if self._disks else None)

        self._teller = Teller(config, table, lambda: self._filler.active)

    async def serve(self, broker: Broker) -> None:
        """Serve until a request to stop, and store what was counted at the end."""
        failure = runtime.Failure()
        await self._accounting.attach(broker, failure)
        works = [self._accounting.run(), self._teller.run(broker)]
        if self._disks is not None:
            works.append(self._disks.run())
        tasks = [asyncio.ensure_future(work) for work in works]
        for task in tasks:
            failure.watch(task)
        try:
            await self._filler.serve(broker, failure)
        finally:
            self._filler.active = False
            for task in tasks:
                task.cancel()
            await self._accounting.store()


def _disk_reader(config: QuotaConfig, store: Store) -> DiskReader | None:
    """Return what asks Prometheus, if there is one."""
    if config.prometheusUrl is None:
        return None
    try:
        from sarra_lite.quota.disks import DiskReader  # noqa: PLC0415  it needs an extra
    except ModuleNotFoundError as error:
        text = f"prometheusUrl: {error.name} is not installed: pip install 'sarra_lite[web]'"
        raise ConfigError(text) from None
    return DiskReader(config.prometheusUrl, config, store)


def _show(config: QuotaConfig, *, as_json: bool) -> None:
    """Print what was counted on this host of each group and user."""
    now = datetime.now(UTC)
    kept = Store(config.volumes_file).kept(f"{now:%Y-%m}")
    for used in Volumes(config, kept.counts).table(now, kept.disks):
        process.write((msgspec.json.encode(used).decode() if as_json else line(used)) + "\n")
