"""Sends a directory to an SFTP server with the worker pool of sr_sender, without a broker.

``python -m bench.engine SOURCE sftp://USER@HOST:PORT/ DEST KEY KNOWN_HOSTS``: every file is
submitted to the pool as sr_sender does with an announcement, large files in blocks.  Prints the
seconds for all files.  They include connecting; with ``--open`` they do not, as for a sender whose
connections are open already.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.config.credentials import parse_url
from sarra_lite.delivery.job import Job
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.dispatch.autoscale import connections_for
from sarra_lite.dispatch.pool import Done, Down, Fatal, WorkerPool
from sarra_lite.errors import TransferError
from sarra_lite.messages import blocks
from sarra_lite.messages.v03 import Announcement, now
from sarra_lite.sftp.client import SftpClient
from sarra_lite.sftp.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


# Bytes of a warm-up file: more than a worker takes at once, so that each worker gets one.
_WARM_UP_SIZE: Final = 8 * 1024 * 1024


def announcement_of(path: Path, name: str) -> Announcement:
    """Return the announcement that sr_post would publish for a file, without identity."""
    status = path.stat()
    return Announcement(
        pub_time=now(),
        base_url="file:",
        rel_path=name,
        size=status.st_size,
        mtime=units.time_string(status.st_mtime_ns),
        mode=0o644,
    )


def announcements(source: Path) -> Iterator[tuple[Announcement, Path]]:
    """Yield the announcements and paths of the files of a tree, large files in blocks."""
    for path in sorted(source.rglob("*")):
        if not path.is_file():
            continue
        whole = announcement_of(path, str(path.relative_to(source)))
        if blocks.should_split(whole, 0):
            yield from ((block, path) for block in blocks.split(whole, 0))
        else:
            yield whole, path


class Engine:
    """The worker pool, and the connections that it has opened."""

    def __init__(self, target: Target, connections: int) -> None:
        """Start the pool; with ``connections`` 0 it chooses their number by the round trip."""
        self._events: queue.SimpleQueue[Done | Down | Fatal] = queue.SimpleQueue()
        self._target = target
        self._count = connections
        self._clients: list[SftpClient] = []
        self.pool = WorkerPool(
            connections, self._connect, RateLimit(0), self._events.put, lambda _: None
        )

    def _connect(self) -> SftpClient:
        self._clients.append(SftpClient(self._target))
        return self._clients[-1]

    def warm_up(self, dest: str) -> None:
        """Send files until all connections are open and have sent some."""
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(bytes(_WARM_UP_SIZE))
            file.flush()
            sent = 0
            while not self._all_open():
                batch = 2 * max(1, len(self._clients))
                for number in range(sent, sent + batch):
                    announcement = announcement_of(Path(file.name), f"warm{number}")
                    self.pool.submit(Job(announcement, file.name, f"{dest}-warm-up/{number}"))
                self.finish(batch)
                sent += batch

    def _all_open(self) -> bool:
        round_trips = [client.round_trip for client in self._clients if client.round_trip]
        return bool(round_trips) and len(round_trips) >= (
            self._count or connections_for(min(round_trips))
        )

    def send(self, source: Path, dest: str) -> None:
        """Send a tree; raise SarraError."""
        count = 0
        for announcement, path in announcements(source):
            self.pool.submit(Job(announcement, str(path), f"{dest}/{announcement.rel_path}"))
            count += 1
        self.finish(count)

    def finish(self, count: int) -> None:
        """Wait until ``count`` jobs are done."""
        while count:
            event = self._events.get(timeout=600)
            if isinstance(event, Fatal):
                raise event.error
            if isinstance(event, Down):
                continue
            if isinstance(event.result, TransferError):
                raise event.result
            if event.result.wait is not None:
                time.sleep(min(event.result.wait, 0.02))
                self.pool.submit(event.job)
            else:
                count -= 1


def main() -> int:
    """Send the directory; return 0 when every file has arrived."""
    parser = argparse.ArgumentParser(description="The transfer engine alone, without a broker.")
    for name in ("source", "url", "dest", "key", "known_hosts"):
        parser.add_argument(name)
    parser.add_argument("--connections", type=int, default=0, help="0: as the distance wants")
    parser.add_argument("--open", action="store_true", help="open all connections, then begin")
    options = parser.parse_args()
    endpoint = parse_url(options.url, ["sftp"])
    target = Target(endpoint, options.key, options.known_hosts, program=True, timeout=60.0)
    start = time.monotonic()
    engine = Engine(target, options.connections)
    if options.open:
        engine.warm_up(options.dest)
        start = time.monotonic()
    engine.send(Path(options.source), options.dest)
    print(f"{time.monotonic() - start:.3f}")
    engine.pool.close(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
