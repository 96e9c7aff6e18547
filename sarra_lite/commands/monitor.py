"""Keep the history of all users' files, and metrics for Prometheus.

Reads the reports of all users from the stream of xlog, and the announcements from another stream
if there is one.  Each file is one row of a store on this host.  Several instances on several hosts
keep the same history, each by itself: either may be lost.  --show answers from the store.

Each hour of each user and group is compared with what was usual before at this time of the week;
--anomalies tells what was not.  --expected shows whether the files that expectFile names came in
time; its exit status is 1 when some did not.
"""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from sarra_lite import process, runtime, units
from sarra_lite.broker import topology
from sarra_lite.commands import arguments, connections, monitor_expected
from sarra_lite.config.monitor import MonitorConfig
from sarra_lite.errors import EX_FAILED, EX_OK, ConfigError, UsageError
from sarra_lite.messages.change import as_json
from sarra_lite.monitor import anomalies, changes, history
from sarra_lite.monitor.history import Wanted
from sarra_lite.monitor.metrics import Metrics
from sarra_lite.monitor.reader import Reader
from sarra_lite.monitor.records import DAY
from sarra_lite.monitor.store import Store

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

EXAMPLES: Final = (
    ("Run the configuration default, as systemd does:", "sr_monitor"),
    (
        "Show what a user has sent on a day (UTC):",
        "sr_monitor --show --user uearnest --day 2026-11-28",
    ),
    ("Tell what was unusual on a day:", "sr_monitor --anomalies --day 2026-11-28"),
    ("Show which expected files came in time on a day:", "sr_monitor --expected --day 2026-11-28"),
    ("Tell what playbooks have changed:", "sr_monitor --changes --limit 20"),
    ("Show what became of a file:", "sr_monitor --show --path data/big.bin"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_monitor."""
    parser = arguments.make_parser("sr_monitor", __doc__, MonitorConfig, EXAMPLES)
    add = parser.add_argument
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--show", action="store_true", help="only show files of the history, the latest first"
    )
    only.add_argument(
        "--anomalies", action="store_true", help="only tell what was unusual, the latest first"
    )
    only.add_argument(
        "--expected",
        action="store_true",
        help="only show which expected files came in time, as a calendar of two weeks",
    )
    only.add_argument(
        "--changes",
        action="store_true",
        help="only tell what operators' playbooks have changed, the latest first",
    )
    add("--user", help="with --show, --anomalies or --expected: only of this user")
    add(
        "--day",
        help="with --show, --anomalies, --expected or --changes: only what was on this day: "
        "2026-11-28, in UTC, with --expected in the time zone of each",
    )
    add("--path", help="with --show: only the file of this path, as announced")
    add("--code", type=int, help="with --show: only files with this report code")
    add(
        "--limit",
        type=int,
        default=100,
        help="with --show, --anomalies or --changes: maximum number (100)",
    )
    add(
        "--json",
        action="store_true",
        help="with --show, --anomalies, --expected or --changes: one JSON object per line",
    )
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_monitor; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, MonitorConfig, _check)
    if args.show:
        return _show(config, args)
    if args.anomalies:
        return _tell(config, args)
    if args.expected:
        return _expected(config, args)
    if args.changes:
        return _changes(config, args)
    return runtime.run_loop(_monitor(config))


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not go together."""
    if not args.show and (args.path is not None or args.code is not None):
        raise UsageError("--path and --code need --show")
    asked = args.json or args.user is not None or args.day is not None
    if asked and not (args.show or args.anomalies or args.expected or args.changes):
        raise UsageError(
            "--user, --day and --json need --show, --anomalies, --expected or --changes"
        )
    if args.changes and args.user is not None:
        raise UsageError("--user is of files: it does not go with --changes")
    if args.limit < 1:
        raise UsageError("--limit is less than 1")
    _day(args.day)


def _day(text: str | None) -> int | None:
    """Return a day as days since 1970."""
    if text is None:
        return None
    try:
        moment = datetime.strptime(f"{text}Z", "%Y-%m-%d%z")
    except ValueError:
        raise UsageError(f"--day: not a day like 2026-11-28: {text}") from None
    return int(moment.timestamp()) * 1000 // DAY


async def _monitor(config: MonitorConfig) -> int:
    """Read until a signal; return the exit status."""
    stop = runtime.stop_on_signals()
    with closing(Store(config.history_file, config.retention, config.member)) as store:
        metrics = Metrics(config)
        metrics.serve()
        reader = Reader(config, store, metrics, stop)
        await connections.keep_connected(
            config, topology.declare_for_monitoring, reader.serve, stop
        )
        runtime.notify_systemd("STOPPING=1")
    return EX_OK


def _show(config: MonitorConfig, args: argparse.Namespace) -> int:
    """Print files of the history; return 1 when there are none."""
    wanted = Wanted(args.user, _day(args.day), args.path, args.code, args.limit)
    found = history.files(_existing(config), wanted)
    for entry in found:
        process.write((json.dumps(entry) if args.json else _line(entry)) + "\n")
    return EX_OK if found else EX_FAILED


def _tell(config: MonitorConfig, args: argparse.Namespace) -> int:
    """Print what was unusual; return 1 when nothing was."""
    found = anomalies.events(_existing(config), args.user, _day(args.day), args.limit)
    for entry in found:
        process.write((json.dumps(entry) if args.json else anomalies.sentence(entry)) + "\n")
    return EX_OK if found else EX_FAILED


def _changes(config: MonitorConfig, args: argparse.Namespace) -> int:
    """Print what playbooks have changed; return 1 when nothing is known."""
    found = changes.entries(_existing(config), _day(args.day), args.limit)
    for entry in found:
        text = json.dumps(as_json(entry)) if args.json else changes.line(entry)
        process.write(text + "\n")
    return EX_OK if found else EX_FAILED


def _expected(config: MonitorConfig, args: argparse.Namespace) -> int:
    """Print whether expected files came in time; return 1 when some did not."""
    if config.expectFile is None:
        raise ConfigError("expectFile is not set: nothing is expected")
    wanted = [one for one in config.expectations() if args.user in (None, one.user)]
    day = None if args.day is None else date.fromisoformat(args.day)
    file = _existing(config)
    return monitor_expected.show(file, config.member, wanted, day, as_json=args.json)


def _existing(config: MonitorConfig) -> Path:
    """Return the file with the history; raise ConfigError when there is none."""
    if not config.history_file.exists():
        raise ConfigError(f"{config.history_file}: no history; see stateDir")
    return config.history_file


def _slow(entry: dict[str, Any]) -> str:
    """Return what limited a file, if that is known."""
    return f"; limited by {entry['limitedBy']}: {entry['why']}" if entry["why"] else ""


def _line(entry: dict[str, Any]) -> str:
    """Return an entry for people."""
    ended = datetime.fromtimestamp(entry["ended"], UTC)
    rate = "-" if entry["rate"] is None else f"{units.show_size(entry['rate'])}/s"
    user = units.printable(entry["user"])
    reason = "" if entry["code"] < 300 else f": {entry['text']}"  # noqa: PLR2004  HTTP's classes
    return (
        f"{ended:%Y-%m-%d %H:%M:%S} {entry['code']} {units.show_size(entry['size']):>10} {rate:>12}"
        f" {user:<12} {units.printable(entry['path'])}{reason}{_slow(entry)}"
    )
