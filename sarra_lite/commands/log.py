"""Show reports on transfers: which files arrived, when, how fast, and why others failed.

Reads the broker's stream of reports, which keeps past reports and gives them to any number of
readers.  Prints one line for each report, or one JSON object with --json.  Reports on single blocks
are shown only with --blocks or if the block failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sarra_lite import runtime, units
from sarra_lite.broker import report_stream, streams
from sarra_lite.broker.client import Delivery
from sarra_lite.commands import arguments, connections
from sarra_lite.config.commands import LogConfig
from sarra_lite.errors import EX_OK, BrokerError, Interrupted, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.v03 import Announcement, Report

_HEADER: Final = ("TIME (UTC)", "CODE", "SIZE", "RATE", "USER", "HOST", "FILE")
_LINE: Final = "{:<19} {:>4} {:>10} {:>11} {:<12} {:<14} {}"
_PREFETCH: Final = 500
EXAMPLES: Final = (
    ("Show the reports on a file of the last week:", "sr_log --since 7d big.bin"),
    ("Show failures as they happen:", "sr_log --failed --follow"),
    (
        "Print all users' reports of the last hour for a program:",
        "sr_log --queue-name q_xlog --since 1h --json",
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_log."""
    parser = arguments.make_parser("sr_log", __doc__, LogConfig, EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="FILE", help="path or name; may have * and ?")
    parser.add_argument(
        "--since",
        default="1d",
        help="begin at an age, such as 2h or 7d, or a time in UTC, such as 2026-11-23T22:00"
        " (default: 1d)",
    )
    parser.add_argument("--follow", action="store_true", help="continue with new reports")
    parser.add_argument("--failed", action="store_true", help="show only failures")
    parser.add_argument("--blocks", action="store_true", help="show reports on single blocks, too")
    parser.add_argument("--user", help="show only files of this user")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_log; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, LogConfig)
    return runtime.run_loop(_show(config, args, parse_since(args.since, datetime.now(UTC))))


async def _show(config: LogConfig, args: argparse.Namespace, since: datetime) -> int:
    """Print the reports that the flags select, until a signal; return the exit status."""
    with contextlib.suppress(Interrupted):
        stop = runtime.stop_on_signals()
        await runtime.unless_stopped(stop, _print(config, args, since), "stopped")
    return EX_OK


async def _print(config: LogConfig, args: argparse.Namespace, since: datetime) -> None:
    header = "" if args.json or not sys.stdout.isatty() else _LINE.format(*_HEADER) + "\n"
    # The broker delivers a stream in chunks, so the first reports may be older than ``since``.
    earliest = units.time_string(int(since.timestamp()) * 10**9)
    async with connections.broker_factory(config)() as broker:
        follow = _follow(broker, config.queue, since)
        deliveries = follow if args.follow else streams.read(broker, config.queue, since)
        async for delivery in deliveries:
            reported = report_stream.decode_report(delivery)
            if reported is None or not _selected(*reported, args, earliest):
                continue
            sys.stdout.write(f"{header}{_json(*reported) if args.json else _line(*reported)}\n")
            sys.stdout.flush()
            header = ""


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment of an age before ``now``, or of a date and time in UTC."""
    try:
        return now - timedelta(seconds=units.parse_duration(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since: neither 5m, 2h, 7d nor 2026-11-23T22:00: {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _follow(broker: Broker, stream: str, since: datetime) -> AsyncIterator[Delivery]:
    """Yield deliveries of the stream without end; raise BrokerError when the connection ends."""
    deliveries: asyncio.Queue[Delivery | str] = asyncio.Queue()
    await broker.consume(
        stream,
        deliveries.put_nowait,
        prefetch=_PREFETCH,
        on_lost=deliveries.put_nowait,
        offset=since,
    )
    while isinstance(delivery := await deliveries.get(), Delivery):
        yield delivery
        broker.ack(delivery)
    raise BrokerError(delivery)


def _selected(
    announcement: Announcement, report: Report, args: argparse.Namespace, earliest: str
) -> bool:
    """Return whether the flags select a report."""
    return (
        report.time_completed >= earliest
        and (args.blocks or announcement.block is None or not report.arrived)
        and not (args.failed and report.arrived)
        and args.user in (None, announcement.source)
        and _matches(announcement.rel_path, args.names)
    )


def _matches(rel_path: str, names: list[str]) -> bool:
    """Return whether a name or pattern matches the path or its last part; True without names."""
    last = rel_path.rpartition("/")[2]
    return not names or any(
        fnmatch.fnmatchcase(rel_path, name.lstrip("/")) or fnmatch.fnmatchcase(last, name)
        for name in names
    )


def _line(announcement: Announcement, report: Report) -> str:
    """Return a report as a line of the table, with the reason of a failure at its end."""
    size = report.bytes if report.bytes is not None else announcement.size
    rate = "-"
    if report.bytes and report.seconds:
        rate = f"{units.show_size(report.bytes / report.seconds)}/s"
    name = units.printable(announcement.rel_path) or "-"
    if announcement.block is not None and announcement.blocks is not None:
        name += f" [block {announcement.block + 1} of {announcement.blocks.count}]"
    if not report.arrived:
        name += f": {report.message}"
        if report.will_retry is not None:
            name += f"; again in {report.will_retry:.0f} s"
    when = report.time_completed
    return _LINE.format(
        f"{when[:4]}-{when[4:6]}-{when[6:8]} {when[9:11]}:{when[11:13]}:{when[13:15]}",
        report.code,
        "-" if size is None else units.show_size(size),
        rate,
        units.printable(announcement.source or "-"),
        report.host or "-",
        name,
    ).rstrip()


def _json(announcement: Announcement, report: Report) -> str:
    """Return a report as a flat JSON object with the keys of the message."""
    fields: dict[str, Any] = {
        "relPath": announcement.rel_path,
        "source": announcement.source,
        "size": announcement.size,
        "pubTime": announcement.pub_time,
    }
    if announcement.blocks:
        fields["blocks"] = announcement.blocks.count
    if announcement.file_op:
        fields["fileOp"] = announcement.file_op
    return json.dumps(fields | msgspec.to_builtins(report))
