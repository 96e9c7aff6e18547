"""How the ssh program is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sarra_lite.sftp import openssh

# Stands for "ssh -G": with -F the default ciphers, without it those that the test sets.
SCRIPT = """#!/bin/sh
case "$*" in
    *-F*) echo "ciphers chacha20,aes" ;;
    *) echo "ciphers {set}" ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a program called ssh that is found before the real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    openssh.prefers_aes.cache_clear()
    return tmp_path / "ssh"


@pytest.mark.skipif(
    " aes " not in Path("/proc/cpuinfo").read_text(),
    reason="this processor has no instructions for AES",
)
@pytest.mark.parametrize(("configured", "preferred"), [("chacha20,aes", True), ("ctr", False)])
def test_aes_is_preferred_unless_ssh_config_sets_ciphers(
    program: Path, configured: str, *, preferred: bool
) -> None:
    program.write_text(SCRIPT.format(set=configured))
    program.chmod(0o755)
    assert openssh.prefers_aes("host") is preferred
