"""Byte streams to the SFTP server of a host: through the ssh program, or through paramiko.

With sftp.py, sole user of paramiko and of the ssh program.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import paramiko

from sarra_lite.errors import DestinationDown, DestinationRefused, HostKeyError

if TYPE_CHECKING:
    from sarra_lite.credentials import Endpoint

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # its errors become ours

_CONNECT: Final = 15.0  # seconds that connecting and logging in may take, each
_ALIVE: Final = 15  # seconds of silence after which the server is asked for a sign of life
_BUFFER: Final = 1024 * 1024  # bytes between us and the ssh program


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

    @abstractmethod
    def send(self, *parts: bytes | memoryview) -> None:
        """Send all of it; OSError or EOFError when the connection is gone."""

    @abstractmethod
    def receive(self, count: int) -> bytes:
        """Return at least one and at most ``count`` bytes; nothing at the end."""

    @abstractmethod
    def close(self) -> None:
        """End the connection at once; whoever waits in the other methods is woken."""

    @abstractmethod
    def why_ended(self) -> Exception:
        """Return the reason for an end that nobody asked for."""


def connect(target: Target) -> Stream:
    """Open a stream to the SFTP server of a host."""
    return _Program(target) if target.program else _Channel(target)


def installed() -> bool:
    """Whether there is an ssh program on this host."""
    return shutil.which("ssh") is not None


class _Program(Stream):
    """The ssh program: the user's configuration, agent, certificates and jump hosts work."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket, theirs = socket.socketpair()
        for end in (self._socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._socket.settimeout(target.timeout)
        # In memory: a service may have no directory that it can write to.
        self._complaints: IO[bytes] = os.fdopen(os.memfd_create("ssh"), "w+b")
        with theirs:
            self._process = subprocess.Popen(
                _command(target),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._complaints,
                start_new_session=True,  # ^C at our terminal is for us to handle
            )

    def send(self, *parts: bytes | memoryview) -> None:
        sent = self._socket.sendmsg(parts)
        if sent < sum(map(len, parts)):
            self._socket.sendall(memoryview(b"".join(parts))[sent:])

    def receive(self, count: int) -> bytes:
        return self._socket.recv(count)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._complaints.close()

    def why_ended(self) -> Exception:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        try:
            self._complaints.seek(0)
            said = self._complaints.read().decode(errors="replace")
        except ValueError:  # closed meanwhile, by abort
            said = ""
        return _explain(said, self._target)


def _command(target: Target) -> list[str]:
    endpoint = target.endpoint
    options = {
        "BatchMode": "yes",  # nobody is there to answer questions
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": f"{_CONNECT:.0f}",
        "ServerAliveInterval": f"{_ALIVE}",
        "ServerAliveCountMax": "3",
        "ControlPath": "none",  # each of our connections is to be one of its own
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
    }
    if target.known_hosts is not None:
        options |= {"UserKnownHostsFile": target.known_hosts, "GlobalKnownHostsFile": "/dev/null"}
    if target.key_file is not None:
        options |= {"IdentityFile": target.key_file, "IdentitiesOnly": "yes"}
    flags = [f"-o{name}={value}" for name, value in options.items()]
    where = ["-p", str(endpoint.port), "-l", endpoint.user]
    if endpoint.port == paramiko.config.SSH_PORT:
        where = where[2:]  # so that a Port of ssh_config(5) holds
    return ["ssh", "-T", *flags, *where, "-s", "--", endpoint.host, "sftp"]


def _explain(said: str, target: Target) -> Exception:
    """Return what the ssh program said when it ended, as an error of ours."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = lines[-1] if lines else "the connection was closed"
    if "IDENTIFICATION HAS CHANGED" in said:
        return _host_key_error(target, _offered(target), changed=True)
    if "host key is known" in said or "Host key verification failed" in said:
        return _host_key_error(target, _offered(target), changed=False)
    if "Permission denied" in said or "Too many authentication failures" in said:
        return DestinationRefused(f"{target.endpoint}: {text}")
    return DestinationDown(f"{target.endpoint}: {text}")


class _Channel(Stream):
    """A channel of paramiko's, where there is no ssh program, or a password is needed."""

    def __init__(self, target: Target) -> None:
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
                timeout=_CONNECT,
                banner_timeout=_CONNECT,
                auth_timeout=_CONNECT,
                channel_timeout=_CONNECT,
            )
            transport = self._client.get_transport()
            if transport is None:
                raise EOFError  # noqa: TRY301  told below
            transport.set_keepalive(_ALIVE)
            self._channel = transport.open_session(timeout=_CONNECT)
            self._channel.settimeout(target.timeout)
            self._channel.invoke_subsystem("sftp")
        except BaseException as error:
            self._client.close()
            if isinstance(error, paramiko.SSHException | OSError | EOFError):
                raise self._translated(error) from None
            raise

    def send(self, *parts: bytes | memoryview) -> None:
        self._channel.sendall(b"".join(parts))

    def receive(self, count: int) -> bytes:
        return self._channel.recv(count)

    def close(self) -> None:
        self._client.close()

    def why_ended(self) -> Exception:
        return DestinationDown(f"{self._target.endpoint}: the connection was closed")

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, paramiko.BadHostKeyException):
            return _host_key_error(self._target, error.key, changed=True)
        if isinstance(error, paramiko.AuthenticationException | paramiko.PasswordRequiredException):
            return DestinationRefused(f"{self._target.endpoint}: {error}")
        return DestinationDown(f"{self._target.endpoint}: {error or type(error).__name__}")


class _Refuse(paramiko.MissingHostKeyPolicy):
    """Refuse hosts that we do not know, and say how to make them known."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise _host_key_error(self._target, key, changed=False)


def _offered(target: Target) -> paramiko.PKey | None:
    """Return the key that the host shows, None when it cannot be asked (behind a jump host)."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        sock = socket.create_connection((target.endpoint.host, target.endpoint.port), _CONNECT)
        with contextlib.closing(paramiko.Transport(sock)) as transport:
            transport.start_client(timeout=_CONNECT)
            return transport.get_remote_server_key()
    return None


def _host_key_error(target: Target, key: paramiko.PKey | None, *, changed: bool) -> HostKeyError:
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
