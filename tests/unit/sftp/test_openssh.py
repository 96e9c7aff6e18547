"""How the ssh program is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sarra_lite.sftp import openssh

SCRIPT = """#!/bin/sh
case "$*" in
    *-F*) echo "ciphers chacha20,aes" ;;
    *) echo "ciphers {set}" ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called ssh, found before the real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    openssh.prefers_aes.cache_clear()
    return tmp_path / "ssh"


@pytest.mark.skipif(
    " aes " not in Path("/proc/cpuinfo").read_text(),
    reason="this processor has no instructions for AES",
)
@pytest.mark.parametrize(("configured", "preferred"), [("chacha20,aes", True), ("ctr", False)])
def test_what_the_user_has_set_in_ssh_config_wins(
    program: Path, configured: str, *, preferred: bool
) -> None:
    program.write_text(SCRIPT.format(set=configured))
    program.chmod(0o755)
    assert openssh.prefers_aes("host") is preferred
