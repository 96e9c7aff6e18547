"""Logins through ssh_config(5) as people have it, with the real ssh and a real sshd."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import ConfigError, DestinationDown, DestinationRefused, HostKeyError
from sarra_lite.sftp.client import SftpClient
from sarra_lite.sftp.target import Target
from tests.lab.processes import find_program
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = """
Host lab
    HostName {sshd.address}
    Port {sshd.port}
    User {sshd.user}
"""
ALWAYS = """
Host *
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
"""
KEY = "    IdentityFile {sshd.user_key}"
PLAIN = "sftp://{sshd.user}@{sshd.address}:{sshd.port}/"
ALIAS = "sftp://lab"
# Fragments of ssh_config(5) with which a login works.
WORKING = {
    "nothing": "",
    "a remote command": "RemoteCommand /bin/false",
    "a remote command with a terminal": "RemoteCommand tmux attach\nRequestTTY force",
    "quiet": "LogLevel QUIET",
    "verbose": "LogLevel DEBUG3",
    "a shared connection": "ControlMaster auto\nControlPath {directory}/%C\nControlPersist 60",
    "forwarded ports": "LocalForward 127.0.0.1:{sshd.port} localhost:1\nExitOnForwardFailure yes",
    "a proxy port": "DynamicForward 127.0.0.1:{sshd.port}\nExitOnForwardFailure yes",
    "a remote port": "RemoteForward 1 localhost:1\nExitOnForwardFailure yes",
    "X11 and agent": "ForwardX11 yes\nForwardX11Trusted yes\nForwardAgent yes",
    "a tunnel": "Tunnel ethernet\nTunnelDevice 99",
    "a local command": "PermitLocalCommand yes\nLocalCommand touch {directory}/ran",
    "in the background": "ForkAfterAuthentication yes",
    "no standard input": "StdinNull yes",
    "no session": "SessionType none",
    "questions": "BatchMode no\nStrictHostKeyChecking ask\nNumberOfPasswordPrompts 3",
    "no check of the host key": "StrictHostKeyChecking no",
    "a picture of the host key": "VisualHostKey yes",
    "hashed known hosts": "HashKnownHosts yes\nUpdateHostKeys yes\nCheckHostIP yes",
    "keys for the agent": "AddKeysToAgent confirm",
    "no agent": "IdentityAgent none",
    "no keep-alive": "ServerAliveInterval 0\nTCPKeepAlive no\nConnectTimeout 1",
    "compression": "Compression yes\nRekeyLimit 1M",
    "ciphers": "Ciphers aes256-ctr\nMACs hmac-sha2-256\nKexAlgorithms curve25519-sha256",
    "an unknown option to ignore": "IgnoreUnknown UseKeychain\nUseKeychain yes",
    "environment": "SendEnv LANG LC_*\nSetEnv A=b",
    "a condition": "Match exec true\n    Compression yes",
    "a proxy command": "ProxyCommand {nc}",
    "canonical names": "CanonicalizeHostname yes\nCanonicalDomains example.invalid",
    "a missing key beside the good one": "IdentityFile {directory}/missing",
    "an unreadable key beside the good one": "IdentityFile {directory}/folder",
    "an alias of the host key": "HostKeyAlias lab-key",
    "password first": "PreferredAuthentications password,keyboard-interactive,publickey",
    "address family": "AddressFamily inet\nBindAddress 127.0.0.1\nIPQoS none",
}


class Failing(NamedTuple):
    fragment: str
    error: type[Exception]
    text: str


FAILING = {
    "a key that the host refuses": Failing(
        "IdentityFile {other_key}\nIdentitiesOnly yes\nIdentityAgent none\nLogLevel QUIET",
        DestinationRefused,
        r"Permission denied \(publickey\)\.$",
    ),
    "no public key": Failing(
        "PreferredAuthentications password", DestinationRefused, r"Permission denied \(publickey"
    ),
    "a passphrase without an agent": Failing(
        "IdentityFile {locked_key}\nIdentityAgent none", DestinationRefused, "has a passphrase"
    ),
    "an unknown option": Failing("UseKeychain yes", ConfigError, "(?i)bad configuration option"),
    "a value that is none": Failing("Port many", ConfigError, "Bad port"),
    "a cipher that is none": Failing("Ciphers rot13", ConfigError, "Bad SSH2 cipher"),
    "no known host": Failing(
        "UserKnownHostsFile /dev/null\nGlobalKnownHostsFile /dev/null", HostKeyError, "ssh-keyscan"
    ),
    "a closed port": Failing("Port 1", DestinationDown, "Connection refused"),
    "a name that does not exist": Failing(
        "HostName host.invalid", DestinationDown, "Could not resolve"
    ),
    "noise before SFTP": Failing(
        "HostName {noisy.address}\nPort {noisy.port}\nIdentityFile {noisy.user_key}",
        DestinationDown,
        r"no SFTP server answers.*says: Welcome to the cluster \\x1b\[1m!",
    ),
    "a message instead of SFTP": Failing(
        "HostName {closed.address}\nPort {closed.port}\nIdentityFile {closed.user_key}",
        DestinationDown,
        "no SFTP server answers.*says: No",
    ),
    "a banner that speaks of refusals": Failing(
        "HostName {bannered.address}\nPort {bannered.port}\nIdentityFile {bannered.user_key}",
        DestinationDown,
        r"sftp://lab/: (?!.*Permission denied)",
    ),
}


class Lab:
    """Hosts, keys and an ``ssh`` that reads the configuration of a test."""

    def __init__(self, sshd: Sshd, directory: Path) -> None:
        """Start the hosts that speak before SFTP."""
        self.sshd = sshd
        self.directory = directory
        self.known_hosts = directory / "known_hosts"
        self.config = directory / "ssh_config"
        (directory / "folder").mkdir()
        self.noisy = self._host("noisy", "printf 'Welcome to the cluster \\033[1m!\\n'; sleep 60")
        self.closed = self._host("closed", "echo No")
        self.bannered = self._host("bannered", "exit 1")
        banner = directory / "banner"
        banner.write_text("u@host: Permission denied (publickey).\nPermission denied\n")
        with (self.bannered.directory / "sshd_config").open("a") as config:
            config.write(f"Banner {banner}\n")
        self.other_key = self._key("other", "")
        self.locked_key = self._key("locked", "secret")
        hosts = [sshd, self.noisy, self.closed, self.bannered]
        lines = [host.host_key_line for host in hosts]
        kind_and_key = sshd.host_key_line.partition(" ")[2]
        self.known_hosts.write_text("\n".join([*lines, f"lab-key {kind_and_key}", ""]))
        wrapper = directory / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        wrapper.chmod(0o755)

    def _host(self, name: str, command: str) -> Sshd:
        host = Sshd(self.directory / name)
        config, script = host.directory / "sshd_config", host.directory / "subsystem"
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(0o755)
        config.write_text(config.read_text().replace("internal-sftp", str(script)))
        return host

    def _key(self, name: str, passphrase: str) -> Path:
        path = self.directory / name / "key"
        path.parent.mkdir()
        command = [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", passphrase]
        subprocess.run([*command, "-f", str(path)], check=True)
        return path

    def login(
        self, url: str, fragment: str, key_file: str | None = None, known_hosts: str | None = None
    ) -> None:
        """Log in, with a fragment before the rest of the configuration, and look up a directory."""
        host, port = self.sshd.address, self.sshd.port
        script = f"import socket,sys,threading; s=socket.create_connection(('{host}',{port}))"
        key = "" if "_key}" in fragment else KEY  # ssh would use both
        text = f"{fragment}\n{HOST}\n{ALWAYS}\n{key}"
        fields = vars(self) | {"nc": self._relay(script)}
        self.config.write_text(text.format_map(fields))
        address = url.format(sshd=self.sshd)
        endpoint = parse_url(address, ["sftp"])
        asyncio.run(self._open(Target(endpoint, key_file, known_hosts, program=True, timeout=10.0)))

    def _relay(self, script: str) -> str:
        """Return a proxy command: copies between the host and its own input and output."""
        relay = self.directory / "relay.py"
        relay.write_text(
            f"{script}\nimport os\n"
            "def out():\n    while d := s.recv(65536): os.write(1, d)\n    os._exit(0)\n"
            "threading.Thread(target=out, daemon=True).start()\n"
            "while d := os.read(0, 65536): s.sendall(d)\n"
        )
        return f"python3 {relay}"

    async def _open(self, target: Target) -> None:
        client = SftpClient(target)
        try:
            await client.open()
            assert await client.stat(".") is not None
        finally:
            client.close()


@pytest.fixture(scope="module")
def lab(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(sshd, tmp_path_factory.mktemp("ssh_config"))
    with lab.noisy, lab.closed, lab.bannered, pytest.MonkeyPatch.context() as patch:
        wrapper = lab.directory / "bin"
        patch.setenv("PATH", f"{wrapper}{os.pathsep}{os.environ['PATH']}")
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield lab


@pytest.mark.parametrize("name", WORKING)
@pytest.mark.parametrize("url", [PLAIN, ALIAS])
def test_a_login_works_with(lab: Lab, name: str, url: str) -> None:
    lab.login(url, WORKING[name])
    assert not (lab.directory / "ran").exists()


@pytest.mark.parametrize("name", FAILING)
def test_a_login_fails_and_says_why_with(lab: Lab, name: str) -> None:
    case = FAILING[name]
    with pytest.raises(case.error, match=case.text) as raised:
        lab.login(ALIAS, case.fragment)
    assert type(raised.value) is case.error
    assert "\n" not in str(raised.value)


def test_an_alias_keeps_its_capitals(lab: Lab) -> None:
    fragment = HOST.replace("Host lab", "Host MyLab")
    lab.login("sftp://MyLab/", fragment)
    with pytest.raises(DestinationDown, match="sftp://mylab/"):
        lab.login("sftp://mylab/", fragment)


@pytest.mark.parametrize("name", ["a b", "100%", 'say "x"', "back\\slash", "%h#", "a 'b'"])
def test_key_and_known_hosts_may_have_any_name(lab: Lab, name: str) -> None:
    directory = lab.directory / f"names {name}"
    directory.mkdir()
    key, known_hosts = directory / f"key {name}", directory / f"hosts {name}"
    shutil.copy(lab.sshd.user_key, key)
    shutil.copy(lab.known_hosts, known_hosts)
    nothing = "IdentityFile {other_key}\nUserKnownHostsFile /dev/null"
    lab.login(PLAIN, nothing, key_file=str(key), known_hosts=str(known_hosts))
