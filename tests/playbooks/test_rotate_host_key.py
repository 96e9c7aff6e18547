"""What playbooks/rotate.yml does on the control machine to replace the host key."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import pytest

from tests.lab.control import Control

pytestmark = pytest.mark.timeout(400)  # many runs of Ansible

HOST_KEY: Final = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - include_role: {{name: sftp_server, tasks_from: next_key_plan}}
    - include_role: {{name: sftp_server, tasks_from: next_key}}
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    return Control(tmp_path_factory.mktemp("control"))


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
