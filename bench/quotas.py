"""Measures what a group's share of the bandwidth is worth: ``python -m bench.quotas``.

Two users of one group send at once, each with a sender on each of two hosts (network namespaces),
while two sr_quota run.  The bytes that arrive are counted for each sender, and those that leave
each host at its network interface.  Then one user stops, then the active sr_quota is killed, and
at last a group that has saved a burst sends it.  Writes docs/benchmarks/quotas/.
Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.install import ROOT
from bench.lines import in_namespace
from bench.quota_report import Phase, Quotas, publish
from bench.usage import Tree
from tests.lab.quota import Quota
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site, wait_until
from tests.lab.sshd import Sshd
from tests.lab.trees import write_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.lab.site import Running

HOSTS: Final = (1, 2)
_MB: Final = 1_000_000
_FILE: Final = 8 << 20  # bytes
_EVERY: Final = 0.25  # seconds between two samples
_SETTLE: Final = 2.0  # seconds of sending before a phase is measured
_BURST: Final = 5  # seconds, of the group in the phases but the last


class Sender(NamedTuple):
    """A sender of a user on a host, and where its files arrive."""

    site: Site
    host: int
    name: str
    dest: Path


class Counter:
    """Counts, each quarter of a second, the bytes that have arrived from each sender."""

    def __init__(self, senders: list[Sender]) -> None:
        """Set what is counted."""
        self._senders = senders
        self._stop = threading.Event()
        self.samples: list[tuple[float, list[int]]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count in a thread."""
        thread = threading.Thread(target=self._count)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _count(self) -> None:
        while not self._stop.wait(_EVERY):
            self.samples.append((time.monotonic(), [arrived(one.dest) for one in self._senders]))

    def between(self, begin: float, end: float) -> tuple[float, list[float]]:
        """Return the seconds between the samples next to two times, and each sender's bytes."""
        samples = [(at, counts) for at, counts in self.samples if begin <= at <= end]
        (first, before), (last, after) = samples[0], samples[-1]
        return last - first, [b - a for a, b in zip(before, after, strict=True)]


