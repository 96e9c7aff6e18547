"""Byte streams to an SFTP server through a channel of paramiko's."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Final

import paramiko

from sarra_lite.errors import DestinationDown, DestinationRefused
from sarra_lite.sftp.target import ALIVE, CONNECT, Stream, Target, host_key_error, socket_pair

_AT_ONCE: Final = 256 * 1024  # bytes that are carried at once


class ParamikoStream(Stream):
    """A channel of paramiko's, where there is no ssh program, or a password is needed."""

    def __init__(self, target: Target) -> None:
        """Connect and log in; DestinationRefused, HostKeyError, DestinationDown when that fails."""
        self._target = target
        endpoint = target.endpoint
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(_Refuse(target))
        try:
            self._client.load_system_host_keys(target.known_hosts)
            self._client.connect(
                endpoint.host,
                endpoint.port,
                endpoint.user,
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
            if transport is None:
                raise EOFError  # noqa: TRY301  told below
            transport.set_keepalive(ALIVE)
            self._channel = transport.open_session(timeout=CONNECT)
            self._channel.invoke_subsystem("sftp")
        except BaseException as error:
            self._client.close()
            if isinstance(error, paramiko.SSHException | OSError | EOFError):
                raise self._translated(error) from None
            raise

        self._channel.settimeout(None)
        self.socket, self._theirs = socket_pair()
        for pump in (self._outwards, self._inwards):
            threading.Thread(target=pump, name=f"sftp-{pump.__name__}", daemon=True).start()

    def close(self) -> None:
        """End the connection at once."""
        self.socket.close()
        self._client.close()

    def close_reason(self) -> Exception:
        """Return the reason for an end that nobody asked for."""
        return DestinationDown(f"{self._target.endpoint}: the connection was closed")

    def _outwards(self) -> None:
        """Carry what we write into the channel; it blocks while the server's window is full."""
        with contextlib.suppress(OSError, EOFError), self._theirs:
            while data := self._theirs.recv(_AT_ONCE):
                self._channel.sendall(data)
        self._client.close()

    def _inwards(self) -> None:
        """Carry what comes by the channel to us."""
        with contextlib.suppress(OSError, EOFError):
            while data := self._channel.recv(_AT_ONCE):
                self._theirs.sendall(data)
        with contextlib.suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, paramiko.BadHostKeyException):
            return host_key_error(self._target, error.key, changed=True)
        if isinstance(error, paramiko.AuthenticationException | paramiko.PasswordRequiredException):
            return DestinationRefused(f"{self._target.endpoint}: {error}")
        return DestinationDown(f"{self._target.endpoint}: {error or type(error).__name__}")


class _Refuse(paramiko.MissingHostKeyPolicy):
    """Refuse hosts that we do not know, and say how to make them known."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise host_key_error(self._target, key, changed=False)
