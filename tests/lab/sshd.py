"""Runs a private OpenSSH server, which can hang, drop its sessions and be started again."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.lab.processes import Process, find_program, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = """\
ListenAddress {self.address}
Port {self.port}
HostKey {self.host_key}
AuthorizedKeysFile {self.user_key}.pub
PidFile {self.directory}/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
MaxStartups 100
MaxSessions 100
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""


class Sshd:
    """An SFTP server for the user that runs the tests; keys, configuration and log are its own."""

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        through: Sequence[str] = (),
    ) -> None:
        """Write keys and configuration to ``directory``; ``start`` starts the server.

        ``through`` is a command that runs sshd, in a network namespace for instance.
        """
        self._through = through
        self._program = find_program("sshd")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.address = address
        self.port = port or free_port(address)
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.host_key = _key_pair(directory / "host_key")
        self.user_key = _key_pair(directory / "user_key")
        self.log = directory / "sshd.log"
        self._config = directory / "sshd_config"
        self._config.write_text(CONFIG.format(self=self))
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The URL of the server, as in a sender's configuration and credentials."""
        return f"sftp://{self.user}@{self.address}:{self.port}/"

    @property
    def host_key_line(self) -> str:
        """The line for known_hosts, without a newline."""
        kind, key = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"[{self.address}]:{self.port} {kind} {key}"

    def client_options(self, known_hosts: Path) -> list[str]:
        """Return the options with which ssh, sftp and scp can log in."""
        options = {
            "BatchMode": "yes",
            "IdentityFile": self.user_key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": known_hosts,
        }
        return [f"-o{key}={value}" for key, value in options.items()]

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        """Stop the server and its sessions."""
        self.stop()

    def start(self) -> None:
        """Start the server; return when it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation directory
        command = [self._program, "-D", "-e", "-f", str(self._config)]
        # OpenSSH 9.8 and later refuses clients that often drop connections, as tests do; earlier
        # versions do not know the option.
        option = ["-o", "PerSourcePenalties=no"]
        if not subprocess.run(
            [*command, *option, "-t"], capture_output=True, check=False
        ).returncode:
            command += option
        command = [*self._through, *command]
        process = self._process = Process(command, self.log, cwd=self.directory)
        process.wait_ready(lambda: "Server listening on" in process.output(), seconds=10)

    def stop(self) -> None:
        """Kill the listener and all sessions, as when the machine fails."""
        if self._process:
            self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """Make the server hang: connections stay open, but nothing is answered."""
        self._running().signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Make a hanging server continue."""
        self._running().signal(signal.SIGCONT)

    def drop_sessions(self) -> None:
        """Kill every session; the listener accepts new ones."""
        self._running().signal(signal.SIGKILL, children_only=True)

    def pids(self) -> set[int]:
        """Return the process ids of the listener and its sessions."""
        return self._process.members() if self._process else set()

    def _running(self) -> Process:
        assert self._process is not None, "start it first"
        return self._process


def _key_pair(path: Path) -> Path:
    """Return the path of a private key, created if missing; the public key is beside it (.pub)."""
    if not path.exists():
        keygen = find_program("ssh-keygen")
        command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
        subprocess.run(command, check=True)
    return path
