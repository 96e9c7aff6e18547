"""Byte stream to an SFTP server through the ssh program, with the user's ssh_config(5)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sarra_lite.errors import DestinationDown, DestinationRefused
from sarra_lite.sftp.ssh_command import ssh_command, ssh_settings
from sarra_lite.sftp.target import Stream, Target, host_key_error, socket_pair
from sarra_lite.sftp.tcp_info import ProcessSocket

if TYPE_CHECKING:
    from sarra_lite.sftp.tcp_info import TcpInfo

# ssh's own lines; a server or a key file may be denied something else.
_REFUSED: Final = re.compile(
    r"^.+@.+: Permission denied \([\w,@.-]*\)\.$"
    r"|^Received disconnect from .*: Too many authentication failures"
    r"|: No (more|supported) authentication methods available",
    re.MULTILINE,
)
_KEYGEN_TIMEOUT: Final = 5.0  # seconds
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class OpenSshStream(Stream):
    """An ssh process: configuration, agent, certificates and jump hosts of the user work."""

    def __init__(self, target: Target) -> None:
        """Start the process without waiting for the login; a failed login ends the stream.

        Raises ConfigError when ssh cannot use its options.
        """
        self._target = target
        self._settings = ssh_settings(target)
        self.socket, theirs = socket_pair()
        # In memory, since a service may have no directory that it can write to.
        self._stderr = os.memfd_create("ssh")
        fcntl.fcntl(self._stderr, fcntl.F_SETFL, os.O_APPEND)
        with theirs:
            self._process = subprocess.Popen(
                ssh_command(target, self._settings),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,  # ^C in the terminal must not reach ssh
            )
        self._tcp = ProcessSocket(self._process.pid)

    def close(self) -> None:
        """Kill the process."""
        self.socket.close()
        self._process.kill()
        self._process.wait()
        os.close(self._stderr)

    def processor_seconds(self) -> float:
        """Return what the ssh program has used; 0 when that is hidden."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime (proc(5))

    def tcp_info(self) -> TcpInfo | None:
        """Return what the kernel has counted of ssh's socket, or of its ProxyJump's."""
        return self._tcp.info()

    def logged_in(self) -> None:
        """Forget what ssh wrote to its standard error while it logged in."""
        os.ftruncate(self._stderr, 0)

    def close_reason(self) -> Exception:
        """Return the exception for what ssh wrote to its standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        said = os.pread(self._stderr, os.fstat(self._stderr).st_size, 0).decode(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        said = "\n".join(lines)
        changed = "IDENTIFICATION HAS CHANGED" in said
        if changed or "host key is known" in said or "Host key verification failed" in said:
            return host_key_error(self._resolved(), None, changed=changed)
        if refused := _REFUSED.search(said):
            line = said[refused.start() :].partition("\n")[0]
            return DestinationRefused(f"{self._target.endpoint}: {line}{self._passphrase_hint()}")
        text = lines[-1] if lines else "the connection was closed"
        return DestinationDown(f"{self._target.endpoint}: {text}")

    def _resolved(self) -> Target:
        """Return the target with the host and port that ssh_config(5) sets."""
        (host,), (port,) = self._settings["hostname"], self._settings["port"]
        endpoint = self._target.endpoint._replace(host=host, port=int(port))
        return self._target._replace(endpoint=endpoint)

    def _passphrase_hint(self) -> str:
        """Return, for a login that was refused, that a key could not be used."""
        configured = self._settings.get("identityfile", [])
        for name in [self._target.key_file] if self._target.key_file else configured:
            path = Path(name).expanduser()
            if path.is_file() and _has_passphrase(path):
                return (
                    f" The key {path} has a passphrase, and nobody can enter it here:"
                    " add the key to an agent (ssh-add), or use one without a passphrase"
                )
        return ""


def _has_passphrase(key_file: Path) -> bool:
    command = ["ssh-keygen", "-y", "-P", "", "-f", str(key_file)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_KEYGEN_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"incorrect passphrase" in done.stderr
