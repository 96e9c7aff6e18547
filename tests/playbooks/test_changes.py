"""A run of a playbook that changes something leaves an entry, until a monitoring host takes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]


class Control:
    """A control machine with an inventory whose monitoring hosts are not there."""

    def __init__(self, directory: Path) -> None:
        """Use the lab's inventory, with secrets of its own."""
        self.inventory = directory / "scope"
        self.state = directory / "state"
        ignored = shutil.ignore_patterns("secrets", "secrets.yml")
        shutil.copytree(ROOT / "inventories/lab", self.inventory, ignore=ignored)
        hosts = yaml.safe_load((self.inventory / "hosts.yml").read_text())
        hosts["monitoring"]["hosts"].clear()
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run secrets.yml, which changes this machine only."""
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "XDG_STATE_HOME": str(self.state),
            "SUDO_USER": "anna",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        words = ["ansible-playbook", "-i", str(self.inventory), "playbooks/secrets.yml"]
        return subprocess.run(
            [*words, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries that wait, the oldest first."""
        found = sorted(self.state.rglob("*.json"))
        return sorted((json.loads(path.read_text()) for path in found), key=lambda it: it["began"])


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def test_what_a_run_changed_waits_also_if_it_failed(
    control: Control,
) -> None:
    failing = ("-e", "scope_passwords_file=/nowhere/secrets.yml", "-e", "user=eve")
    failed = control.run(*failing)
    assert failed.returncode == 2
    assert "not in the log of the scope yet" in failed.stderr
    made = control.run()
    assert made.returncode == 0, made.stdout + made.stderr
    first, second = control.entries()
    assert first["failed"]
    assert first["arguments"] == ["scope_passwords_file", "user=eve"]
    assert "Make the canary's key" in [row["task"] for row in first["changed"]]
    assert second["failed"] == []
    assert {row["hosts"][0] for row in second["changed"]} == {"localhost"}
    assert (second["playbook"], second["ended"] > second["began"]) == ("secrets.yml", True)
    assert first["who"]
    secrets = yaml.safe_load((control.inventory / "group_vars/all/secrets.yml").read_text())
    told = json.dumps([first, second])
    for secret in (secrets["scope_erlang_cookie"], *secrets["scope_broker_passwords"].values()):
        assert secret not in told
