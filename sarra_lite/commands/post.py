"""Announce files and directory trees, so that a sender pushes them to their destination.

Each path is announced on the broker: a small file with its checksum, a file larger than the block
size as blocks.  With --wait the command waits for the reports on all files; its exit status shows
whether all arrived.  With --watch it keeps running and announces files that are completed, changed,
renamed or removed below the given directories.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime, units
from sarra_lite.broker import topology
from sarra_lite.commands import arguments, connections
from sarra_lite.commands.progress import Progress
from sarra_lite.config.commands import PostConfig
from sarra_lite.errors import (
    EX_FAILED,
    EX_OK,
    EX_TEMPFAIL,
    BrokerError,
    Interrupted,
    SarraError,
    UsageError,
)
from sarra_lite.posting import scan
from sarra_lite.posting.announcer import Announcer
from sarra_lite.posting.waiter import ReportWaiter
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.v03 import Announcement

_BATCH_SIZE: Final = 500  # announcements
_BATCH_SECONDS: Final = 0.02
_TURN: Final = 0.2  # seconds between two looks at the time-out
_PATIENCE: Final = 60.0  # seconds to reconnect
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
        "--timeout",
        metavar="DURATION",
        type=units.parse_duration,
        help="with --wait: stop waiting after, for example, 5m",
    )
    parser.add_argument("--watch", action="store_true", help="keep running and announce changes")
    parser.add_argument(
        "--accept-removals",
        action="store_true",
        help="with --watch: what is missing at the start was removed, however much it is",
    )
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
    if args.watch:
        from sarra_lite.commands import post_watch  # noqa: PLC0415  imports inotify and sqlite

        return post_watch.serve(args.paths, config, accept_removals=args.accept_removals)
    return runtime.run_loop(_post(config, args))


async def _post(config: PostConfig, args: argparse.Namespace) -> int:
    """Announce all paths, wait for reports if asked to, and return the exit status."""
    stop = runtime.stop_on_signals()
    declare = partial(topology.declare_for_user, reports=args.wait)
    with Progress("arrived" if args.wait else "announced", quiet=args.quiet) as progress:
        posting = _Posting(config, args, progress, stop)
        work = posting.work
        if not await connections.keep_connected(config, declare, work, stop, 0.0, _PATIENCE):
            raise posting.announcer.interrupted()
    return posting.conclude()


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that cannot be combined."""
    if not args.paths:
        raise UsageError("no PATH given; see sr_post --help")
    if args.watch and (args.wait or args.remove or args.renamed_from or "-" in args.paths):
        raise UsageError("--watch takes directories, and none of --wait, --remove, --renamed-from")
    if args.renamed_from and (len(args.paths) != 1 or args.remove):
        raise UsageError("--renamed-from takes exactly one PATH, the new name")
    if args.timeout is not None and not args.wait:
        raise UsageError("--timeout is for --wait")


