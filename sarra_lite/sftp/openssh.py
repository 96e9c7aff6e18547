"""Byte streams to an SFTP server through the ssh program."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from pathlib import Path
from typing import IO, Final

import paramiko

from sarra_lite.errors import DestinationDown, DestinationRefused
from sarra_lite.sftp.target import (
    ALIVE,
    CONNECT,
    Stream,
    Target,
    fetch_host_key,
    host_key_error,
    socket_pair,
)

_FASTEST: Final = "aes128-gcm@openssh.com"


class OpenSshStream(Stream):
    """The ssh program: the user's configuration, agent, certificates and jump hosts work."""

    def __init__(self, target: Target) -> None:
        """Start it; whether it gets through shows when something is asked."""
        self._target = target
        self.socket, theirs = socket_pair()
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

    def close(self) -> None:
        """End the connection at once."""
        self.socket.close()
        self._process.kill()
        self._process.wait()
        self._complaints.close()

    def close_reason(self) -> Exception:
        """Return the reason for an end that nobody asked for."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._complaints.seek(0)
        return _explain(self._complaints.read().decode(errors="replace"), self._target)


def _command(target: Target) -> list[str]:
    """Return the command that connects to the SFTP server of a host."""
    endpoint = target.endpoint
    options = {
        "BatchMode": "yes",  # nobody is there to answer questions
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": f"{CONNECT:.0f}",
        "ServerAliveInterval": f"{ALIVE}",
        "ServerAliveCountMax": "3",
        "ControlPath": "none",  # each of our connections is to be one of its own
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
    }
    if target.known_hosts is not None:
        options |= {"UserKnownHostsFile": target.known_hosts, "GlobalKnownHostsFile": "/dev/null"}
    if target.key_file is not None:
        options |= {"IdentityFile": target.key_file, "IdentitiesOnly": "yes"}
    if prefers_aes(endpoint.host):
        options["Ciphers"] = f"^{_FASTEST}"
    flags = [f"-o{name}={value}" for name, value in options.items()]
    where = ["-p", str(endpoint.port), "-l", endpoint.user]
    if endpoint.port == paramiko.config.SSH_PORT:
        where = where[2:]  # so that a Port of ssh_config(5) holds
    return ["ssh", "-T", *flags, *where, "-s", "--", endpoint.host, "sftp"]


@functools.cache
def prefers_aes(host: str) -> bool:
    """Whether AES is to be the first choice: the processor has it, and ssh_config(5) says nothing.

    The choice of OpenSSH, ChaCha20, costs a third more time on a fast line.
    """
    try:
        features = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return " aes " in features and _ciphers(host) == _ciphers(host, "-F", os.devnull)


def _ciphers(host: str, *options: str) -> list[str]:
    """Return what the ssh program would offer a host."""
    done = subprocess.run(
        ["ssh", *options, "-G", "--", host], capture_output=True, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if line.startswith("ciphers ")]


def _explain(said: str, target: Target) -> Exception:
    """Return what the ssh program said when it ended, as an error of ours."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = lines[-1] if lines else "the connection was closed"
    if "IDENTIFICATION HAS CHANGED" in said:
        return host_key_error(target, fetch_host_key(target), changed=True)
    if "host key is known" in said or "Host key verification failed" in said:
        return host_key_error(target, fetch_host_key(target), changed=False)
    if "Permission denied" in said or "Too many authentication failures" in said:
        return DestinationRefused(f"{target.endpoint}: {text}")
    return DestinationDown(f"{target.endpoint}: {text}")
