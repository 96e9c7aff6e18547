"""Sends a directory to an SFTP server with the worker pool of sr_sender, without a broker.

``python -m bench.engine SOURCE sftp://USER@HOST:PORT/ DEST KEY KNOWN_HOSTS``: every file is
submitted to the pool as sr_sender does with an announcement, large files in blocks.  Prints the
seconds for all files.  They include connecting; with ``--open`` they do not, as for a sender whose
connections are open already.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.delivery.job import Job
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.dispatch.pool import Done, Down, UnderWay, WorkerPool, connections_for
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
        self._left = 0  # jobs to wait for; negative: those done before
        self._error: Exception | None = None
        self._ended = asyncio.Event()
        self._target = target
        broker = parse_url("amqp://nobody@localhost/", ["amqp"])
        self._config = SenderConfig(broker=broker, sendTo=target.endpoint)
        self._count = connections
        self._clients: list[SftpClient] = []
        self.pool = WorkerPool(
            connections, self._connect, RateLimit(0), self._on_event, lambda _: None
        )

    def _connect(self) -> SftpClient:
        self._clients.append(SftpClient(self._target))
        return self._clients[-1]

    async def warm_up(self, dest: str) -> None:
        """Send files until all connections are open and have sent some."""
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(bytes(_WARM_UP_SIZE))
            file.flush()
            sent = 0
            while not self._all_open():
                batch = 2 * max(1, len(self._clients))
                for number in range(sent, sent + batch):
                    announcement = announcement_of(Path(file.name), f"warm{number}")
                    path = f"{dest}-warm-up/{number}"
                    self.pool.submit(Job(announcement, file.name, path, self._config))
                await self.finish(batch)
                sent += batch

    def _all_open(self) -> bool:
        round_trips = [client.round_trip for client in self._clients if client.round_trip]
        return bool(round_trips) and len(round_trips) >= (
            self._count or connections_for(min(round_trips))
        )

    async def send(self, source: Path, dest: str) -> None:
        """Send a tree; raise SarraError."""
        count = 0
        for announcement, path in announcements(source):
            dest_path = f"{dest}/{announcement.rel_path}"
            self.pool.submit(Job(announcement, str(path), dest_path, self._config))
            count += 1
        await self.finish(count)

    async def finish(self, count: int) -> None:
        """Wait until ``count`` more jobs are done; raise what went wrong."""
        self._left += count
        self._ended.clear()
        if self._left > 0:
            await self._ended.wait()
        if self._error is not None:
            raise self._error

    def _on_event(self, event: Done | Down | UnderWay | Exception) -> None:
        if isinstance(event, Down | UnderWay):
            return
        if isinstance(event, Exception):
            self._error = event
        elif isinstance(event.result, TransferError):
            self._error = event.result
        elif event.result.wait is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(min(event.result.wait, 0.02), self.pool.submit, event.job)
            return
        self._left -= 1
        if self._left == 0 or self._error is not None:
            self._ended.set()


async def measure(options: argparse.Namespace) -> None:
    """Send the directory; print the seconds that it took."""
    endpoint = parse_url(options.url, ["sftp"])
    target = Target(endpoint, options.key, options.known_hosts, program=True, timeout=60.0)
    start = time.monotonic()
    engine = Engine(target, options.connections)
    if options.open:
        await engine.warm_up(options.dest)
        start = time.monotonic()
    await engine.send(Path(options.source), options.dest)
    print(f"{time.monotonic() - start:.3f}")
    await engine.pool.close(1.0)


def main() -> int:
    """Send the directory; return 0 when every file has arrived."""
    parser = argparse.ArgumentParser(description="The transfer engine alone, without a broker.")
    for name in ("source", "url", "dest", "key", "known_hosts"):
        parser.add_argument(name)
    parser.add_argument("--connections", type=int, default=0, help="0: as the distance wants")
    parser.add_argument("--open", action="store_true", help="open all connections, then begin")
    asyncio.run(measure(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
