"""Show reports on transfers: which files arrived, when, how fast, and why others failed.

Reads the broker's stream of reports, which keeps past reports and gives them to any number of
readers.  Prints one line for each report, or one JSON object with --json; -v adds what limited a
transfer of more than some seconds.  Reports on single blocks, and on what is under way, are shown
only with --blocks, or if the block failed.  Exit status 1: there is no report on a FILE.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sarra_lite import process, runtime, units
from sarra_lite.broker import report_stream, streams
from sarra_lite.broker.client import Delivery
from sarra_lite.commands import arguments, connections, log_text, names
from sarra_lite.commands.log_selection import Selection
from sarra_lite.config.commands import LogConfig
from sarra_lite.errors import (
    EX_FAILED,
    EX_OK,
    BrokerError,
    BrokerRefused,
    Interrupted,
    UsageError,
)
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import argparse

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.v03 import Announcement, Report

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
    names.add_arguments(parser, "1d", "1d")
    parser.add_argument("--follow", action="store_true", help="continue with new reports")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--failed",
        action="store_true",
        help="show only failures; without --follow, only of what has not arrived since",
    )
    which.add_argument(
        "--unfinished",
        action="store_true",
        help="show the last report on each file that is to be tried again, or of which only blocks"
        " are reported; what no sender has taken is in the queue, and not shown",
    )
    parser.add_argument(
        "--blocks", action="store_true", help="show reports on single blocks and on progress, too"
    )
    parser.add_argument("--user", help="show only files of this user")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_log; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, LogConfig)
    if args.unfinished and args.follow:
        raise UsageError("--unfinished shows a state, so it cannot --follow")
    return runtime.run_loop(
        _show(config, args, arguments.parse_since(args.since, datetime.now(UTC)))
    )


async def _show(config: LogConfig, args: argparse.Namespace, since: datetime) -> int:
    """Print the reports that the flags select, until a signal; return the exit status."""
    stop = runtime.stop_on_signals()
    # The broker delivers a stream in chunks, so the first reports may be older than ``since``.
    selection = Selection(args, units.time_string(int(since.timestamp()) * 10**9))
    output = _Output(selection, as_json=args.json, explains=args.verbose)
    with contextlib.suppress(Interrupted):
        if args.follow:
            new = _Following(config, output, since)
            reading = connections.keep_connected(config, new.declare, new.work, stop, 0.0)
            await runtime.unless_stopped(stop, reading, "stopped")
        else:
            await runtime.unless_stopped(stop, _print_past(config, output, since), "stopped")
            return _tell_unreported(selection, since)
    return EX_OK


async def _print_past(config: LogConfig, output: _Output, since: datetime) -> None:
    async with connections.broker_factory(config)() as broker:
        try:
            async for delivery in streams.read(broker, config.queue, since):
                output.take(delivery)
        except BrokerRefused as error:
            if not error.is_missing or config.queueName is not None:
                raise
            log.warning("no reports: %s", _no_stream(config))
    output.print_remaining()


def _tell_unreported(selection: Selection, since: datetime) -> int:
    """Log which names no report was about; return the exit status."""
    for name in selection.unreported:
        when = since.strftime("%Y-%m-%d %H:%M:%S")
        log.error("%s: no report since %s UTC", units.printable(name.text), when)
    return EX_FAILED if selection.unreported else EX_OK


def _no_stream(config: LogConfig) -> str:
    return f"there is no {config.queue}; the first sr_post or sr_sender of this user makes it"


class _Output:
    """Prints the reports that are selected, the header before the first."""

    def __init__(self, selection: Selection, *, as_json: bool, explains: bool) -> None:
        self._selection = selection
        self._format = (
            log_text.as_json if as_json else log_text.explained if explains else log_text.line
        )
        self._reports_only = as_json
        shows_header = not as_json and sys.stdout.isatty()
        self._header = log_text.HEADER + "\n" if shows_header else ""

    def take(self, delivery: Delivery) -> None:
        """Print a report if it is selected, and known to be."""
        if not self._selection.may_want(delivery.body):
            return
        reported = report_stream.decode_report(delivery)
        if reported is not None and self._selection.take(*reported):
            self._print(*reported)
            return
        if self._reports_only:  # a program that reads the objects knows those of reports
            return
        told = report_stream.decode_change(delivery)
        if told is not None and self._selection.takes_change(log_text.time_of(told)):
            self._write(log_text.change_line(told))

    def print_remaining(self) -> None:
        """Print what is known to be selected at the end of all reports only."""
        for reported in self._selection.remaining():
            self._print(*reported)

    def _print(self, announcement: Announcement, report: Report) -> None:
        self._write(self._format(announcement, report))

    def _write(self, line: str) -> None:
        process.write(f"{self._header}{line}\n")
        self._header = ""


class _Following:
    """Prints past and new reports, on one connection after the other."""

    def __init__(self, config: LogConfig, output: _Output, since: datetime) -> None:
        self._config = config
        self._output = output
        self._offset: datetime | int = since  # where the next connection begins

    async def declare(self, broker: Broker, _: LogConfig) -> None:
        """Raise BrokerError, which may be tried again, while there is no stream."""
        try:
            await broker.count_messages(self._config.queue)
        except BrokerRefused as error:
            if not error.is_missing:
                raise
            raise BrokerError(f"waiting for reports: {_no_stream(self._config)}") from None

    async def work(self, broker: Broker) -> None:
        """Print without end; raise BrokerError when the connection or the consumer ends."""
        deliveries: asyncio.Queue[Delivery | str] = asyncio.Queue()
        put, queue = deliveries.put_nowait, self._config.queue
        await broker.consume(queue, put, prefetch=_PREFETCH, on_lost=put, offset=self._offset)
        while isinstance(delivery := await deliveries.get(), Delivery):
            self._output.take(delivery)
            self._offset = (delivery.offset or 0) + 1
            broker.ack(delivery)
        if not broker.lost.is_set():
            # Another stream of this name would count from 0 again.
            self._offset = datetime.now(UTC)
        raise BrokerError(delivery)
