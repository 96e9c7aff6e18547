"""Installs missing peers from Debian and PyPI, and returns the versions of all peers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab import sr3

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
# For peers from PyPI; sr3 and paramiko are in the environment of tests.lab.sr3.
VENV: Final = ROOT / ".cache/bench/venv"
SR3_PYTHON: Final = sr3.VENV / "bin/python"
PYTHON: Final = VENV / "bin/python"
PACKAGES: Final = ("asyncssh==2.24.1",)
PROGRAMS: Final = {  # and the Debian packages that contain them
    "globus-gridftp-server": "globus-gridftp-server-progs",
    "globus-url-copy": "globus-gass-copy-progs",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "lftp": "lftp",
    "ping": "iputils-ping",
    "rclone": "rclone",
    "rsync": "rsync",
}
_VERSION: Final = re.compile(r"\d+\.\d+[\w.+]*")
_POLICY: Final = Path("/usr/sbin/policy-rc.d")


def install() -> None:
    """Install all peers; raise CalledProcessError or Unavailable if one cannot be installed."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        print(f"installing from Debian: {' '.join(missing)}", flush=True)
        with _no_services():
            _quietly("apt-get", "update", "-qq")
            _quietly("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
    sr3.install()
    sr3.environment(VENV, PACKAGES)


def versions() -> dict[str, str]:
    """Return the versions of all programs and libraries that are measured."""
    found = {
        "sarra_lite": f"{metadata.version('sarra_lite')} ({_commit()})",
        "Python": sys.version.split()[0],
        "OpenSSH": _output("ssh", "-V").partition(",")[0].removeprefix("OpenSSH_"),
        "RabbitMQ": _output("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"),
        "asyncssh": _package(PYTHON, "asyncssh"),
        "paramiko": _package(SR3_PYTHON, "paramiko"),
        "metpx-sr3": _package(SR3_PYTHON, "metpx-sr3"),
    }
    for name, package in PROGRAMS.items():
        if name not in ("ip", "ping"):
            found[package] = _output("dpkg-query", "-W", "-f", "${Version}", package)
    return found


def version_of(program: str) -> str:
    """Return the first version number in the output of a program's version options."""
    output = _output(program, "-V") + _output(program, "--version")
    match = _VERSION.search(output)
    return match[0] if match else "unknown"


@contextmanager
def _no_services() -> Iterator[None]:
    """Prevent Debian from starting services of packages, unless a policy for that exists."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _quietly(*command: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def _output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL
    )
    return (done.stdout + done.stderr).strip()


def _package(python: Path, name: str) -> str:
    script = f"from importlib import metadata; print(metadata.version({name!r}))"
    return _output(str(python), "-c", script)


def _commit() -> str:
    return _output("git", "describe", "--always", "--dirty", "--abbrev=8")
