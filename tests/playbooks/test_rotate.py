"""What playbooks/rotate.yml does on the control machine: certificates, passwords."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.lab.control import BIN, Control, openssl
from tests.lab.plugins import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)  # many runs of Ansible

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


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    return Control(tmp_path_factory.mktemp("control"))


@pytest.fixture
def issued(control: Control) -> Control:
    """A control machine where no replacement is under way, and all certificates are there."""
    status, said = control.run(CERTIFICATES, begin=False, end=False)
    assert status == 0, said
    return control


def test_all_certificates_of_hosts_are_replaced_with_their_keys(issued: Control) -> None:
    before, authority = issued.serials(), (issued.pki / "ca.pem").read_text()
    status, said = issued.run(CERTIFICATES)
    assert status == 0, said
    after = issued.serials()
    assert not set(before.values()) & set(after.values())
    assert (issued.pki / "ca.pem").read_text() == authority
    assert not (issued.pki / "replacing.json").exists()
    for copy, name in (("cert.pem", "hosts"), ("inner/cert.pem", "inner/hosts")):
        path = issued.directory / "host/pki" / copy
        assert openssl("x509", "-noout", "-serial", "-in", path) == after[name]


def test_a_run_that_was_ended_is_completed_and_replaces_nothing_twice(issued: Control) -> None:
    before = issued.serials()
    assert issued.run(CERTIFICATES, end=False)[0] == 0
    half = issued.serials()
    # As if that run had been ended between the key and the certificate of one of them.
    (issued.pki / "inner/hosts/svrone.key").unlink()
    status, said = issued.run(CERTIFICATES)
    assert status == 0, said
    after = issued.serials()
    assert after["hosts"] == half["hosts"] != before["hosts"]
    assert after["inner/hosts"] != before["inner/hosts"]


def test_a_certificate_that_was_not_replaced_is_told(issued: Control) -> None:
    pem = issued.pki / "hosts/svrone.pem"
    copies = {path: path.read_text() for path in (pem, pem.with_suffix(".key"))}
    assert issued.run(CERTIFICATES, end=False)[0] == 0
    for path, text in copies.items():
        path.write_text(text)
    status, said = issued.run(CERTIFICATES, begin=False)
    assert status != 0
    assert "own of svrone: not replaced; run this playbook again" in said
    assert issued.run(CERTIFICATES)[0] == 0


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
