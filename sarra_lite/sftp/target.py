"""An SFTP host and a way to it; host keys that are not known.

What begins with ``ssh``, and ``sftp``, alone knows paramiko and the ssh program.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import shutil
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

import paramiko

from sarra_lite.errors import HostKeyError

if TYPE_CHECKING:
    from sarra_lite.config.credentials import Endpoint

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # its errors become ours

CONNECT: Final = 15.0  # seconds that connecting and logging in may take, each
ALIVE: Final = 15  # seconds of silence after which the server is asked for a sign of life
_BUFFER: Final = 1024 * 1024  # bytes between us and what encrypts


def ssh_installed() -> bool:
    """Whether there is an ssh program on this host."""
    return shutil.which("ssh") is not None


class Target(NamedTuple):
    """Where to, as whom, and how.  ``timeout``: seconds a request may stay unanswered."""

    endpoint: Endpoint
    key_file: str | None
    known_hosts: str | None
    program: bool
    timeout: float

    @property
    def host(self) -> str:
        """Host as known_hosts has it: ``[host]:port`` when the port is not 22."""
        host, port = self.endpoint.host, self.endpoint.port
        return host if port == paramiko.config.SSH_PORT else f"[{host}]:{port}"


class Stream(ABC):
    """Bytes to and from the SFTP server."""

    socket: socket.socket
    """Connected and not blocking; whoever reads and writes it talks to the SFTP server."""

    @abstractmethod
    def close(self) -> None:
        """End the connection at once."""

    @abstractmethod
    def close_reason(self) -> Exception:
        """Return the reason for an end that nobody asked for."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends of a stream, of which ours does not block."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    ours.settimeout(0)
    return ours, theirs


def fetch_host_key(target: Target) -> paramiko.PKey | None:
    """Return the key that the host shows, None when it cannot be asked (behind a jump host)."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        sock = socket.create_connection((target.endpoint.host, target.endpoint.port), CONNECT)
        with contextlib.closing(paramiko.Transport(sock)) as transport:
            transport.start_client(timeout=CONNECT)
            return transport.get_remote_server_key()
    return None


def host_key_error(target: Target, key: paramiko.PKey | None, *, changed: bool) -> HostKeyError:
    """Return the error of a host key that is not known, or another: what it is, what to do."""
    file = target.known_hosts or "~/.ssh/known_hosts"
    shown = accept = ""
    if key is not None:
        digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
        kind = key.get_name().removeprefix("ssh-")
        shown = f" ({kind.upper()} SHA256:{digest})"
        accept = (
            f"ssh-keyscan -p {target.endpoint.port} -t {kind.partition('-')[0]}"
            f" {target.endpoint.host} >> {file}"
        )
    if changed:
        return HostKeyError(
            f"{target.endpoint}: host key{shown} is not the one known for {target.host} in {file}:"
            f" somebody may be in between. If the host has a new key, do: ssh-keygen -R"
            f" '{target.host}' -f {file}; {accept}"
        )
    return HostKeyError(
        f"{target.endpoint}: host key{shown} of {target.host} is not in {file}. If that"
        f" fingerprint is right, accept it with: {accept}"
    )
