"""What the two kinds of byte streams share: target, interface, sockets, host key errors."""

from __future__ import annotations

import contextlib
import logging
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

import paramiko

from sarra_lite.errors import HostKeyError

if TYPE_CHECKING:
    from sarra_lite.config.credentials import Endpoint
    from sarra_lite.sftp.tcp_info import TcpInfo

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # its errors are raised as ours

CONNECT: Final = 15.0  # seconds that the TCP connection and the login may take, each
KEEPALIVE: Final = 10  # seconds without data after which SSH probes the server, up to 3 times
_SOCKET_BUFFER: Final = 1024 * 1024  # bytes


class Target(NamedTuple):
    """An SFTP host, the login, and how to connect.

    ``key_file`` and ``known_hosts`` are paths, None for OpenSSH's defaults.  ``program`` selects
    the ssh program instead of paramiko.  ``timeout`` is how many seconds a response may take.
    """

    endpoint: Endpoint
    key_file: str | None
    known_hosts: str | None
    program: bool
    timeout: float


class Sample(NamedTuple):
    """What a connection has used until now.

    ``processor``: seconds of a processor for its encryption, by the ssh program or, with paramiko,
    by this whole process.  ``looks``: samples with ``tcp``, in ``queued`` of which data waited here
    for TCP to send it.  ``tcp``: None when the kernel does not tell.
    """

    processor: float
    looks: int
    queued: int
    tcp: TcpInfo | None


class Stream(ABC):
    """Byte stream to an SFTP server, begun by its constructor; ssh's login is not complete then."""

    socket: socket.socket
    """Non-blocking; the other end of it is connected to the SFTP server."""
    _looks = _queued = 0

    @abstractmethod
    def close(self) -> None:
        """Close the connection without waiting for the server."""

    @abstractmethod
    def logged_in(self) -> None:
        """Note that SFTP has begun: what was said before does not explain how it ends."""

    def processor_seconds(self) -> float:
        """Return the seconds of a processor that its encryption has taken, as far as is known."""
        return 0.0

    def tcp_info(self) -> TcpInfo | None:
        """Return what the kernel has counted; None when it does not tell."""
        return None

    def sample(self) -> Sample:
        """Return what it has used until now; takes 0.1 ms, and may be called in a thread."""
        if (tcp := self.tcp_info()) is not None:
            self._looks += 1
            self._queued += tcp.unsent > 0
        return Sample(self.processor_seconds(), self._looks, self._queued, tcp)

    @abstractmethod
    def close_reason(self) -> Exception:
        """Return, as an exception to raise, why the connection ended by itself."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets: the stream's, non-blocking, and the other end, blocking."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    ours.settimeout(0)
    return ours, theirs


def host_key_error(target: Target, key: paramiko.PKey | None, *, changed: bool) -> HostKeyError:
    """Return the error for an unknown or changed host key; no ``key``: fetch it for the message."""
    key = key or _fetch_host_key(target)
    endpoint, file = target.endpoint, target.known_hosts or "~/.ssh/known_hosts"
    host, port = endpoint.host, endpoint.port
    name = host if port == paramiko.config.SSH_PORT else f"[{host}]:{port}"
    shown = accept = ""
    if key is not None:
        kind = key.get_name().removeprefix("ssh-")
        shown = f" ({kind.upper()} {key.fingerprint})"
        accept = f"ssh-keyscan -p {port} -t {kind.partition('-')[0]} {host} >> {file}"
    if changed:
        return HostKeyError(
            f"{endpoint}: host key{shown} is not the one known for {name} in {file}:"
            f" somebody may be in between. If the host has a new key, do: ssh-keygen -R"
            f" '{name}' -f {file}; {accept}"
        )
    return HostKeyError(
        f"{endpoint}: host key{shown} of {name} is not in {file}. If that"
        f" fingerprint is right, accept it with: {accept}"
    )


def _fetch_host_key(target: Target) -> paramiko.PKey | None:
    """Return the key that the host presents; None when it cannot be reached directly."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        sock = socket.create_connection((target.endpoint.host, target.endpoint.port), CONNECT)
        with contextlib.closing(paramiko.Transport(sock)) as transport:
            transport.start_client(timeout=CONNECT)
            return transport.get_remote_server_key()
    return None
