"""The transfer engine alone: sends a directory to an SFTP server, without a broker.

``python -m bench.engine SOURCE sftp://USER@HOST:PORT/ DEST KEY KNOWN_HOSTS [CONNECTIONS]``: every
file is announced to the lanes as sr_sender would after taking it from its queue, large ones in
blocks.  Prints the seconds from the first to the last, connecting included.
"""

from __future__ import annotations

import queue
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sarra_lite import blocks, units
from sarra_lite.credentials import parse_url
from sarra_lite.errors import TransferError
from sarra_lite.job import Job
from sarra_lite.lanes import Done, Down, Fatal, Lanes
from sarra_lite.limit import Limit
from sarra_lite.message import Announcement, now
from sarra_lite.sftp import Connection
from sarra_lite.ssh import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


def announced(source: Path) -> Iterator[tuple[Announcement, Path]]:
    """Yield what sr_post would announce of the files of a tree, without fingerprints."""
    moment = now()
    for path in sorted(source.rglob("*")):
        if not path.is_file():
            continue
        found = path.stat()
        whole = Announcement(
            pub_time=moment,
            base_url="file:",
            rel_path=str(path.relative_to(source)),
            size=found.st_size,
            mtime=units.time_string(found.st_mtime_ns),
            mode=0o644,
        )
        if blocks.to_be_cut(whole, 0):
            yield from ((piece, path) for piece in blocks.cut(whole, 0))
        else:
            yield whole, path


def main() -> int:
    """Send; return 0 when every file arrived."""
    source, url, dest, key, known_hosts, *more = sys.argv[1:]
    endpoint = parse_url(url, ["sftp"])
    target = Target(endpoint, key, known_hosts, program=True, timeout=60.0)
    told: queue.SimpleQueue[Done | Down | Fatal] = queue.SimpleQueue()
    began = time.monotonic()
    lanes = Lanes(
        int(more[0]) if more else 0,
        lambda: Connection(target),
        Limit(0),
        told.put,
        lambda _: None,
    )
    count = 0
    for announcement, path in announced(Path(source)):
        lanes.submit(Job(announcement, str(path), f"{dest}/{announcement.rel_path}"))
        count += 1
    while count:
        event = told.get(timeout=600)
        if isinstance(event, Fatal):
            raise event.error
        if isinstance(event, Down):
            continue
        if isinstance(event.result, TransferError):
            raise event.result
        if event.result.wait is not None:
            time.sleep(min(event.result.wait, 0.02))
            lanes.submit(event.job)
        else:
            count -= 1
    print(f"{time.monotonic() - began:.3f}")
    lanes.close(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
