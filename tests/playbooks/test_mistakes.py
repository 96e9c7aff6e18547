"""A mistake in an inventory is reported in one clear line, before a host is connected to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
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


def run(inventory: Path, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}.yml", *arguments],
        cwd=ROOT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACKS_ENABLED": "none",  # no host of this inventory is there to be told
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


def no_accounts(inventory: Path) -> None:
    (inventory / ACCOUNTS).unlink()


def users_of_the_scope(inventory: Path) -> None:
    """Accounts whose names at the broker would be the scope's own; one name is set differently."""

    def rename(it: Any) -> None:
        names = ("watch", "src2log", "quota")
        for user, name in zip(it["accounts"]["users"], names, strict=False):
            user["name"] = name

    edit(inventory / ACCOUNTS, rename)
    edit(inventory / LAB, lambda it: it.update(scope_netops_user="uwatch"))


def exchange_of_the_scope(inventory: Path) -> None:
    edit(inventory / ACCOUNTS, lambda it: it["accounts"]["users"][0].update(name="log"))
    edit(inventory / LAB, lambda it: it.update(scope_exchange_prefix="x"))


def logins_of_hosts(inventory: Path) -> None:
    """A login of Debian, one of an administrator, and a group of Debian."""

    def rename(it: Any) -> None:
        it["accounts"]["users"][0].update(login="root")
        it["accounts"]["users"][1].update(login="ops7")
        it["accounts"]["groups"].insert(0, {"name": "sudo", "gid": 20100})

    edit(inventory / ACCOUNTS, rename)
    edit(inventory / LAB, lambda it: it.update(ansible_user="ops7"))


def not_a_key(inventory: Path) -> None:
    edit(inventory / ACCOUNTS, lambda it: it["accounts"]["users"][1].update(keys=["ssh-rsa x"]))


def no_such_day(inventory: Path) -> None:
    edit(inventory / ACCOUNTS, lambda it: it["accounts"]["users"][1].update(expires="2026-02-30"))


def no_network(inventory: Path) -> None:
    edit(
        inventory / ACCOUNTS,
        lambda it: it["accounts"]["users"][1].update({"from": ["192.0.2.1/24"]}),
    )


def no_network_of_a_site(inventory: Path) -> None:
    site = {"name": "here", "networks": ["192.0.2.0/24", "198.51.100.1/24"]}
    edit(inventory / ACCOUNTS, lambda it: it["accounts"].update(sites=[site]))


def no_clients_seen(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(haproxy_ssh_transparent=False))
    edit(
        inventory / ACCOUNTS,
        lambda it: it["accounts"]["users"][1].update({"from": ["192.0.2.0/24"]}),
    )


def vip_elsewhere(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_sftp_vip="10.99.0.2"))


def vip_of_another(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_broker_vip="elsewhere"))


def the_same_vip(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_broker_vip="10.89.78.2"))


def vip_of_a_host(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_sftp_vip="10.89.78.12"))


def nobody_administers(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(scope_admin_networks=[]))


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


def nobody_is_told(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.pop("alertmanager_netops"))


def no_way_of_mail(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(alertmanager_smarthost="mail.example"))


def not_an_address(inventory: Path) -> None:
    edit(inventory / LAB, lambda it: it.update(alertmanager_netops=["netops, room 7"]))


