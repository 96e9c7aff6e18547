"""A real HAProxy with the commands that the role gives its unit, as systemd would run them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.processes import Process, find_program, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLE: Final = Path(__file__).parents[2] / "roles/haproxy"
_PROGRAM: Final = "/usr/local/libexec/haproxy-server-states"


class Haproxy:
    """HAProxy of one directory: ``config`` is its configuration, ``states`` its file of states."""

    def __init__(self, directory: Path, enter: Sequence[str] = ()) -> None:
        """``enter`` are words that run a command in another network namespace."""
        self.config = directory / "haproxy.cfg"
        self.states = directory / "server-state"
        self.socket = directory / "admin.sock"
        self._log = directory / "haproxy.log"
        self._argv = [*enter, find_program("haproxy"), "-W", "-f", str(self.config)]
        self._process: Process | None = None

    def start(self) -> None:
        """Start it as the unit does, and return when it answers."""
        self._run("ExecStartPre")
        self._process = Process(self._argv, self._log)
        self._process.wait_ready(self.worker)

    def reload(self) -> None:
        """Reload it as the unit does, and return when the new worker answers."""
        before = self.worker()
        self._run("ExecReload")
        wait_until(lambda: self.worker() not in {"", before}, "a new worker answers", 20)

    def stop(self) -> None:
        """Stop it as the unit does."""
        self._run("ExecStop")
        self._running().stop()

    def crash(self) -> None:
        """Kill it; systemd may run the unit's ExecStop afterwards."""
        self._running().kill()
        self._run("ExecStop")

    def freeze(self) -> None:
        """Let it hang, with its sockets open."""
        self._running().signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._running().signal(signal.SIGCONT)

    def worker(self) -> str:
        """Return the process id of the worker that answers; empty if none does."""
        with suppress(OSError):
            return "".join(re.findall(r"^Pid: (\d+)$", self.ask("show info"), re.MULTILINE))
        return ""

    def ask(self, command: str) -> str:
        """Return the answer to a command; raise OSError if there is none."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def server(self, name: str, *columns: str) -> list[str]:
        """Return columns of ``show stat`` for a server, of the first backend that has it."""
        header, *lines = (line.split(",") for line in self.ask("show stat -1 4 -1").splitlines())
        names = [each.removeprefix("# ") for each in header]
        found = next(line for line in lines if line[1:2] == [name])
        return [found[names.index(column)] for column in columns]

    def save(self) -> int:
        """Save the server states as ``playbooks/drain.yml`` does; return the exit status."""
        return self._program("save").returncode

    def check(self) -> str:
        """Return where it differs from its configuration."""
        return self._program("check").stdout.strip()

    def _program(self, what: str) -> subprocess.CompletedProcess[str]:
        command = [*self._states_program.split(), what]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def here(self, command: str) -> str:
        """Return a command of the role or of a playbook with the socket and files of this one."""
        return command.replace(_PROGRAM, self._states_program).replace(
            "/run/haproxy/admin.sock", str(self.socket)
        )

    @property
    def _states_program(self) -> str:
        return (
            f"{sys.executable} {ROLE}/files/server_states.py --config {self.config}"
            f" --socket {self.socket} --file {self.states}"
        )

    def _run(self, directive: str) -> None:
        """Run the commands of the role's drop-in for the unit."""
        drop_in = (ROLE / "templates/state.conf.j2").read_text()
        for command in re.findall(rf"^{directive}=-?(.+)$", drop_in, re.MULTILINE):
            pid = str(self._process.pid) if self._process else ""
            own = {"CONFIG": str(self.config), "EXTRAOPTS": "", "MAINPID": pid}
            subprocess.run(["sh", "-c", self.here(command)], env=os.environ | own, check=False)

    def _running(self) -> Process:
        assert self._process is not None
        return self._process
