"""Announce files and directory trees, so that a sender pushes them to their destination.

Each path is announced on the broker: a small file with its checksum, a file larger than the block
size as blocks.  With --wait the command waits for the reports on all files; its exit status shows
whether all arrived.  With --watch it keeps running and announces files that are completed, changed,
renamed or removed below the given directories.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime, units
from sarra_lite.broker import topology
from sarra_lite.commands import arguments, connections
from sarra_lite.commands.progress import Progress
from sarra_lite.config import matching
from sarra_lite.config.commands import PostConfig
from sarra_lite.errors import EX_FAILED, EX_OK, EX_TEMPFAIL, Interrupted, SarraError, UsageError
from sarra_lite.posting import lookahead, scan
from sarra_lite.posting.announcer import Announcer
from sarra_lite.posting.waiter import ReportWaiter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from threading import Event

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.v03 import Announcement

log = logging.getLogger("sarra_lite")

EXAMPLES: Final = (
    ("Announce a directory, and wait for the reports on its files:", "sr_post --wait data/"),
    (
        "Announce the files that find(1) finds, whatever their names contain:",
        "find data -name '*.nc' -print0 | sr_post --null -",
    ),
    ("Split files larger than 256 MiB into blocks:", "sr_post --block-size 256Mi big.bin"),
    ("Remove a file at the destination:", "sr_post --remove data/old.nc"),
    ("Announce each file that is completed in a directory:", "sr_post --watch data/"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_post."""
    parser = arguments.make_parser("sr_post", __doc__, PostConfig, EXAMPLES)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="file, directory, or - for stdin")
    parser.add_argument("-0", "--null", action="store_true", help="paths from stdin end with NUL")
    parser.add_argument("--wait", action="store_true", help="wait for the reports on all files")
    parser.add_argument(
        "--timeout", metavar="DURATION", help="with --wait: stop waiting after, for example, 5m"
    )
    parser.add_argument("--watch", action="store_true", help="keep running and announce changes")
    parser.add_argument("--remove", action="store_true", help="announce that the paths are removed")
    parser.add_argument(
        "--renamed-from", metavar="OLD", help="announce that OLD is renamed to PATH"
    )
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_post; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, PostConfig)
    _check(args)
    stop = runtime.stop_on_signals()
    if args.watch:
        from sarra_lite.commands import post_watch  # noqa: PLC0415  imports inotify and sqlite

        return post_watch.serve(args.paths, config, stop)
    return _Posting(config, args, stop).run()


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that cannot be combined."""
    if not args.paths:
        raise UsageError("no PATH given; see sr_post --help")
    if args.watch and (args.wait or args.remove or args.renamed_from or "-" in args.paths):
        raise UsageError("--watch takes directories, and none of --wait, --remove, --renamed-from")
    if args.renamed_from and (len(args.paths) != 1 or args.remove):
        raise UsageError("--renamed-from takes exactly one PATH, the new name")
    if args.timeout and not args.wait:
        raise UsageError("--timeout is for --wait")


def _paths(args: argparse.Namespace) -> Iterator[str | None]:
    """Yield the paths of the command line; ``None`` before a wait for standard input."""
    for path in args.paths:
        if path == "-":
            yield from _paths_from(sys.stdin.fileno(), b"\0" if args.null else b"\n")
        else:
            yield path


def _paths_from(descriptor: int, separator: bytes) -> Iterator[str | None]:
    """Yield the paths read from a file descriptor; they may contain any byte but the separator.

    Yields ``None`` when there is nothing to read yet.
    """
    rest = b""
    chunk = None
    while chunk != b"":
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
        chunk = os.read(descriptor, 65536)
        *names, rest = (rest + chunk).split(separator)
        yield from (os.fsdecode(name) for name in names if name)
    if rest:
        yield os.fsdecode(rest)


class _Posting:
    """One run of sr_post without --watch: announces all paths, then waits for reports if asked."""

    def __init__(self, config: PostConfig, args: argparse.Namespace, stop: Event) -> None:
        self._config = config
        self._args = args
        self._stop = stop
        self._problems = 0
        self._announced = 0
        self._waiter = ReportWaiter(config.report_stream, log.warning) if args.wait else None
        connect = connections.broker_factory(config)
        self._announcer = Announcer(config, connect, stop, self._declare, lambda _: None)
        self._progress = Progress("arrived" if args.wait else "announced", quiet=args.quiet)

    def run(self) -> int:
        """Announce all paths, wait for reports if asked to, and return the exit status."""
        with self._announcer, self._progress:
            for announcement in self._announcements():
                if self._waiter is not None:
                    self._waiter.expect(announcement)
                self._announcer.post(announcement)
                self._announcer.collect()
                self._show(announcement)
            self._announcer.flush()
            self._warn_unroutable()
            in_time = self._waiter is None or self._wait(self._waiter)
        return self._conclude(in_time=in_time)

    def _declare(self, broker: Broker) -> None:
        """Declare what a new connection needs before the first announcement."""
        topology.declare_for_posting(broker, self._config, reports=self._waiter is not None)
        if self._waiter is not None:
            self._waiter.follow(broker)

    def _announcements(self) -> Iterator[Announcement]:
        args = self._args
        if args.renamed_from:
            yield scan.renaming(args.renamed_from, args.paths[0], self._config)
        elif args.remove:
            for path in filter(None, _paths(args)):
                yield scan.removal(path, self._config, is_dir=path.endswith("/"))
        else:
            paths = scan.walk(_paths(args), self._report_problem)
            takes_long = functools.partial(scan.takes_long, config=self._config)
            for result in lookahead.in_order(paths, takes_long, self._scan):
                if self._stop.is_set():
                    raise Interrupted("stopped before all paths were announced; run it again")
                yield from self._accepted(result)

    def _scan(self, path: str) -> Iterator[Announcement]:
        """Return the announcements of one path, after reading its content for the checksum.

        A generator would read the content only when the first announcement is requested.
        """
        announcements = scan.announcements(path, self._config)
        return itertools.chain(list(itertools.islice(announcements, 1)), announcements)

    def _accepted(self, result: Callable[[], Iterator[Announcement]]) -> Iterator[Announcement]:
        """Yield the announcements of one path, or log and count the reason why there are none."""
        try:
            for number, announcement in enumerate(matching.accepted(self._config, result())):
                self._announced += number == 0
                yield announcement
        except UsageError:
            raise
        except SarraError as error:
            self._report_problem(str(error))

    def _report_problem(self, line: str) -> None:
        self._problems += 1
        log.error("%s", line)

    def _show(self, announcement: Announcement) -> None:
        progress = self._progress
        if announcement.block is None:
            progress.of_files += 1
            progress.of_bytes += announcement.size or 0
        if self._waiter is None:
            progress.files, progress.bytes = progress.of_files, progress.of_bytes
        progress.show()

    def _warn_unroutable(self) -> None:
        if count := self._announcer.unroutable:
            log.warning(
                "%d of %d announcements reached no queue, so nobody will send them: start sr_sender"
                " once on exchange %s, or set queueName, and post again",
                count,
                self._announcer.published,
                self._config.exchange_name,
            )

    def _wait(self, waiter: ReportWaiter) -> bool:
        """Wait until all files are reported; return False when the timeout has passed."""
        if self._announcer.unroutable:
            raise SarraError("not waiting for files that nobody will send")
        timeout = self._args.timeout
        deadline = time.monotonic() + (units.parse_duration(timeout) if timeout else math.inf)
        progress = self._progress
        while waiter.waiting:
            self._announcer.collect()
            waiter.collect(0.2)
            progress.files, progress.failed = waiter.arrived, waiter.failed
            progress.bytes = waiter.arrived_bytes
            progress.show()
            if self._stop.is_set():
                raise Interrupted(f"stopped; {waiter.waiting} files are not reported yet")
            if time.monotonic() > deadline:
                return False
        return True

    def _conclude(self, *, in_time: bool) -> int:
        """Log the result in one or two lines; return the exit status."""
        waiter = self._waiter
        problems = f", {self._problems} not" if self._problems else ""
        log.info("%d announced%s", self._announced, problems)
        if waiter is not None:
            late = f", {waiter.waiting} not reported in time" if waiter.waiting else ""
            log.info("%d arrived, %d failed%s", waiter.arrived, waiter.failed, late)
        if not in_time:
            return EX_TEMPFAIL
        return EX_FAILED if self._problems or (waiter and waiter.failed) else EX_OK


if __name__ == "__main__":
    sys.exit(main())
