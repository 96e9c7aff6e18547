"""What a peer is given on a line: servers at the far end, a source here, an empty destination."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from bench.install import PYTHON, ROOT, SR3_PYTHON
from tests.lab.processes import Process, find_program
from tests.lab.sshd import Sshd
from tests.lab.trees import write_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from bench.wan import Lan

SSHD_PORT: Final = 2222
GRIDFTP_PORT: Final = 2811
_GCM: Final = "aes128-gcm@openssh.com"


class Stage:
    """Servers, source and destination, in a directory; a context manager."""

    def __init__(self, line: Lan, directory: Path, programs: dict[str, str]) -> None:
        """Nothing runs yet.  ``programs``: paths of peers that no package brings."""
        self.line = line
        self.directory = directory
        self.source = directory / "source"
        self.dest = directory / "dest"
        self.known_hosts = directory / "known_hosts"
        self.sshd = Sshd(directory / "sshd", address=line.FAR, port=SSHD_PORT, through=line.far())
        self._programs = programs
        self._gridftp: Process | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the servers."""
        with ExitStack() as stack:
            stack.enter_context(self.sshd)
            self._gridftp = self._start_gridftp()
            stack.callback(self._gridftp.kill)
            self._stack = stack.pop_all()
        self.known_hosts.write_text(self.sshd.host_key_line + "\n")
        self._write_helpers()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop them."""
        self._stack.close()

    @property
    def servers(self) -> list[int]:
        """The processes whose trees do the far end's work."""
        return [min(self.sshd.pids()), self._gridftp.pid] if self._gridftp else []

    def command(self, template: str) -> list[str]:
        """Return a command out of its template; see ``words``."""
        return shlex.split(template.format_map(self.words()))

    def words(self) -> dict[str, str]:
        """Return what may stand in braces in a template."""
        sshd = self.sshd
        login = f"{sshd.user}@{sshd.address}"
        return {
            "python": sys.executable,
            "bench_python": str(PYTHON),
            "sr3_python": str(SR3_PYTHON),
            "clients": str(ROOT / "bench/clients"),
            "source": str(self.source),
            "dest": str(self.dest),
            "batch": str(self.directory / "batch"),
            "url": sshd.url,
            "user": sshd.user,
            "address": sshd.address,
            "port": str(sshd.port),
            "login": login,
            "there": f"{login}:{self.dest}/",
            "key": str(sshd.user_key),
            "known_hosts": str(self.known_hosts),
            "ssh": shlex.join(sshd.client_options(self.known_hosts)),
            "gcm": f"-oCiphers={_GCM}",
            "cipher": _GCM,
            "gridftp": f"ftp://{sshd.address}:{GRIDFTP_PORT}{self.dest}/",
            "rclone": self._rclone(),
            **self._programs,
        }

    def fill(self, count: int, size: int, *, sparse: bool = False) -> None:
        """Have so many files of so many bytes at the source; sparse ones are all zeros."""
        shutil.rmtree(self.source, ignore_errors=True)
        if sparse:
            (self.source / "d0").mkdir(parents=True)
            for number in range(count):
                with (self.source / "d0" / f"f{number}").open("wb") as file:
                    file.truncate(size)
        else:
            write_files(self.source, count, size)

    @contextmanager
    def on_disk(self) -> Iterator[None]:
        """Have source and destination on the disk of this checkout, for what memory cannot hold."""
        memory = self.source, self.dest
        room = ROOT / ".cache/bench"
        room.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="sarra-bench-", dir=room) as directory:
            self.source, self.dest = Path(directory, "source"), Path(directory, "dest")
            try:
                yield
            finally:
                self.source, self.dest = memory

    def empty(self) -> None:
        """Have an empty destination, with the directories that not every peer makes."""
        for leftover in self.dest.parent.glob("dest*"):
            shutil.rmtree(leftover)
        for number in range(10):
            (self.dest / f"d{number}").mkdir(parents=True)

    def complete(self) -> bool:
        """Whether all has arrived, by names and sizes."""
        return sizes(self.source) == sizes(self.dest)

    def arrived(self) -> int:
        """Return how many files of the source's names are at the destination."""
        names = (name for top in os.scandir(self.dest) for name in os.listdir(top))  # noqa: PTH208
        return sum(name[0] == "f" for name in names)

    def _start_gridftp(self) -> Process:
        """Start a GridFTP server that trusts everybody on the line, as only a bench may."""
        options = ["-allow-anonymous", "-anonymous-user", self.sshd.user, "-allow-root"]
        options += ["-home-dir", "/", "-data-interface", self.line.FAR, "-port", str(GRIDFTP_PORT)]
        command = self.line.far(find_program("globus-gridftp-server"), *options)
        # It looks its own name up, and there are no names on the line.
        env = os.environ | {"GLOBUS_HOSTNAME": "localhost"}
        process = Process(command, self.directory / "gridftp.log", env=env)
        process.wait_ready(self._gridftp_answers, seconds=10)
        return process

    def _gridftp_answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.line.FAR, GRIDFTP_PORT), 1):
            return True
        return False

    def _write_helpers(self) -> None:
        """Write what sftp reads its commands from."""
        (self.directory / "batch").write_text(f"put -r {self.source}/. {self.dest}\n")

    def _rclone(self) -> str:
        options = {
            "host": self.sshd.address,
            "port": self.sshd.port,
            "user": self.sshd.user,
            "key-file": self.sshd.user_key,
            "known-hosts-file": self.known_hosts,
        }
        flags = " ".join(f"--sftp-{key} {value}" for key, value in options.items())
        return f"rclone --config /dev/null {flags}"


def sizes(top: Path) -> dict[str, int]:
    """Return the size of each file below a directory, by name."""
    found: dict[str, int] = {}
    for directory, _, files in os.walk(top):
        for name in files:
            path = Path(directory, name)
            found[str(path.relative_to(top))] = path.stat().st_size
    return found
