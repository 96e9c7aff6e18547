"""The transfer engine alone: sends a directory to an SFTP server, without a broker.

``python -m bench.engine SOURCE sftp://USER@HOST:PORT/ DEST KEY KNOWN_HOSTS``: every file is handed
to the lanes as sr_sender would after taking it from its queue, large ones in blocks.  Prints the
seconds from the first to the last, connecting included; with ``--open`` not included, as in a
sender that has been at work before.
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


_WARM: Final = 8 * 1024 * 1024  # bytes; more than a lane takes at once, so each lane gets its own


def announcement_of(path: Path, name: str) -> Announcement:
    """Return what sr_post would announce of one file."""
    found = path.stat()
    return Announcement(
        pub_time=now(),
        base_url="file:",
        rel_path=name,
        size=found.st_size,
        mtime=units.time_string(found.st_mtime_ns),
        mode=0o644,
    )


def announced(source: Path) -> Iterator[tuple[Announcement, Path]]:
    """Yield what sr_post would announce of the files of a tree, without fingerprints."""
    for path in sorted(source.rglob("*")):
        if not path.is_file():
            continue
        whole = announcement_of(path, str(path.relative_to(source)))
        if blocks.should_split(whole, 0):
            yield from ((piece, path) for piece in blocks.split(whole, 0))
        else:
            yield whole, path


class Engine:
    """Lanes, and the connections that they have made."""

    def __init__(self, target: Target, connections: int) -> None:
        """``connections`` 0: as many as the distance wants."""
        self._told: queue.SimpleQueue[Done | Down | Fatal] = queue.SimpleQueue()
        self._target = target
        self._count = connections
        self._made: list[SftpClient] = []
        self.pool = WorkerPool(
            connections, self._connect, RateLimit(0), self._told.put, lambda _: None
        )

    def _connect(self) -> SftpClient:
        self._made.append(SftpClient(self._target))
        return self._made[-1]

    def warm_up(self, dest: str) -> None:
        """Send a file over each connection, so that all are open and at speed."""
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(bytes(_WARM))
            file.flush()
            sent = 0
            while not self._all_open():
                batch = 2 * max(1, len(self._made))
                for number in range(sent, sent + batch):
                    found = announcement_of(Path(file.name), f"warm{number}")
                    self.pool.submit(Job(found, file.name, f"{dest}-warm-up/{number}"))
                self.finish(batch)
                sent += batch

    def _all_open(self) -> bool:
        trips = [one.round_trip for one in self._made if one.round_trip]
        return bool(trips) and len(trips) >= (self._count or connections_for(min(trips)))

    def send(self, source: Path, dest: str) -> None:
        """Send a tree; raises SarraError."""
        count = 0
        for announcement, path in announced(source):
            self.pool.submit(Job(announcement, str(path), f"{dest}/{announcement.rel_path}"))
            count += 1
        self.finish(count)

    def finish(self, count: int) -> None:
        """Return when so many jobs are done."""
        while count:
            event = self._told.get(timeout=600)
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
    """Send; return 0 when every file arrived."""
    parser = argparse.ArgumentParser(description="The transfer engine alone, without a broker.")
    for name in ("source", "url", "dest", "key", "known_hosts"):
        parser.add_argument(name)
    parser.add_argument("--connections", type=int, default=0, help="0: as the distance wants")
    parser.add_argument("--open", action="store_true", help="open all connections, then begin")
    asked = parser.parse_args()
    endpoint = parse_url(asked.url, ["sftp"])
    target = Target(endpoint, asked.key, asked.known_hosts, program=True, timeout=60.0)
    began = time.monotonic()
    engine = Engine(target, asked.connections)
    if asked.open:
        engine.warm_up(asked.dest)
        began = time.monotonic()
    engine.send(Path(asked.source), asked.dest)
    print(f"{time.monotonic() - began:.3f}")
    engine.pool.close(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
