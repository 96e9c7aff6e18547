"""A control machine: an inventory with secrets of its own, and runs of playbooks on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from tests.lab.plugins import ROOT

BIN: Final = Path(sys.executable).parent


class Control:
    """A control machine with the inventory of a scope on one host, which is never connected to."""

    def __init__(self, directory: Path) -> None:
        """Make the inventory and its secrets."""
        self.directory, self.inventory = directory, directory / "single"
        ignored = shutil.ignore_patterns("secrets", "secrets.yml", "*lab*")
        shutil.copytree(ROOT / "inventories/single", self.inventory, ignore=ignored)
        accounts = "group_vars/all/accounts.yml"
        shutil.copy(ROOT / "inventories/example" / accounts, self.inventory / accounts)
        self.passwords_file = self.inventory / "group_vars/all/secrets.yml"
        self.pki = self.inventory / "secrets/pki"
        assert self.run(ROOT / "playbooks/secrets.yml")[0] == 0

    def run(self, playbook: Path | str, *arguments: str, **variables: Any) -> tuple[int, str]:
        """Run a playbook; return its status and what it printed."""
        if isinstance(playbook, str):
            path = self.directory / "playbook.yml"
            path.write_text(playbook.format())
            playbook = path
        host = f"{self.directory}/host"
        given = {
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "alertmanager_netops": ["https://netops.example/"],
            "alertmanager_smarthost": "mail.example:25",
            "pki_ca_file": f"{host}/ca.pem",
            "pki_certificate_dir": f"{host}/pki",
            "pki_inner_dir": f"{host}/pki/inner",
        }
        done = subprocess.run(
            [
                BIN / "ansible-playbook",
                *("-i", self.inventory, playbook, "-e", json.dumps(given | variables)),
                *arguments,
            ],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_CALLBACKS_ENABLED": "none",
                "ANSIBLE_LIBRARY": str(ROOT / "playbooks/library"),
                "ANSIBLE_ACTION_PLUGINS": str(ROOT / "playbooks/action_plugins"),
                "ANSIBLE_FILTER_PLUGINS": str(ROOT / "playbooks/filter_plugins"),
                "PATH": f"{BIN}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def serials(self) -> dict[str, str]:
        """Return the serial numbers of the host's certificates, which must be of their keys."""
        found = {}
        for name in ("hosts", "inner/hosts"):
            pem, key = (self.pki / name / f"svrone.{end}" for end in ("pem", "key"))
            public = (("x509", "-pubkey", "-noout", "-in", pem), ("pkey", "-pubout", "-in", key))
            assert openssl(*public[0]) == openssl(*public[1])
            found[name] = openssl("x509", "-noout", "-serial", "-in", pem)
        return found

    def passwords(self) -> dict[str, str]:
        """Return the passwords in the file, which is not encrypted."""
        found: dict[str, str] = yaml.safe_load(self.passwords_file.read_text())[
            "scope_broker_passwords"
        ]
        return found


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(
        ["openssl", *arguments], check=True, capture_output=True, text=True
    ).stdout
