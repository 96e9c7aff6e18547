"""Our programs beside sr3 and OpenSSH's sftp, in turns, in one run; medians and ratios.

``python -m bench.run [--rounds 3]``.  Times are of whole commands, start-up and connecting
included.  Absolute figures mean little on a shared machine; the ratios mean more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site
from tests.lab.sr3 import Sr3
from tests.lab.sshd import Sshd
from tests.lab.trees import write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1024 * 1024
_PATIENCE = 600.0  # seconds that any peer has


class Case(NamedTuple):
    """What is measured: so much of a unit, by each peer."""

    title: str
    amount: float
    unit: str
    peers: dict[str, Callable[[], float]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser("bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each peer (default: 3)")
    rounds = parser.parse_args().rounds
    memory = Path("/dev/shm")  # noqa: S108  disks would be measured otherwise
    base = memory if shutil.disk_usage(memory).free > 4096 * MIB else None
    with tempfile.TemporaryDirectory(dir=base) as name:
        directory = Path(name)
        with Rabbit(directory / "rabbit") as rabbit, Sshd(directory / "sshd") as sshd:
            bench = _Bench(Site(rabbit, sshd, directory / "site"))
            print(f"{rounds} rounds, {os.cpu_count()} processors, files in {base or 'a disk'}")
            for case in (bench.posts(5000), bench.small_files(1000), bench.large_file(512)):
                _measure(case, rounds)
    return 0


def _measure(case: Case, rounds: int) -> None:
    """Let the peers take turns, so that what else the machine does meets all of them."""
    took: dict[str, list[float]] = {peer: [] for peer in case.peers}
    for _ in range(rounds):
        for peer, run in case.peers.items():
            took[peer].append(run())
    ours = statistics.median(took["sarra_lite"])
    print(f"\n{case.title}")
    for peer, seconds in took.items():
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f}-{max(seconds):.2f}"
        print(
            f"  {peer:<12} {case.amount / median:9.1f} {case.unit:<9} {median:7.2f} s ({spread})"
            f"   sarra_lite is {median / ours:.2f} x"
        )
        sys.stdout.flush()


class _Bench:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.sr3 = Sr3(site)
        self.sr3.configure("post")
        self.sr3.configure("sender")
        self.sr3.ours("post", 'identity = "sha512"\n')
        self.sr3.ours("sender")
        site.run("sr_sender", "--declare")

    def posts(self, count: int) -> Case:
        """Announce a tree, with the identity of each file."""

        def ours() -> float:
            with self._files(count, 1024):
                return self._timed(lambda: self.site.run("sr_post", self.site.source))

        def theirs() -> float:
            with self._files(count, 1024):
                return self._timed(
                    lambda: self.sr3.run("sr3_post", "-c", "earnest", "-p", self._dir)
                )

        title = f"announce {count} files of 1 KiB"
        return Case(title, count, "posts/s", {"sarra_lite": ours, "sr3": theirs})

    def small_files(self, count: int) -> Case:
        """Send many small files that are announced already."""
        return self._sending(f"send {count} files of 10 KiB", count, "files/s", count, 10 * 1024)

    def large_file(self, size: int) -> Case:
        """Send one large file: in blocks over two connections, in one piece by the others."""
        title = f"send one file of {size} MiB"
        return self._sending(title, size * MIB / 1e6, "MB/s", 1, size * MIB)

    def _sending(self, title: str, amount: float, unit: str, count: int, size: int) -> Case:
        def ours() -> float:
            with self._files(count, size):
                self.site.run("sr_post", self.site.source)
                return self._timed(lambda: self.site.drain(timeout=_PATIENCE))

        def theirs() -> float:
            with self._files(count, size):
                self.site.run("sr_post", "--block-size", "1", self.site.source)
                return self._timed(self._sr3_sends)

        def plain() -> float:
            with self._files(count, size):
                return self._timed(self._sftp)

        return Case(title, amount, unit, {"sarra_lite": ours, "sr3": theirs, "sftp": plain})

    def _sr3_sends(self) -> None:
        """Run an sr3 sender until all has landed, for it never ends by itself."""
        want = self._total(self.site.source)
        with self.sr3.running("sender/earnest"):
            deadline = time.monotonic() + _PATIENCE
            while self._total(self.site.dest) != want and time.monotonic() < deadline:
                time.sleep(0.02)

    def _sftp(self) -> None:
        site = self.site
        flags = site.sshd.client_options(site.known_hosts)
        where = ["-P", str(site.sshd.port), f"{site.sshd.user}@{site.sshd.address}"]
        subprocess.run(
            ["sftp", "-q", *flags, "-b", "-", *where],
            input=f"put -r {site.source}/. {site.dest}\n".encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )

    @property
    def _dir(self) -> str:
        return str(self.site.source)

    @contextmanager
    def _files(self, count: int, size: int) -> Iterator[None]:
        """Have so many files at the source, none at the destination, and an empty queue."""
        write_files(self.site.source, count, size)
        try:
            yield
        finally:
            for top in (self.site.source, self.site.dest):
                shutil.rmtree(top)
                top.mkdir()
            with self.site.rabbit.channel() as channel:
                channel.queue_purge(self.site.queue)

    @staticmethod
    def _timed(run: Callable[[], object]) -> float:
        began = time.monotonic()
        run()
        return time.monotonic() - began

    @staticmethod
    def _total(top: Path) -> int:
        """Bytes of the files below a directory."""
        return sum(p.stat().st_size for p in top.rglob("f*") if not p.name.startswith("."))


if __name__ == "__main__":
    sys.exit(main())