def _path_lists(args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the paths of the command line; those from standard input as soon as they are read."""
    for from_stdin, paths in itertools.groupby(args.paths, "-".__eq__):
        if from_stdin:
            yield from scan.read_paths(sys.stdin.fileno(), b"\0" if args.null else b"\n")
        else:
            yield list(paths)


def _batches(announcements: Iterable[Announcement]) -> Iterator[list[Announcement]]:
    """Yield announcements in lists that are not larger, and do not take longer, than a batch."""
    batch: list[Announcement] = []
    until = 0.0
    for announcement in announcements:
        batch.append(announcement)
        if len(batch) == _BATCH_SIZE or time.monotonic() > until:
            yield batch
            batch, until = [], time.monotonic() + _BATCH_SECONDS
    yield batch


class _Posting:
    """One run of sr_post without --watch.

    Paths are listed and read in a thread, which alternates with the loop: it collects a batch of
    announcements, the loop publishes them.
    """

    def __init__(
        self, config: PostConfig, args: argparse.Namespace, progress: Progress, stop: asyncio.Event
    ) -> None:
        self.announcer = Announcer(config, stop)
        self._config = config
        self._args = args
        self._progress = progress
        self._stop = stop
        self._problems = 0
        self._deadline: float | None = None
        self._waiter = ReportWaiter(config.report_stream)  # used with --wait only
        announcements = map(self._announcements, _path_lists(args))
        self._batches = itertools.chain.from_iterable(map(_batches, announcements))

    async def work(self, broker: Broker) -> None:
        """Do with one connection what is not done yet."""
        if self._args.wait:
            await self._waiter.follow(broker)
        self.announcer.attach(broker)
        while (batch := await self._next_batch()) is not None:
            await self._post_batch(batch)
        await self.announcer.wait_until_confirmed()
        self.announcer.warn_unroutable("post again")
        if self._args.wait:
            await self._wait()

    async def _next_batch(self) -> list[Announcement] | None:
        """Return announcements, None after the last."""
        batch = asyncio.to_thread(lambda: next(self._batches, None))
        reason = "stopped before all paths were announced; run it again"
        return await runtime.unless_stopped(self._stop, batch, reason)

    async def _post_batch(self, batch: list[Announcement]) -> None:
        progress = self._progress
        for announcement in batch:
            if self._args.wait:
                self._waiter.expect(announcement)
            if announcement.block is None:
                progress.of_files += 1
                progress.of_bytes += announcement.size or 0
        if not self._args.wait:
            progress.files, progress.bytes = progress.of_files, progress.of_bytes
        progress.show()
        await self.announcer.post(batch)

    def _announcements(self, paths: list[str]) -> Iterator[Announcement]:
        """Yield the announcements of paths, as the flags say; in a thread."""
        args, config = self._args, self._config
        if args.renamed_from:
            yield from (scan.renaming(args.renamed_from, path, config) for path in paths)
        elif args.remove:
            yield from (scan.removal(path, config, is_dir=path.endswith("/")) for path in paths)
        else:
            walked = scan.walk(paths, self._report_problem)
            for result in scan.in_order(walked, config):
                yield from self._accepted(result)

    def _accepted(self, result: Callable[[], Iterable[Announcement]]) -> Iterator[Announcement]:
        """Yield the announcements of one path, or log and count the reason why there are none."""
        try:
            yield from filter(self._config.accepts, result())
        except UsageError:
            raise
        except SarraError as error:
            self._report_problem(str(error))

    def _report_problem(self, line: str) -> None:
        self._problems += 1
        log.error("%s", line)

    async def _wait(self) -> None:
        """Wait until all files are reported, or the timeout has passed."""
        if self.announcer.unroutable:
            raise SarraError("not waiting for files that nobody will send")
        if self._deadline is None:
            timeout = math.inf if self._args.timeout is None else self._args.timeout
            self._deadline = time.monotonic() + timeout
        progress, waiter = self._progress, self._waiter
        while waiter.waiting and time.monotonic() <= self._deadline:
            await self.announcer.wait_until_confirmed()  # a lost connection is noticed, too
            await runtime.wait_for_any(_TURN, self._stop, waiter.changed)
            waiter.changed.clear()
            if waiter.lost:
                raise BrokerError(waiter.lost)
            progress.files, progress.failed = waiter.arrived, waiter.failed
            progress.bytes = waiter.arrived_bytes
            progress.show()
            if self._stop.is_set():
                raise Interrupted(f"stopped; {waiter.waiting} files are not reported yet")

    def conclude(self) -> int:
        """Log the result in one or two lines; return the exit status."""
        waiter = self._waiter
        problems = f", {self._problems} not" if self._problems else ""
        log.info("%d announced%s", self._progress.of_files, problems)
        if self._args.wait:
            late = f", {waiter.waiting} not reported in time" if waiter.waiting else ""
            log.info("%d arrived, %d failed%s", waiter.arrived, waiter.failed, late)
        if waiter.waiting:
            return EX_TEMPFAIL
        return EX_FAILED if self._problems or waiter.failed else EX_OK
