"""Runs a private OpenSSH server on loopback, which can hang, drop its clients and come back."""

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
    from types import TracebackType

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
    """An SFTP server for the user who runs the tests, keys and all in its directory."""

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        known: str = "",
        through: Sequence[str] = (),
    ) -> None:
        """Make keys and configuration; `known` holds more lines for sshd_config.

        ``through`` is a command that runs another, in a network namespace for instance.
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
        # sshd takes the first value it reads, so the lines of the caller come first.
        self._config.write_text(f"{known}\n{CONFIG.format(self=self)}")
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The destination as the configuration and credentials spell it."""
        return f"sftp://{self.user}@{self.address}:{self.port}/"

    @property
    def host_key_line(self) -> str:
        """The line of a known_hosts file for this server, without the end of line."""
        kind, key = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"[{self.address}]:{self.port} {kind} {key}"

    def client_options(self, known_hosts: Path) -> list[str]:
        """Return what ssh, sftp and scp need to log in here."""
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

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop the server and its sessions."""
        self.stop()

    def start(self) -> None:
        """Return when the server listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks unknown clients up
        command = [self._program, "-D", "-e", "-f", str(self._config)]
        # Since 9.8 sshd keeps away who often drops connections, as tests do; before, the option
        # is an error.
        patience = ["-o", "PerSourcePenalties=no"]
        if not subprocess.run(
            [*command, *patience, "-t"], capture_output=True, check=False
        ).returncode:
            command += patience
        command = [*self._through, *command]
        process = self._process = Process(command, self.log, cwd=self.directory)
        process.wait_ready(lambda: "Server listening on" in process.output(), seconds=10)

    def stop(self) -> None:
        """End the listener and all sessions at once, as a machine that goes away."""
        if self._process:
            self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """Let the server hang: connections stay, nothing answers."""
        self._running().signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a hanging server go on."""
        self._running().signal(signal.SIGCONT)

    def drop_sessions(self) -> None:
        """End every session; new ones are welcome."""
        self._running().signal(signal.SIGKILL, children_only=True)

    def pids(self) -> set[int]:
        """Return the process ids of listener and sessions."""
        return self._process.members() if self._process else set()

    def _running(self) -> Process:
        assert self._process is not None, "start it first"
        return self._process


def _key_pair(path: Path) -> Path:
    """Return the private key, made at the first call; the public one has .pub after its name."""
    if not path.exists():
        keygen = find_program("ssh-keygen")
        command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
        subprocess.run(command, check=True)
    return path
