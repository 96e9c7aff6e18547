"""Installs the peers that are missing, from Debian and PyPI, and tells all versions."""

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
VENV: Final = ROOT / ".cache/bench/venv"  # of peers from PyPI; sr3 and paramiko are in sr3's own
SR3_PYTHON: Final = sr3.VENV / "bin/python"
PYTHON: Final = VENV / "bin/python"
PACKAGES: Final = ("asyncssh==2.24.1",)
PROGRAMS: Final = {  # and the packages of Debian that have them
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
    """Have all peers; raise CalledProcessError or Unavailable when one cannot be installed."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        print(f"installing from Debian: {' '.join(missing)}", flush=True)
        with _no_services():
            _quietly("apt-get", "update", "-qq")
            _quietly("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
    sr3.install()
    sr3.environment(VENV, PACKAGES)


def versions() -> dict[str, str]:
    """Return the version of all that takes part."""
    found = {
        "sarra_lite": f"{metadata.version('sarra_lite')} ({_commit()})",
        "Python": sys.version.split()[0],
        "OpenSSH": _said("ssh", "-V").partition(",")[0].removeprefix("OpenSSH_"),
        "RabbitMQ": _said("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"),
        "asyncssh": _package(PYTHON, "asyncssh"),
        "paramiko": _package(SR3_PYTHON, "paramiko"),
        "metpx-sr3": _package(SR3_PYTHON, "metpx-sr3"),
    }
    for name, package in PROGRAMS.items():
        if name not in ("ip", "ping"):
            found[package] = _said("dpkg-query", "-W", "-f", "${Version}", package)
    return found


def version_of(program: str) -> str:
    """Return what looks like a version in what a program says of itself."""
    said = _said(program, "-V") + _said(program, "--version")
    match = _VERSION.search(said)
    return match[0] if match else "unknown"


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep Debian from starting the services of packages, unless somebody decided on that."""
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


def _said(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL
    )
    return (done.stdout + done.stderr).strip()


def _package(python: Path, name: str) -> str:
    script = f"from importlib import metadata; print(metadata.version({name!r}))"
    return _said(str(python), "-c", script)


def _commit() -> str:
    return _said("git", "describe", "--always", "--dirty", "--abbrev=8")
