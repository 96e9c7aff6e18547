"""The directories of configurations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sarra_lite.config import files

if TYPE_CHECKING:
    import pytest


def test_a_user_without_a_home_directory_has_the_configurations_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(
        "os.getuid", lambda: 61_999
    )  # as systemd assigns one, without an entry in passwd
    assert files.directories() == [Path("/etc/sarra_lite")]


def test_configurations_of_the_user_come_before_those_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/earnest/.config")
    assert files.directories() == [
        Path("/home/earnest/.config/sarra_lite"),
        Path("/etc/sarra_lite"),
    ]
