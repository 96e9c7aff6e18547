"""Our transfer engine beside its peers, on lines near and far.

``python -m bench.transfer``: one server, one source, everybody in turn, so that what else the
machine does meets all of them; medians, spreads and ratios.  Peers that Debian has are installed if
they are missing.  Needs root, for the network namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.wan import Lan, Wan
from tests.lab.sshd import Sshd
from tests.lab.trees import write_files

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parents[1]
LINES: Final[dict[str, Callable[[], Lan]]] = {
    "lan": Lan,
    "wan": lambda: Wan(1e9, 0.05),
    "lossy": lambda: Wan(1e9, 0.05, 0.0001),
}
WORKS: Final = {  # files, bytes of each
    "1 GiB": (1, 1 << 30),
    "200 MiB": (1, 200 << 20),
    "10,000 files": (10_000, 10 << 10),
    "5,000 files": (5_000, 10 << 10),
    "500 files": (500, 10 << 10),
}
GCM: Final = "Ciphers=aes128-gcm@openssh.com"
LONGEST: Final = 300  # seconds that a peer may take


@dataclass
class Stage:
    """What a peer is given: a server, a source and an empty destination."""

    sshd: Sshd
    directory: Path
    source: Path = field(init=False)
    dest: Path = field(init=False)
    known_hosts: Path = field(init=False)

    def __post_init__(self) -> None:
        """Make the directories."""
        self.source = self.directory / "source"
        self.dest = self.directory / "dest"
        self.known_hosts = self.directory / "known_hosts"
        self.known_hosts.write_text(self.sshd.host_key_line + "\n")

    @property
    def ssh(self) -> list[str]:
        """Options of everything that is like ssh."""
        return self.sshd.client_options(self.known_hosts)

    @property
    def there(self) -> str:
        """The destination as scp and rsync spell it."""
        return f"{self.sshd.user}@{self.sshd.address}:{self.dest}/"

    def fill(self, count: int, size: int) -> None:
        """Have so many files of so many bytes at the source."""
        shutil.rmtree(self.source, ignore_errors=True)
        write_files(self.source, count, size)

    def empty(self) -> None:
        """Have an empty destination, with the directories that not every peer makes."""
        shutil.rmtree(self.dest, ignore_errors=True)
        for number in range(10):
            (self.dest / f"d{number}").mkdir(parents=True)

    def complete(self) -> bool:
        """Whether all has arrived, by names and sizes."""
        return self._sizes(self.source) == self._sizes(self.dest)

    @staticmethod
    def _sizes(top: Path) -> dict[str, int]:
        paths = (path for path in top.rglob("*") if path.is_file())
        return {str(path.relative_to(top)): path.stat().st_size for path in paths}


def engine(stage: Stage) -> list[str]:
    """Our engine, with nothing set."""
    where = [str(stage.source), stage.sshd.url, str(stage.dest)]
    keys = [str(stage.sshd.user_key), str(stage.known_hosts)]
    return [sys.executable, "-m", "bench.engine", *where, *keys]


def sftp(stage: Stage, *options: str) -> list[str]:
    """OpenSSH's sftp, which reads what to do from its standard input."""
    login = f"{stage.sshd.user}@{stage.sshd.address}"
    batch = stage.directory / "batch"
    batch.write_text(f"put -r {stage.source}/. {stage.dest}\n")
    port = ["-P", str(stage.sshd.port)]
    return ["sftp", "-q", *stage.ssh, *options, "-b", str(batch), *port, login]


def rsync(stage: Stage) -> list[str]:
    """Rsync, which wants itself at the other end."""
    shell = " ".join(["ssh", "-p", str(stage.sshd.port), f"-o{GCM}", *stage.ssh])
    return ["rsync", "-rW", "--inplace", "-e", shell, f"{stage.source}/", stage.there]


def lftp(stage: Stage) -> list[str]:
    """Lftp, eight files at once."""
    connect = " ".join(["ssh", "-a", "-x", f"-o{GCM}", *stage.ssh])
    settings = f'set sftp:connect-program "{connect}"; set sftp:max-packets-in-flight 64;'
    settings += " set sftp:size-write 65536; set net:max-retries 1;"
    url = f"sftp://{stage.sshd.user}:x@{stage.sshd.address}:{stage.sshd.port}"
    return ["lftp", "-c", f"{settings} open {url}; mirror -R -P8 {stage.source} {stage.dest}"]


PEERS: Final[dict[str, Callable[[Stage], list[str]]]] = {
    "sarra_lite": engine,
    "sftp": sftp,
    "sftp tuned": lambda stage: sftp(stage, f"-o{GCM}", "-R256", "-B261120"),
    "scp": lambda stage: [
        *("scp", "-q", "-r", "-P", str(stage.sshd.port), f"-o{GCM}", *stage.ssh),
        *(f"{stage.source}/.", stage.there),
    ],
    "rsync": rsync,
    "lftp": lftp,
}
PROGRAMS: Final = ("rsync", "lftp")


def measure(stage: Stage, line: Lan, peers: list[str], rounds: int) -> dict[str, list[float]]:
    """Let the peers take turns; return the seconds of each, and what it could not do as nothing."""
    took: dict[str, list[float]] = {peer: [] for peer in peers}
    for turn in range(rounds):
        for peer in peers:
            if turn and not took[peer]:
                continue  # too slow, or broken, the first time
            stage.empty()
            command = line.near(*PEERS[peer](stage))
            began = time.monotonic()
            try:
                done = subprocess.run(
                    command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST
                )
            except subprocess.TimeoutExpired:
                continue
            seconds = time.monotonic() - began
            if done.returncode or not stage.complete():
                sys.stderr.write(f"{peer}: not complete: {done.stderr[-300:]}\n")
                continue
            took[peer].append(seconds)
    return took


def show(title: str, work: tuple[int, int], took: dict[str, list[float]]) -> None:
    """Print a table of one work on one line."""
    count, size = work
    ours = statistics.median(took["sarra_lite"]) if took["sarra_lite"] else float("nan")
    print(f"\n{title}")
    for peer, seconds in sorted(took.items(), key=lambda item: statistics.median(item[1] or [1e9])):
        if not seconds:
            print(f"  {peer:<12} not within {LONGEST} s, or not at all")
            continue
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f}-{max(seconds):.2f}"
        rate = f"{count / median:8.0f} files/s" if count > 1 else f"{size / median / 1e6:8.1f} MB/s"
        print(
            f"  {peer:<12} {median:7.2f} s ({spread})  {rate}   sarra_lite is {median / ours:.2f} x"
        )
    sys.stdout.flush()


def install() -> None:
    """Install from Debian the peers that are missing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description="Our transfer engine beside its peers.")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--lines", nargs="+", choices=LINES, default=["lan", "wan"])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=["1 GiB", "5,000 files"])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    install()
    print(f"{arguments.rounds} rounds, {os.cpu_count()} processors, {platform.platform()}")
    figures = {}
    for name in arguments.lines:
        with ExitStack() as stack:
            line = stack.enter_context(LINES[name]())
            room = stack.enter_context(tempfile.TemporaryDirectory(prefix="sarra-", dir="/dev/shm"))
            server = Sshd(Path(room, "sshd"), address=line.FAR, port=2222, through=line.far())
            stage = Stage(stack.enter_context(server), Path(room))
            for work in arguments.works:
                stage.fill(*WORKS[work])
                took = measure(stage, line, arguments.peers, arguments.rounds)
                figures[f"{name}: {work}"] = took
                show(f"{work}, {name}", WORKS[work], took)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
