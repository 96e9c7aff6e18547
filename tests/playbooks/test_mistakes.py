"""A mistake in an inventory is reported in one clear line, before a host is connected to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parents[2]
ACCOUNTS: Final = "group_vars/all/accounts.yml"
LAB: Final = "group_vars/all/10-lab.yml"
SECRETS: Final = "group_vars/all/secrets.yml"


def run(inventory: Path, playbook: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}.yml"],
        cwd=ROOT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def correct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the lab's inventory with secrets of its own; its hosts do not run."""
    inventory = tmp_path_factory.mktemp("inventory") / "scope"
    ignored = shutil.ignore_patterns("secrets", "secrets.yml")
    shutil.copytree(ROOT / "inventories/lab", inventory, ignore=ignored)
    (inventory / "secrets/lab").mkdir(parents=True)
    for name in ("earnest", "bob", "bobby"):
        key = inventory / f"secrets/lab/{name}_key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True
        )
    made = run(inventory, "secrets")
    assert made.returncode == 0, made.stdout + made.stderr
    return inventory


@pytest.fixture
def inventory(correct: Path, tmp_path: Path) -> Path:
    """A copy of the correct inventory, for a test to change."""
    return shutil.copytree(correct, tmp_path / "scope")


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a YAML file: ``change`` modifies its loaded content."""
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def even_members(inventory: Path) -> None:
    edit(inventory / "hosts.yml", lambda hosts: hosts["broker_witness"]["hosts"].clear())


def user_name(inventory: Path) -> None:
    edit(inventory / ACCOUNTS, lambda it: it["accounts"]["users"][0].update(name="Earnest.H"))


def the_same_uid(inventory: Path) -> None:
    edit(inventory / ACCOUNTS, lambda it: it["accounts"]["users"][1].update(uid=20001))


def not_a_key(inventory: Path) -> None:
    edit(inventory / ACCOUNTS, lambda it: it["accounts"]["users"][1].update(keys=["ssh-rsa x"]))


def vip_elsewhere(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_sftp_vip="10.99.0.2"))


def the_same_vip(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_broker_vip="10.89.78.2"))


def no_name(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.pop("scope_sftp_name"))


def misspelt(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(haproxy_max_conn=5))


def no_password(inventory: Path) -> None:
    edit(inventory / SECRETS, lambda it: it["scope_broker_passwords"].pop("ubobby"))


def no_cookie(inventory: Path) -> None:
    edit(inventory / SECRETS, lambda it: it.pop("scope_erlang_cookie"))


def no_host_key(inventory: Path) -> None:
    (inventory / "secrets/ssh/ssh_host_ed25519_key").unlink()


def no_node(inventory: Path) -> None:
    edit(inventory / "hosts.yml", lambda hosts: hosts["sftp_nodes"]["hosts"].clear())


def lost_host(inventory: Path) -> None:
    edit(inventory / "hosts.yml", lambda hosts: hosts.update(balancers={"hosts": {"svrx": None}}))


def local_on_many(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_shared_fs="local"))


def expired(inventory: Path) -> None:
    """Replace the authority's certificate with one that expired in 2025."""
    pki = inventory / "secrets/pki"
    old = x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    year = 365 * 86400
    begin = old.not_valid_before_utc.replace(year=2024)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin.fromtimestamp(begin.timestamp() + year, begin.tzinfo))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signed = builder.sign(key, hashes.SHA256())
    (pki / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))


MISTAKES: Final[dict[Callable[[Path], None], tuple[str, ...]]] = {
    even_members: ("the broker's cluster has 2 members", "broker_witness"),
    user_name: ("accounts.users[0].name: 'Earnest.H' does not match",),
    the_same_uid: ("accounts.users: uid 20001 is given 2 times",),
    not_a_key: ("accounts.users[1].keys[0]: 'ssh-rsa x' does not match",),
    vip_elsewhere: ("scope_sftp_vip: 10.99.0.2 is not in 10.89.78.11/24, the network of svrlb1",),
    the_same_vip: ("scope_broker_vip: 10.89.78.2 is scope_sftp_vip, too",),
    no_name: ("scope_sftp_name is not set",),
    misspelt: ("haproxy_max_conn (host", "nothing reads: is haproxy_maxconn meant?"),
    no_password: ("scope_broker_passwords lacks ubobby; playbooks/secrets.yml makes it",),
    no_cookie: ("the secret scope_erlang_cookie is missing; playbooks/secrets.yml makes it",),
    no_host_key: ("ssh/ssh_host_ed25519_key: missing; playbooks/secrets.yml makes it",),
    no_node: ("group sftp_nodes has no host",),
    lost_host: ("host svrx is in no group that means anything",),
    local_on_many: ("scope_shared_fs is local: local is for one SFTP node",),
    expired: ("expired: ", "/pki/ca.pem on 20", "playbooks/secrets.yml, then site.yml"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake.__name__))
def test_a_mistake_is_told_in_one_line_and_no_host_is_touched(
    inventory: Path, mistake: Callable[[Path], None]
) -> None:
    mistake(inventory)
    done = run(inventory, "site")
    assert done.returncode != 0
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if MISTAKES[mistake][0] in line
    ]
    assert said, done.stdout + done.stderr
    for part in MISTAKES[mistake]:
        assert part in said[0]
    assert "Gather facts of the hosts and run preflight checks" not in done.stdout
    assert "unreachable=1" not in done.stdout


def test_a_correct_inventory_is_found_correct(correct: Path) -> None:
    done = run(correct, "validate")
    assert done.returncode == 0, done.stdout + done.stderr


def test_secrets_are_made_once(correct: Path) -> None:
    """A second run keeps existing secrets: a new key would lock all users out."""
    files = [path for path in correct.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    done = run(correct, "secrets")
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout
    assert {path: path.read_bytes() for path in files} == before


def test_secrets_add_the_password_of_a_new_user_and_keep_the_others(inventory: Path) -> None:
    before = yaml.safe_load((inventory / SECRETS).read_text())

    def more(it: Any) -> None:
        it["accounts"]["users"].append(
            {**it["accounts"]["users"][0], "name": "dana", "login": "dana01", "uid": 20009}
        )

    edit(inventory / ACCOUNTS, more)
    assert run(inventory, "secrets").returncode == 0
    after = yaml.safe_load((inventory / SECRETS).read_text())
    assert len(after["scope_broker_passwords"].pop("udana")) > 20
    assert after == before
