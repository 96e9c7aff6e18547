"""Announce files and directory trees, so that a sender takes them to their destination.

Each path is announced on the broker: small files with their identity, files larger than the block
size as blocks.  With --wait the command ends when every file is reported, and its exit status tells
whether all arrived.  With --watch it goes on announcing what is completed, changed, renamed or
removed under the directories given.
"""

from __future__ import annotations

import itertools
import logging
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
from sarra_lite.errors import (
    EX_FAILED,
    EX_OK,
    EX_TEMPFAIL,
    Interrupted,
    SarraError,
    UsageError,
)
from sarra_lite.posting import lookahead, scan
from sarra_lite.posting.announcer import Announcer
from sarra_lite.posting.waiter import ReportWaiter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

    from sarra_lite.broker.client import Broker
    from sarra_lite.messages.v03 import Announcement

log = logging.getLogger("sarra_lite")

_READ: Final = 65536
EXAMPLES: Final = (
    ("Announce a directory, and wait until each file is reported:", "sr_post --wait data/"),
    (
        "Announce what find(1) finds, whatever is in the names:",
        "find data -name '*.nc' -print0 | sr_post --null -",
    ),
    ("Cut files larger than 256 MiB into blocks:", "sr_post --block-size 256Mi big.bin"),
    ("Let a file go at the destination, too:", "sr_post --remove data/old.nc"),
    ("Announce whatever is completed in a directory:", "sr_post --watch data/"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_post."""
    parser = arguments.make_parser("sr_post", __doc__, PostConfig, EXAMPLES)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="file or directory; - reads paths")
    parser.add_argument("-0", "--null", action="store_true", help="paths from - end with NUL")
    parser.add_argument("--wait", action="store_true", help="return when every file is reported")
    parser.add_argument(
        "--timeout", metavar="DURATION", help="with --wait: give up waiting after this, as in 5m"
    )
    parser.add_argument("--watch", action="store_true", help="go on announcing what changes")
    parser.add_argument(
        "--remove", action="store_true", help="announce that the paths are gone, to remove them"
    )
    parser.add_argument(
        "--renamed-from", metavar="OLD", help="announce that OLD is now called PATH"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run sr_post; return its exit status."""
    return runtime.run(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    parser = make_parser()
    args, config = arguments.configured(parser, argv, PostConfig)
    runtime.log_to_stderr(config.logLevel)
    _check(args)
    stop = runtime.stop_on_signals()
    if args.watch:
        from sarra_lite.commands import post_watch  # noqa: PLC0415  inotify and sqlite, for this only

        return post_watch.serve(args.paths, config, stop)
    return _Posting(config, args, stop).run()


def _check(args: argparse.Namespace) -> None:
    """Refuse command lines that make no sense."""
    if not args.paths:
        raise UsageError("no PATH given; see sr_post --help")
    if args.watch and (args.wait or args.remove or args.renamed_from or "-" in args.paths):
        raise UsageError("--watch takes directories, and none of --wait, --remove, --renamed-from")
    if args.renamed_from and (len(args.paths) != 1 or args.remove):
        raise UsageError("--renamed-from takes exactly one PATH, the new name")
    if args.timeout and not args.wait:
        raise UsageError("--timeout is for --wait")


def paths_from(stream: Iterable[bytes | None], separator: bytes) -> Iterator[str | None]:
    """Names from chunks of bytes, as ``find -print0`` writes them.  Any byte may be in a name.

    ``None``, where the next chunk may be long in coming, is passed on.
    """
    rest = b""
    for chunk in stream:
        if chunk is None:
            yield None
            continue
        *names, rest = (rest + chunk).split(separator)
        yield from (os.fsdecode(name) for name in names if name)
    if rest:
        yield os.fsdecode(rest)


def _paths(args: argparse.Namespace) -> Iterator[str | None]:
    """Paths as given; ``None`` before what must be waited for."""
    for path in args.paths:
        if path == "-":
            yield from paths_from(_chunks(sys.stdin.fileno()), b"\0" if args.null else b"\n")
        else:
            yield path


def _chunks(descriptor: int) -> Iterator[bytes | None]:
    """What can be read; ``None`` when there is nothing yet."""
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
        if not (chunk := os.read(descriptor, _READ)):
            return
        yield chunk


class _Posting:
    """One run of sr_post without --watch."""

    def __init__(self, config: PostConfig, args: argparse.Namespace, stop: Event) -> None:
        self._config = config
        self._args = args
        self._problems = 0
        self._announced = 0
        self._stop = stop
        self._waiter = ReportWaiter(config.report_stream, log.warning) if args.wait else None
        self._announcer = Announcer(
            config,
            connections.broker_factory(config, "sr_post"),
            stop,
            self._opened,
            lambda _: None,
        )
        self._progress = Progress("arrived" if args.wait else "announced", quiet=args.quiet)

    def run(self) -> int:
        """Announce all, wait if asked to, and say how it went."""
        with self._announcer, self._progress:
            for announcement in self._announcements():
                if self._waiter is not None:
                    self._waiter.expect(announcement)
                self._announcer.post(announcement)
                self._announcer.collect()
                self._show(announcement)
            self._announcer.flush()
            self._warn_unroutable()
            in_time = self._wait()
        return self._conclude(in_time=in_time)

    def _opened(self, broker: Broker) -> None:
        """Set up what must exist before the first announcement on a new connection."""
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
            paths = scan.walk(_paths(args), self._problem)
            for made in lookahead.in_order(paths, self._takes_long, self._made):
                if self._stop.is_set():
                    raise Interrupted("stopped before all paths were announced; run it again")
                yield from self._accepted(made)

    def _takes_long(self, path: str) -> bool:
        return scan.takes_long(path, self._config)

    def _made(self, path: str) -> Iterator[Announcement]:
        """Return the announcements of one path, all that is to be read for it being read."""
        found = scan.announcements(path, self._config)
        first = next(found, None)
        return iter(()) if first is None else itertools.chain([first], found)

    def _accepted(self, made: Callable[[], Iterator[Announcement]]) -> Iterator[Announcement]:
        """Announcements of one path; a path that cannot be announced is told and counted."""
        try:
            found = made()
            if (first := next(found, None)) is not None and matching.accepts(self._config, first):
                self._announced += 1
                yield from itertools.chain([first], found)
        except UsageError:
            raise
        except SarraError as error:
            self._problem(str(error))

    def _problem(self, line: str) -> None:
        self._problems += 1
        log.error("%s", line)

    def _show(self, announcement: Announcement) -> None:
        if announcement.block is None:
            self._progress.of_files += 1
            self._progress.of_bytes += announcement.size or 0
        if self._waiter is None:
            self._progress.files = self._progress.of_files
            self._progress.bytes = self._progress.of_bytes
        self._progress.show()

    def _warn_unroutable(self) -> None:
        if count := self._announcer.unroutable:
            log.warning(
                "%d of %d announcements reached no queue, so nobody will send them: start sr_sender"
                " once on exchange %s, or set queueName, and post again",
                count,
                self._announcer.published,
                self._config.exchange_name,
            )

    def _wait(self) -> bool:
        """Wait until all is reported; False when time ran out."""
        waiter, progress = self._waiter, self._progress
        if waiter is None:
            return True
        if self._announcer.unroutable:
            raise SarraError("not waiting for files that nobody will send")
        limit = units.parse_duration(self._args.timeout) if self._args.timeout else None
        started = time.monotonic()
        while waiter.waiting:
            self._announcer.collect()
            waiter.collect(0.2)
            progress.files, progress.failed = waiter.arrived, waiter.failed
            progress.bytes = waiter.arrived_bytes
            progress.show()
            if self._stop.is_set():
                raise Interrupted(f"stopped; {waiter.waiting} files are not reported yet")
            if limit is not None and time.monotonic() - started > limit:
                return False
        return True

    def _conclude(self, *, in_time: bool) -> int:
        """Say in one line how it went; return the exit status."""
        waiter = self._waiter
        log.info(
            "%d announced%s", self._announced, f", {self._problems} not" if self._problems else ""
        )
        if waiter is not None:
            late = f", {waiter.waiting} not reported in time" if waiter.waiting else ""
            log.info("%d arrived, %d failed%s", waiter.arrived, waiter.failed, late)
        if not in_time:
            return EX_TEMPFAIL
        return EX_FAILED if self._problems or (waiter and waiter.failed) else EX_OK


if __name__ == "__main__":
    sys.exit(main())
