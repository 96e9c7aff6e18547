"""What playbooks/rotate.yml does on the control machine: certificates, passwords, host key."""

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

from tests.lab.plugins import ROOT

pytestmark = pytest.mark.timeout(400)  # many runs of Ansible

BIN: Final = Path(sys.executable).parent
CERTIFICATES: Final = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - include_role: {{name: pki, tasks_from: replace}}
      when: begin | default(true) | bool
- hosts: scope
  connection: local
  gather_facts: false
  roles: [pki]
- hosts: localhost
  gather_facts: false
  tasks:
    - include_role: {{name: pki, tasks_from: replaced}}
      when: end | default(true) | bool
"""
PASSWORDS: Final = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - scope_passwords:
        path: "{{{{ scope_passwords_file }}}}"
        users: "{{{{ names }}}}"
        state: renewed
    - scope_passwords: {{path: "{{{{ scope_passwords_file }}}}", state: settled}}
      when: end | default(true) | bool
"""
HOST_KEY: Final = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - include_role: {{name: sftp_server, tasks_from: next_key_plan}}
    - include_role: {{name: sftp_server, tasks_from: next_key}}
"""


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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Control:
    return Control(tmp_path_factory.mktemp("control"))


@pytest.fixture
def control(made: Control) -> Control:
    """A control machine where no replacement is under way, and all certificates are there."""
    status, said = made.run(CERTIFICATES, begin=False, end=False)
    assert status == 0, said
    return made


def test_all_certificates_of_hosts_are_replaced_with_their_keys(control: Control) -> None:
    before, authority = control.serials(), (control.pki / "ca.pem").read_text()
    status, said = control.run(CERTIFICATES)
    assert status == 0, said
    after = control.serials()
    assert not set(before.values()) & set(after.values())
    assert (control.pki / "ca.pem").read_text() == authority
    assert not (control.pki / "replacing.json").exists()
    for copy, name in (("cert.pem", "hosts"), ("inner/cert.pem", "inner/hosts")):
        path = control.directory / "host/pki" / copy
        assert openssl("x509", "-noout", "-serial", "-in", path) == after[name]


def test_a_run_that_was_ended_is_completed_and_replaces_nothing_twice(control: Control) -> None:
    before = control.serials()
    assert control.run(CERTIFICATES, end=False)[0] == 0
    half = control.serials()
    # As if that run had been ended between the key and the certificate of one of them.
    (control.pki / "inner/hosts/svrone.key").unlink()
    status, said = control.run(CERTIFICATES)
    assert status == 0, said
    after = control.serials()
    assert after["hosts"] == half["hosts"] != before["hosts"]
    assert after["inner/hosts"] != before["inner/hosts"]


def test_a_certificate_that_was_not_replaced_is_told(control: Control) -> None:
    pem = control.pki / "hosts/svrone.pem"
    copies = {path: path.read_text() for path in (pem, pem.with_suffix(".key"))}
    assert control.run(CERTIFICATES, end=False)[0] == 0
    for path, text in copies.items():
        path.write_text(text)
    status, said = control.run(CERTIFICATES, begin=False)
    assert status != 0
    assert "own of svrone: not replaced; run this playbook again" in said
    assert control.run(CERTIFICATES)[0] == 0


def test_a_file_of_passwords_stays_encrypted_and_a_second_run_completes_the_first(
    control: Control, tmp_path: Path
) -> None:
    secret = tmp_path / "vault"
    secret.write_text("of the file\n")
    known = ("--vault-password-file", str(secret))
    before = control.passwords()
    file, names = control.passwords_file, ["usrc2log", "unetops"]

    def crypt(how: str) -> None:
        command = [str(BIN / "ansible-vault"), how, *known, str(file)]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)

    crypt("encrypt")
    status, said = control.run(PASSWORDS, *known, names=["usrc2log"], end=False)
    assert status == 0, said
    copy = file.with_name(".secrets.yml.before")
    assert {path.read_text()[:14] for path in (file, copy)} == {"$ANSIBLE_VAULT"}
    assert copy.stat().st_mode & 0o77 == 0
    crypt("decrypt")
    half = control.passwords()
    crypt("encrypt")
    assert control.run(PASSWORDS, *known, names=names)[0] == 0
    crypt("decrypt")
    after = control.passwords()
    assert not copy.exists()
    assert after["usrc2log"] == half["usrc2log"] != before["usrc2log"]
    assert after["unetops"] != before["unetops"]
    assert after == before | {name: after[name] for name in names}
    assert not any(password in said for password in after.values())


def test_without_go_nothing_is_changed_and_no_host_is_connected_to(control: Control) -> None:
    files = [path for path in control.inventory.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    for what in ("certificates", "passwords", "host_key"):
        status, said = control.run(ROOT / "playbooks/rotate.yml", what=what, phase="add")
        assert status == 0, said
        assert "nothing was changed: say -e go=true" in said
        assert "changed=0" in said
    after = {path: path.read_bytes() for path in control.inventory.rglob("*") if path.is_file()}
    assert after == before


def host_key(control: Control, *phases: str) -> tuple[int, str]:
    for phase in phases:
        status, said = control.run(HOST_KEY, phase=phase)
        if status:
            break
    return status, said


def test_a_host_key_is_replaced_in_phases_and_none_is_skipped(control: Control) -> None:
    keys = control.inventory / "secrets/ssh"

    def public(end: str) -> str:
        return (keys / f"ssh_host_ed25519_key{end}.pub").read_text().split()[1]

    first = public("")
    status, said = host_key(control, "switch")
    assert status != 0
    assert "say -e phase=add" in said
    assert host_key(control, "add", "add")[0] == 0
    then = public(".next")
    assert public("") == first != then
    status, said = host_key(control, "remove")
    assert status != 0
    assert "say -e phase=switch" in said
    # As if a run had been ended when it had moved only what belongs to the private key.
    for end in ("", ".pub", "-cert.pub"):
        shutil.copy(
            keys / f"ssh_host_ed25519_key{end}", keys / f"ssh_host_ed25519_key.previous{end}"
        )
    for end in (".pub", "-cert.pub"):
        (keys / f"ssh_host_ed25519_key.next{end}").replace(keys / f"ssh_host_ed25519_key{end}")
    status, said = host_key(control, "switch", "switch")
    assert status == 0, said
    assert public("") == then
    assert public(".previous") == first
    for end in ("", ".previous"):
        private = keys / f"ssh_host_ed25519_key{end}"
        derived = subprocess.run(
            ["ssh-keygen", "-y", "-f", private], check=True, capture_output=True
        )
        assert derived.stdout.decode().split()[1] == public(end)
    shown = subprocess.run(
        ["ssh-keygen", "-L", "-f", keys / "ssh_host_ed25519_key-cert.pub"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "sftp.one.example" in shown
    assert host_key(control, "remove", "remove")[0] == 0
    assert sorted(path.name for path in keys.glob("*_key*")) == [
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key-cert.pub",
        "ssh_host_ed25519_key.pub",
    ]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "say -e what="),
        ({"what": "everything", "go": "true"}, "say -e what="),
        ({"what": "passwords", "user": "nobody"}, "-e user=NAME is for what=passwords"),
    ],
)
def test_what_makes_no_sense_is_refused(
    control: Control, variables: dict[str, str], said: str
) -> None:
    status, printed = control.run(ROOT / "playbooks/rotate.yml", **variables)
    assert status != 0
    assert said in " ".join(printed.split())
