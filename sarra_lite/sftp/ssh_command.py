"""Command line of the ssh program, and what ssh_config(5) sets for a host."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import paramiko

from sarra_lite.errors import ConfigError, DestinationDown
from sarra_lite.sftp.target import CONNECT, KEEPALIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sarra_lite.sftp.target import Target

Settings = dict[str, list[str]]
"""Values of ssh_config(5) by their lower-case keyword, as ``ssh -G`` prints them."""

_SETTINGS_TIMEOUT: Final = 10.0  # seconds; "Match exec" may run any command
_OPTIONS: Final = {
    "BatchMode": "yes",  # there is no user to answer questions
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": f"{CONNECT:.0f}",
    "ServerAliveInterval": f"{KEEPALIVE}",
    "ServerAliveCountMax": "3",
    "ControlPath": "none",  # sessions that share a connection would share its bandwidth
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "LogLevel": "ERROR",  # why it ended, but no banner
}
# Only where ssh_config(5) sets them: OpenSSH before 8.7 does not know them.
_DETACHING: Final = ("ForkAfterAuthentication", "StdinNull")


def ssh_command(target: Target, settings: Settings) -> list[str]:
    """Return the command line that starts the "sftp" subsystem on the host."""
    flags = _flags(target)
    flags += [f"-o{name}=no" for name in _DETACHING if settings.get(name.lower()) == ["yes"]]
    if prefers_aes(settings):
        flags.append("-oCiphers=^aes128-gcm@openssh.com")  # the fastest
    return ["ssh", "-T", *flags, "-s", "--", target.endpoint.host, "sftp"]


def ssh_settings(target: Target) -> Settings:
    """Return the settings that ssh would use for a target.

    Raises ConfigError, with what ssh says, when it cannot use them.
    """
    try:
        return _settings([*_flags(target), "-s", "--", target.endpoint.host, "sftp"])
    except subprocess.CalledProcessError as error:
        text = error.stderr.strip().partition("\n")[0].strip()
        raise ConfigError(f"{target.endpoint}: ssh cannot use its options: {text}") from None
    except subprocess.TimeoutExpired:
        raise DestinationDown(
            f"{target.endpoint}: ssh -G did not end in {_SETTINGS_TIMEOUT:.0f} s:"
            " a command of Match exec in ssh_config(5) may hang"
        ) from None


def prefers_aes(settings: Settings) -> bool:
    """Return whether to put AES before the other ciphers, for less processor time.

    True when the processor has AES instructions and ssh_config(5) sets no ciphers for the host.
    OpenSSH's default, ChaCha20, takes a third more time on a fast network.
    """
    try:
        features = Path("/proc/cpuinfo").read_text()
    except OSError:  # hidden by ProcSubset= of systemd.exec(5), for instance
        return False
    return " aes " in features and settings.get("ciphers") == _default_ciphers()


def _flags(target: Target) -> list[str]:
    """Return the options that go before those of ssh_config(5)."""
    endpoint = target.endpoint
    flags = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
    if target.known_hosts is not None:
        flags += [
            f"-oUserKnownHostsFile={_quoted(target.known_hosts)}",
            f"-oGlobalKnownHostsFile={os.devnull}",
        ]
    if target.key_file is not None:
        flags += [f"-oIdentityFile={_quoted(target.key_file)}", "-oIdentitiesOnly=yes"]
    if endpoint.port != paramiko.config.SSH_PORT:  # otherwise Port of ssh_config(5) is to hold
        flags += ["-p", str(endpoint.port)]
    if endpoint.user:  # otherwise User of ssh_config(5)
        flags += ["-l", endpoint.user]
    return flags


def _quoted(path: str) -> str:
    """Return a path as one value of ssh_config(5), which has tokens, quotes and variables."""
    if "${" in path:
        raise ConfigError(f"{path}: ssh would replace ${{…}} in this name; give the file another")
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


@functools.cache
def _default_ciphers() -> list[str]:
    return _settings(["-F", os.devnull, "--", "host"]).get("ciphers", [])


def _settings(arguments: Sequence[str]) -> Settings:
    done = subprocess.run(
        ["ssh", "-G", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=True,
        timeout=_SETTINGS_TIMEOUT,
    )
    settings: Settings = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        settings.setdefault(name, []).append(value)
    return settings
