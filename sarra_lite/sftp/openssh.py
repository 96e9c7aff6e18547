"""Byte stream to an SFTP server through the ssh program, with the user's ssh_config(5)."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from pathlib import Path
from typing import IO

import paramiko

from sarra_lite.errors import DestinationDown, DestinationRefused
from sarra_lite.sftp.target import CONNECT, KEEPALIVE, Stream, Target, host_key_error, socket_pair


class OpenSshStream(Stream):
    """An ssh process: configuration, agent, certificates and jump hosts of the user work."""

    def __init__(self, target: Target) -> None:
        """Start the process without waiting for the login; a failed login ends the stream."""
        self._target = target
        self.socket, theirs = socket_pair()
        # In memory, since a service may have no directory that it can write to.
        self._stderr: IO[bytes] = os.fdopen(os.memfd_create("ssh"), "w+b")
        with theirs:
            self._process = subprocess.Popen(
                _command(target),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,  # ^C in the terminal must not reach ssh
            )

    def close(self) -> None:
        """Kill the process."""
        self.socket.close()
        self._process.kill()
        self._process.wait()
        self._stderr.close()

    def close_reason(self) -> Exception:
        """Return the exception for what ssh wrote to its standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._stderr.seek(0)
        stderr = self._stderr.read().decode(errors="replace")
        changed = "IDENTIFICATION HAS CHANGED" in stderr
        if changed or "host key is known" in stderr or "Host key verification failed" in stderr:
            return host_key_error(self._target, None, changed=changed)
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        text = f"{self._target.endpoint}: {lines[-1] if lines else 'the connection was closed'}"
        if "Permission denied" in stderr or "Too many authentication failures" in stderr:
            return DestinationRefused(text)
        return DestinationDown(text)


def _command(target: Target) -> list[str]:
    """Return the command line that starts the "sftp" subsystem on the host."""
    endpoint = target.endpoint
    options = {
        "BatchMode": "yes",  # there is no user to answer questions
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": f"{CONNECT:.0f}",
        "ServerAliveInterval": f"{KEEPALIVE}",
        "ServerAliveCountMax": "3",
        "ControlPath": "none",  # sessions that share a connection would share its bandwidth
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
    }
    if target.known_hosts is not None:
        options |= {"UserKnownHostsFile": target.known_hosts, "GlobalKnownHostsFile": "/dev/null"}
    if target.key_file is not None:
        options |= {"IdentityFile": target.key_file, "IdentitiesOnly": "yes"}
    if prefers_aes(endpoint.host):
        options["Ciphers"] = "^aes128-gcm@openssh.com"  # the fastest
    flags = [f"-o{name}={value}" for name, value in options.items()]
    if endpoint.port != paramiko.config.SSH_PORT:  # otherwise Port of ssh_config(5) is to hold
        flags += ["-p", str(endpoint.port)]
    return ["ssh", "-T", *flags, "-l", endpoint.user, "-s", "--", endpoint.host, "sftp"]


@functools.cache
def prefers_aes(host: str) -> bool:
    """Return whether to put AES before the other ciphers, for less processor time.

    True when the processor has AES instructions and ssh_config(5) sets no ciphers for the host.
    OpenSSH's default, ChaCha20, takes a third more time on a fast network.
    """
    try:
        features = Path("/proc/cpuinfo").read_text()
    except OSError:  # hidden by ProcSubset= of systemd.exec(5), for instance
        return False
    return " aes " in features and _ciphers(host) == _ciphers(host, "-F", os.devnull)


def _ciphers(host: str, *options: str) -> list[str]:
    """Return the ciphers line of the configuration that ssh would use for a host."""
    done = subprocess.run(
        ["ssh", *options, "-G", "--", host], capture_output=True, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if line.startswith("ciphers ")]