def not_a_contact(inventory: Path) -> None:
    def change(it: Any) -> None:
        it["accounts"]["users"][0].update(contact="Earnest, 555-0100")
        it["accounts"]["groups"][1].update(contact="mech@nrc.example, phys@nrc.example")

    edit(inventory / ACCOUNTS, change)


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
    no_accounts: ("accounts is not set",),
    users_of_the_scope: (
        "users[0].name: watch is reserved: it would become the broker user uwatch",
        "users[1].name: src2log is reserved",
        "users[2].name: quota is reserved",
    ),
    exchange_of_the_scope: ("users[0].name: log is reserved: it would become the exchange xlog",),
    logins_of_hosts: (
        "users[0].login: root is reserved",
        "users[1].login: ops7 is reserved",
        "groups[0].name: sudo is reserved",
    ),
    not_a_key: ("accounts.users[1].keys[0]: 'ssh-rsa x' does not match",),
    no_such_day: ("accounts.users[1].expires: 2026-02-30: day is out of range",),
    no_network: ("accounts.users[1].from[0]: 192.0.2.1/24 has host bits set",),
    no_network_of_a_site: ("accounts.sites[0].networks[1]: 198.51.100.1/24 has host bits set",),
    no_clients_seen: ("haproxy_ssh_transparent (host svr", "would refuse accounts that have from"),
    vip_elsewhere: ("scope_sftp_vip: 10.99.0.2 is not in 10.89.78.11/24, the network of svrlb1",),
    the_same_vip: ("scope_broker_vip: 10.89.78.2 is scope_sftp_vip, too",),
    vip_of_a_host: ("scope_public_address of svrlb2: 10.89.78.12 is scope_sftp_vip, too",),
    nobody_administers: ("scope_admin_networks: a list of at least one network is needed",),
    no_name: ("scope_sftp_name is not set",),
    misspelt: ("haproxy_max_conn (host", "nothing reads: is haproxy_maxconn meant?"),
    no_password: ("scope_broker_passwords lacks ubobby; playbooks/secrets.yml makes it",),
    no_cookie: ("the secret scope_erlang_cookie is missing; playbooks/secrets.yml makes it",),
    no_host_key: ("ssh/ssh_host_ed25519_key: missing; playbooks/secrets.yml makes it",),
    nobody_is_told: ("alertmanager_netops is empty, so nobody would be told of an alert",),
    no_way_of_mail: ("alertmanager_smarthost is mail.example: e-mail needs the name and port",),
    not_an_address: ("alertmanager_netops: netops, room 7 is neither an e-mail address nor a URL",),
    not_a_contact: (
        "accounts.users[0].contact: 'Earnest, 555-0100' does not match",
        "accounts.groups[1].contact: 'mech@nrc.example, phys@nrc.example' does not match",
    ),
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