def arrived(directory: Path) -> int:
    """Return the bytes in a directory, also of files that are not complete."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # renamed meanwhile
                total += (Path(folder) / name).stat().st_blocks * 512
    return total


@contextmanager
def hosts() -> Iterator[None]:
    """Create the hosts of the senders, each with a link of its own to the servers."""
    with ExitStack() as stack:
        for host in HOSTS:
            name, near, far = f"sarra-host{host}", f"sarra-n{host}", f"sarra-f{host}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "delete", name)
            _ip("link", "add", far, "type", "veth", "peer", "name", near, "netns", name)
            _ip("address", "add", f"10.223.{host}.1/24", "dev", far)
            _ip("link", "set", far, "up")
            for command in (f"address add 10.223.{host}.2/24 dev {near}", f"link set {near} up"):
                _ip("-n", name, *command.split())
            _ip("-n", name, "route", "add", "default", "via", f"10.223.{host}.1")
        yield


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def cpu_seconds(processes: Iterable[Running]) -> float:
    """Return the processor time that processes, with ssh below them, have used."""
    return Tree(*(process.pid for process in processes)).cpu()


def wire_bytes() -> int:
    """Return the bytes that the servers have received from the hosts, with all overhead."""
    counters = (Path(f"/sys/class/net/sarra-f{host}/statistics/rx_bytes") for host in HOSTS)
    return sum(int(counter.read_text()) for counter in counters)


class Bench:
    """The servers, the group, its two users and their senders."""

    def __init__(self, stack: ExitStack, directory: Path, rate: float, seconds: float) -> None:
        """Start the servers; ``rate`` in bytes a second, ``seconds`` of the first phase."""
        self.rate, self.seconds = rate, seconds
        self._stack = stack
        address = "10.223.1.1"
        rabbit = stack.enter_context(Rabbit(directory / "rabbit", address=address))
        sshd = stack.enter_context(Sshd(directory / "sshd", address=address))
        self.members = [Site(rabbit, sshd, directory / name) for name in ("one", "two")]
        self.quota = Quota(self.members[0], f"{rate * 8 / _MB} Mbit/s", burst=f"{_BURST}s")
        self.quota.admit(*self.members)
        self.senders = [self._sender(site, host) for site in self.members for host in HOSTS]
        self.counter = Counter(self.senders)

    def _sender(self, site: Site, host: int) -> Sender:
        """Configure a sender with a queue and a destination of its own."""
        name, dest = f"host{host}", site.directory / f"dest{host}"
        dest.mkdir()
        file = site.configure("sender", f'grants = "{self.quota.queue}"\n', name)
        file.write_text(file.read_text().replace(str(site.dest), str(dest)))
        site.run("sr_sender", "-c", name, "--declare")
        return Sender(site, host, name, dest)

    def post(self, count: int) -> None:
        """Announce so many files of each user; each of his senders sends all of them."""
        for site in self.members:
            write_files(site.source, count, _FILE)
            site.run("sr_post", "--quiet", site.source, timeout=600)

    def start(self, sender: Sender, stack: ExitStack) -> Running:
        """Start a sender on its host."""
        with in_namespace(f"/run/netns/sarra-host{sender.host}"):
            return stack.enter_context(sender.site.running("sr_sender", "-c", sender.name))

    def phases(self) -> Iterator[Phase]:
        """Yield what each phase has measured."""
        first, second = (
            self._stack.enter_context(self.quota.site.running("sr_quota")) for _ in range(2)
        )
        wait_until(lambda: any("filling" in one.said() for one in (first, second)))
        filler, other = (first, second) if "filling" in first.said() else (second, first)
        with ExitStack() as ones, ExitStack() as twos:
            running = [
                self.start(sender, ones if sender.site is self.members[0] else twos)
                for sender in self.senders
            ]
            yield self._measure("four senders of two users", running, self.seconds, [filler])
            twos.close()
            yield self._measure("one user has stopped", running[:2], self.seconds / 3, [filler])
            filler.send_signal(signal.SIGKILL)
            yield self._measure(
                "the sr_quota that gave grants is killed",
                running[:2],
                self.seconds / 3,
                [other],
                settle=0,
            )
        time.sleep(_BURST + 2)  # grants are saved
        with ExitStack() as stack:
            running = [self.start(self.senders[0], stack)]
            yield self._measure("a burst of 5 s was saved", running, _BURST, [other], settle=0)

    def _measure(
        self,
        name: str,
        running: list[Running],
        seconds: float,
        fillers: Iterable[Running] = (),
        settle: float = _SETTLE,
    ) -> Phase:
        """Measure for so many seconds."""
        if settle:
            wait_until(lambda: self.quota.left() == 0, 120)  # the burst has gone
            time.sleep(settle)
        begin, wire = time.monotonic(), wire_bytes()
        cpu, quota_cpu = cpu_seconds(running), cpu_seconds(fillers)
        time.sleep(seconds)
        end = time.monotonic()
        sent_seconds, sent = self.counter.between(begin, end)
        return Phase(
            name=name,
            seconds=end - begin,
            rate=self.rate,
            sent=sent,
            sent_seconds=sent_seconds,
            on_the_wire=wire_bytes() - wire,
            sender_cpu=cpu_seconds(running) - cpu,
            quota_cpu=cpu_seconds(fillers) - quota_cpu,
            begin=begin,
        )


def main() -> int:
    """Measure and write the report; return the exit status."""
    parser = argparse.ArgumentParser("bench.quotas", description="A group's share of bandwidth.")
    parser.add_argument("--rate", type=float, default=160, help="Mbit/s of the group (160)")
    parser.add_argument("--seconds", type=float, default=60, help="of the first phase (60)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/quotas")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    rate = options.rate * _MB / 8
    with ExitStack() as stack:
        stack.enter_context(hosts())
        directory = stack.enter_context(tempfile.TemporaryDirectory("-sarra-bench", dir="/dev/shm"))
        bench = Bench(stack, Path(directory), rate, options.seconds)
        bench.post(int(rate * (options.seconds + 30) / _FILE))
        stack.enter_context(bench.counter.running())
        phases = list(bench.phases())
        samples = bench.counter.samples
    publish(Quotas.of(options.rate, phases, samples), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
