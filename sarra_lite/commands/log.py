"""Show reports: what happened to my file, when, how fast, by whom.

Reads the stream of reports, past ones too, and takes them from nobody.  One line a report, or JSON
lines with --json.  Reports of single blocks are left out unless --blocks is given.
"""

from __future__ import annotations

import fnmatch
import json
import queue
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sarra_lite import runtime, units
from sarra_lite.broker import report_stream
from sarra_lite.commands import arguments, connections
from sarra_lite.config.commands import LogConfig
from sarra_lite.errors import EX_OK, BrokerError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from threading import Event

    from sarra_lite.broker.client import Broker, Delivery
    from sarra_lite.messages.v03 import Announcement, Report

_HEAD: Final = ("TIME (UTC)", "CODE", "SIZE", "RATE", "USER", "HOST", "FILE")
_LINE: Final = "{:<19} {:>4} {:>10} {:>11} {:<12} {:<14} {}"
_PREFETCH: Final = 500
EXAMPLES: Final = (
    ("What happened to a file since yesterday:", "sr_log --since 1d big.bin"),
    ("What failed, as it happens:", "sr_log --failed --follow"),
    (
        "All users' reports of the last hour, for a program:",
        "sr_log --queue-name q_xlog --since 1h --json",
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_log."""
    parser = arguments.make_parser("sr_log", __doc__, LogConfig, EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="FILE", help="only these names; * and ? match")
    parser.add_argument(
        "--since", default="1d", help="as in 5m, 2h, 7d, or 2026-11-23T22:00 in UTC; default 1d"
    )
    parser.add_argument("--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--failed", action="store_true", help="only what did not arrive")
    parser.add_argument("--blocks", action="store_true", help="show reports of single blocks, too")
    parser.add_argument("--user", help="only reports on files of this user")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run sr_log; return its exit status."""
    return runtime.run(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    args, config = arguments.configured(make_parser(), argv, LogConfig)
    runtime.log_to_stderr(config.logLevel)
    since = parse_since(args.since, datetime.now(UTC))
    stop = runtime.stop_on_signals()
    with connections.broker_factory(config, "sr_log")() as broker:
        if args.follow:
            deliveries = _follow(broker, config.queue, since, stop)
        else:
            deliveries = broker.read_stream(config.queue, since)
        _show(_chosen(report_stream.decode_reports(deliveries), args, since), as_json=args.json)
    return EX_OK


def parse_since(text: str, now: datetime) -> datetime:
    """Moment from a duration before ``now``, or from a date and time in UTC."""
    try:
        return now - timedelta(seconds=units.parse_duration(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since: neither 5m, 2h, 7d nor 2026-11-23T22:00: {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _follow(broker: Broker, stream: str, since: datetime, stop: Event) -> Iterator[Delivery]:
    """Deliveries of the stream, for ever; BrokerError when the connection is lost."""
    inbox: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
    broker.consume(stream, inbox.put, prefetch=_PREFETCH, offset=since)
    while not stop.is_set():
        try:
            delivery = inbox.get(timeout=0.5)
        except queue.Empty:
            if broker.lost.is_set():
                raise BrokerError(broker.close_reason) from None
            continue
        yield delivery
        broker.ack(delivery)


def _chosen(
    found: Iterable[Announcement], args: argparse.Namespace, since: datetime
) -> Iterator[tuple[Announcement, Report]]:
    """Reports that the options ask for; a stream begins a chunk too early."""
    earliest = units.time_string(int(since.timestamp()) * 10**9)
    for announcement in found:
        report = announcement.report
        if (
            report is not None
            and report.time_completed >= earliest
            and (args.blocks or announcement.block is None or not report.arrived)
            and not (args.failed and report.arrived)
            and args.user in (None, announcement.source)
            and _named(announcement.rel_path, args.names)
        ):
            yield announcement, report


def _named(rel_path: str, names: list[str]) -> bool:
    """One of the names is the path, its last part, or a pattern of either; no names: any."""
    last = rel_path.rpartition("/")[2]
    return not names or any(
        fnmatch.fnmatchcase(rel_path, name.lstrip("/")) or fnmatch.fnmatchcase(last, name)
        for name in names
    )


def _show(chosen: Iterator[tuple[Announcement, Report]], *, as_json: bool) -> None:
    first = True
    for announcement, report in chosen:
        if as_json:
            line = json.dumps(as_object(announcement, report))
        else:
            line = as_line(announcement, report)
            if first and sys.stdout.isatty():
                line = f"{_LINE.format(*_HEAD)}\n{line}"
        first = False
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def as_line(announcement: Announcement, report: Report) -> str:
    """One report as a line of the table; what failed says why after the name."""
    size = report.bytes if report.bytes is not None else announcement.size
    name = units.printable(announcement.rel_path) or "-"
    if announcement.block is not None and announcement.blocks is not None:
        name += f" [block {announcement.block + 1} of {announcement.blocks.count}]"
    retry = f"; again in {report.will_retry:.0f} s" if report.will_retry is not None else ""
    when = report.time_completed
    return _LINE.format(
        f"{when[:4]}-{when[4:6]}-{when[6:8]} {when[9:11]}:{when[11:13]}:{when[13:15]}",
        report.code,
        units.show_size(size) if size is not None else "-",
        f"{units.show_size(report.bytes / report.seconds)}/s"
        if report.bytes and report.seconds
        else "-",
        units.printable(announcement.source or "-"),
        units.printable(report.host or "-"),
        name if report.arrived else f"{name}: {units.printable(report.message)}{retry}",
    ).rstrip()


def as_object(announcement: Announcement, report: Report) -> dict[str, Any]:
    """One report as a flat JSON object; keys as on the wire."""
    fields: dict[str, Any] = msgspec.to_builtins(report)
    blocks = announcement.blocks
    return {
        "relPath": announcement.rel_path,
        "source": announcement.source,
        "size": announcement.size,
        "pubTime": announcement.pub_time,
        **({"blocks": blocks.count} if blocks else {}),
        **({"fileOp": announcement.file_op} if announcement.file_op else {}),
        **fields,
    }


if __name__ == "__main__":
    sys.exit(main())