@pytest.mark.parametrize(
    ("playbook", "arguments"),
    [
        ("site", ("--limit", "svrlb1")),
        ("site", ("--limit", "brokers", "--tags", "haproxy")),
        ("drain", ("--limit", "svrlb1", "-e", "node=svrsftp1")),
        ("switchover", ("--limit", "svrlb1", "-e", "to=svrsftpB2", "--tags", "other")),
        ("purge", ("--limit", "svrlb1", "-e", "purge_confirmed=yes", "--tags", "other")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_no_choice_of_hosts_or_tags_skips_the_check(
    inventory: Path, playbook: str, arguments: tuple[str, ...]
) -> None:
    vip_of_another(inventory)
    done = run(inventory, playbook, *arguments)
    assert done.returncode != 0
    assert "scope_broker_vip: 'elsewhere' is not an IP address" in done.stdout + done.stderr
    assert "unreachable=1" not in done.stdout


@pytest.mark.parametrize(
    ("playbook", "said"),
    [("drain", "say -e node=NAME, one of svrsftp1"), ("switchover", "say -e to=NAME, one of")],
)
def test_no_choice_of_hosts_skips_the_check_of_arguments(
    correct: Path, playbook: str, said: str
) -> None:
    done = run(correct, playbook, "--limit", "svrlb1")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "unreachable=1" not in done.stdout


def test_a_correct_inventory_is_found_correct(correct: Path) -> None:
    done = run(correct, "validate")
    assert done.returncode == 0, done.stdout + done.stderr


def test_status_warns_two_weeks_before_an_account_expires(inventory: Path) -> None:
    day = datetime.now(UTC).date() + timedelta(days=13)

    def expire(users: Any) -> None:
        users[1].update(expires=day)
        users[2].update(expires=day + timedelta(days=9))

    edit(inventory / ACCOUNTS, lambda it: expire(it["accounts"]["users"]))
    done = run(inventory, "status", "--limit", "localhost")
    assert f"bob: account expires ({day})" in done.stdout
    assert "bobby" not in done.stdout


def test_a_revocation_of_a_part_of_the_hosts_is_refused(inventory: Path) -> None:
    before = (inventory / ACCOUNTS).read_bytes()
    done = run(inventory, "revoke", "-e", "user=bob", "--limit", "svrsftp1")
    assert done.returncode == 2
    assert "omit --limit" in done.stdout
    assert (inventory / ACCOUNTS).read_bytes() == before


def test_a_revocation_that_no_host_answers_is_written_and_listed_as_open(inventory: Path) -> None:
    done = run(
        inventory,
        "revoke",
        "-e",
        "user=bob",
        "-e",
        "ansible_host=127.0.0.1",
        "-e",
        "ansible_port=1",
    )
    assert done.returncode == 2, done.stdout
    for host in ("svrsftp1", "svrsftp2", "svrsftp3", "svrsftpB1", "svrsftpB2"):
        assert f"{host}: did not answer" in done.stdout
    assert "IT STILL LETS THE USER IN" in done.stdout
    users = yaml.safe_load((inventory / ACCOUNTS).read_text())["accounts"]["users"]
    assert [user["name"] for user in users if "revoked" in user] == ["bob"]


def test_secrets_are_made_once(correct: Path) -> None:
    """A second run keeps existing secrets: a new key would lock all users out."""
    files = [path for path in correct.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    done = run(correct, "secrets")
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout
    assert {path: path.read_bytes() for path in files} == before


def one_more_user(it: Any) -> None:
    it["accounts"]["users"].append(
        {**it["accounts"]["users"][0], "name": "dana", "login": "dana01", "uid": 20009}
    )


def test_secrets_add_the_password_of_a_new_user_and_keep_all_else(inventory: Path) -> None:
    with (inventory / SECRETS).open("a") as file:
        file.write("smtp_password: theirs  # of the site\n")
    text = (inventory / SECRETS).read_text()
    edit(inventory / ACCOUNTS, one_more_user)
    assert run(inventory, "secrets").returncode == 0
    lines = (inventory / SECRETS).read_text().splitlines()
    (added,) = set(lines) - set(text.splitlines())
    assert len(yaml.safe_load(added)["udana"]) > 20
    lines.remove(added)
    assert lines == text.splitlines()


def vault(*arguments: str | Path) -> str:
    command = [Path(sys.executable).with_name("ansible-vault"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("label", ["prod", None])
def test_secrets_keep_a_file_encrypted_with_its_vault_id(
    inventory: Path, tmp_path: Path, label: str | None
) -> None:
    """A second vault id is given, too: its password must not become that of the file."""
    for name in ("ours", "another"):
        (tmp_path / name).write_text(f"{name}-password")
    ours = f"{label}@{tmp_path}/ours" if label else f"{tmp_path}/ours"
    given = ("--vault-id", f"test@{tmp_path}/another", "--vault-id", ours)
    secrets = inventory / SECRETS
    before = secrets.read_text()
    vault("encrypt", "--vault-id", ours, secrets)
    head = secrets.read_text().splitlines()[0]
    edit(inventory / ACCOUNTS, one_more_user)
    done = run(inventory, "secrets", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert secrets.read_text().splitlines()[0] == head
    after = vault("view", "--vault-id", ours, secrets)
    assert "udana" in after
    assert [line for line in after.splitlines() if "udana" not in line] == before.splitlines()
    assert run(inventory, "secrets", *given).stdout.count("changed=0")


def test_secrets_stop_before_a_key_that_is_encrypted(inventory: Path, tmp_path: Path) -> None:
    """The module that makes keys takes it for a broken key, and makes another authority."""
    (tmp_path / "password").write_text("x")
    key = inventory / "secrets/pki/ca.key"
    vault("encrypt", "--vault-password-file", tmp_path / "password", key)
    before = key.read_bytes()
    done = run(inventory, "secrets", "--vault-password-file", str(tmp_path / "password"))
    assert done.returncode != 0
    assert f"{key}: encrypted by ansible-vault; decrypt it" in " ".join(done.stdout.split())
    assert key.read_bytes() == before
