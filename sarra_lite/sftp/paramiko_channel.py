"""Byte stream to an SFTP server through a paramiko channel."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import paramiko

from sarra_lite.errors import DestinationDown, DestinationRefused
from sarra_lite.sftp import known_hosts, tcp_info
from sarra_lite.sftp.target import CONNECT, KEEPALIVE, Stream, Target, host_key_error, socket_pair

if TYPE_CHECKING:
    from sarra_lite.sftp.tcp_info import TcpInfo

_READ_SIZE: Final = 256 * 1024  # bytes


class ParamikoStream(Stream, paramiko.MissingHostKeyPolicy):
    """A paramiko channel, used for passwords and where there is no ssh program.

    Two threads copy between the channel and a socket pair, so that the session has a socket that
    its event loop can poll, and never blocks on the channel.
    """

    def __init__(self, target: Target) -> None:
        """Connect and log in; raise DestinationRefused, HostKeyError or DestinationDown."""
        self._target = target
        endpoint = target.endpoint
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(self)
        try:
            known_hosts.load(self._client.get_host_keys(), target.known_hosts)
            self._client.connect(
                endpoint.host.lower(),  # as in known_hosts
                endpoint.port,
                endpoint.user or None,  # the user who runs the sender
                endpoint.password,
                key_filename=target.key_file,
                allow_agent=endpoint.password is None,
                look_for_keys=endpoint.password is None and target.key_file is None,
                timeout=CONNECT,
                banner_timeout=CONNECT,
                auth_timeout=CONNECT,
                channel_timeout=CONNECT,
            )
            transport = self._client.get_transport()
            assert transport is not None  # noqa: S101  for the type checker
            transport.set_keepalive(KEEPALIVE)
            self._channel = transport.open_session(timeout=CONNECT)
            self._channel.invoke_subsystem("sftp")
        except BaseException as error:
            self._client.close()
            if isinstance(error, paramiko.SSHException | OSError | EOFError):
                raise self._error_of(error) from None
            raise
        self._channel.settimeout(None)
        self.socket, self._theirs = socket_pair()
        for copy in (self._copy_to_server, self._copy_from_server):
            threading.Thread(target=copy, name=f"sftp{copy.__name__}", daemon=True).start()

    def close(self) -> None:
        """Close socket and connection; both threads end."""
        self.socket.close()
        self._client.close()

    def processor_seconds(self) -> float:
        """Return what this process has used: one of its threads encrypts."""
        return time.process_time()

    def tcp_info(self) -> TcpInfo | None:
        """Return what the kernel has counted of the socket."""
        transport = self._client.get_transport()
        sock = None if transport is None else transport.sock
        return tcp_info.of_socket(sock) if isinstance(sock, socket.socket) else None

    def logged_in(self) -> None:
        """Do nothing: what goes wrong before is raised by the constructor."""

    def close_reason(self) -> Exception:
        """Return DestinationDown; paramiko does not report a reason."""
        return DestinationDown(f"{self._target.endpoint}: the connection was closed")

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Raise the HostKeyError that has the command to accept the key; paramiko calls this."""
        raise host_key_error(self._target, key, changed=False)

    def _copy_to_server(self) -> None:
        """Copy from the socket to the channel; blocks while the server's window is full."""
        with contextlib.suppress(OSError, EOFError), self._theirs:
            while data := self._theirs.recv(_READ_SIZE):
                self._channel.sendall(data)
        self._client.close()

    def _copy_from_server(self) -> None:
        """Copy from the channel to the socket."""
        with contextlib.suppress(OSError, EOFError):
            while data := self._channel.recv(_READ_SIZE):
                self._theirs.sendall(data)
        with contextlib.suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    def _error_of(self, error: Exception) -> Exception:
        """Return this package's exception for one that was raised while connecting."""
        if isinstance(error, paramiko.BadHostKeyException):
            return host_key_error(self._target, error.key, changed=True)
        if isinstance(error, paramiko.AuthenticationException):
            return DestinationRefused(f"{self._target.endpoint}: {error}")
        return DestinationDown(f"{self._target.endpoint}: {error or type(error).__name__}")
