"""The environment of a measurement: servers in the far namespace, a source and a destination."""

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
    """Servers, source and destination on one line, in one directory; a context manager."""

    def __init__(self, line: Lan, directory: Path, programs: dict[str, str]) -> None:
        """Set the line and directory.  ``programs``: paths of peers that have no package."""
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
        """Stop the servers."""
        self._stack.close()

    @property
    def servers(self) -> list[int]:
        """The processes that, with their descendants, work for the server's end."""
        return [min(self.sshd.pids()), self._gridftp.pid] if self._gridftp else []

    def command(self, template: str) -> list[str]:
        """Return the command of a template with names in braces; see ``values``."""
        return shlex.split(template.format_map(self.values()))

    def values(self) -> dict[str, str]:
        """Return the values of the names that a template may contain in braces."""
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
        """Replace the source by ``count`` files of ``size`` bytes; sparse files are all zeros."""
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
        """Use source and destination on the disk of this checkout, for sizes that exceed memory."""
        in_memory = self.source, self.dest
        parent = ROOT / ".cache/bench"
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="sarra-bench-", dir=parent) as directory:
            self.source, self.dest = Path(directory, "source"), Path(directory, "dest")
            try:
                yield
            finally:
                self.source, self.dest = in_memory

    def empty(self) -> None:
        """Empty the destination, and create the directories that some peers do not create."""
        for leftover in self.dest.parent.glob("dest*"):
            shutil.rmtree(leftover)
        for number in range(10):
            (self.dest / f"d{number}").mkdir(parents=True)

    def complete(self) -> bool:
        """Return whether the destination has the names and sizes of the source."""
        return sizes(self.source) == sizes(self.dest)

    def arrived(self) -> int:
        """Return the number of files at the destination that have names of source files."""
        names = (name for top in os.scandir(self.dest) for name in os.listdir(top))  # noqa: PTH208
        return sum(name[0] == "f" for name in names)

    def _start_gridftp(self) -> Process:
        """Start a GridFTP server without authentication; only this line can reach it."""
        options = ["-allow-anonymous", "-anonymous-user", self.sshd.user, "-allow-root"]
        options += ["-home-dir", "/", "-data-interface", self.line.FAR, "-port", str(GRIDFTP_PORT)]
        command = self.line.far(find_program("globus-gridftp-server"), *options)
        # The server looks up its host name, and there is no name service in the namespace.
        env = os.environ | {"GLOBUS_HOSTNAME": "localhost"}
        process = Process(command, self.directory / "gridftp.log", env=env)
        process.wait_ready(self._gridftp_answers, seconds=10)
        return process

    def _gridftp_answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.line.FAR, GRIDFTP_PORT), 1):
            return True
        return False

    def _write_helpers(self) -> None:
        """Write the batch file of sftp."""
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
