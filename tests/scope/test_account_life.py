"""An account is revoked by one command, expires by itself, and is bound to networks."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scope.test_failover import several, until
from tests.scope.test_runs import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.timeout(500)]

TAGS = ("--tags", "accounts,broker_objects")
HOLD = """
import pathlib, pika, ssl, sys
tls = pika.SSLOptions(ssl.create_default_context(cafile=sys.argv[2]), sys.argv[3])
parameters = pika.URLParameters(sys.argv[1])
parameters.ssl_options = tls
connection = pika.BlockingConnection(parameters)
pathlib.Path("held").touch()
try:
    connection.process_data_events(300)
finally:
    pathlib.Path("held").unlink()
"""


class Tenant:
    """A user of the accounts file, on the users' host."""

    def __init__(self, scope: Scope, client: Client, entry: dict[str, Any]) -> None:
        """``client`` is a user on the same host, ``entry`` the entry of the accounts file."""
        self._scope = scope
        self._client = client
        self.name: str = entry["name"]
        self.login: str = entry["login"]
        self.uid: int = entry["uid"]
        self.broker_user = scope.var("scope_user_prefix") + self.name
        key = client.ok("ssh-keygen -lf ~/.ssh/id_ed25519", user=self.name)
        self.key = key.split()[1]

    def log_in(self) -> Any:
        return self._client.run(
            f"echo pwd | sftp -b - {self.login}@{self._client.sftp_name}", user=self.name
        )

    def refused(self) -> bool:
        return "Permission denied" in self.log_in().stderr

    def hold(self) -> None:
        """Open a session and a connection to the broker that would last 300 seconds."""
        password = self._scope.var("scope_broker_passwords")[self.broker_user]
        url = f"amqps://{self.broker_user}:{password}@{self._client.broker_name}:5671/%2f"
        words = f"{url} {self._scope.var('scope_ca_file')} {self._client.broker_name}"
        self._client.ok(
            f"cat > hold.py <<'END'\n{HOLD}\nEND\n"
            f"rm -f held; {{ sleep 300 | sftp -q {self.login}@{self._client.sftp_name} &"
            f" timeout 300 /opt/sarra_lite/current/bin/python hold.py {words} &"
            " } > hold.log 2>&1 < /dev/null;"
            " for n in $(seq 100); do [ -e held ] && break; sleep 0.1; done; cat hold.log;"
            " [ -e held ]",
            user=self.name,
        )
        assert until(lambda: self.sessions() != "")

    def sessions(self) -> str:
        """Return the processes of the login on all nodes."""
        return "".join(
            self._scope.host(node).check_output(f"pgrep -u {self.uid} || true")
            for node in self._scope.group("sftp_nodes")
        )

    def held(self) -> bool:
        """Return whether the connection to the broker is still open."""
        return bool(self._client.run("[ -e held ]", user=self.name).rc == 0)

    def at_the_broker(self) -> bool:
        broker = self._scope.host(self._scope.group("brokers")[0])
        users = broker.check_output("rabbitmqctl -q list_users").splitlines()
        return self.broker_user in [line.split()[0] for line in users]


@pytest.fixture
def tenant(scope: Scope, client: Client) -> Tenant:
    """The last user of the accounts file."""
    return Tenant(scope, client, scope.var("accounts")["users"][-1])


@pytest.fixture
def accounts_file(scope: Scope, tmp_path: Path) -> Path:
    """A copy of the accounts file, for the playbook to write to."""
    return Path(shutil.copy(scope.var("scope_accounts_file"), tmp_path / "accounts.yml"))


def with_changes(scope: Scope, path: Path, **changes: Any) -> tuple[str, str]:
    """Return arguments of a playbook for accounts in which the last user's entry is changed."""
    accounts = scope.var("accounts")
    *others, last = accounts["users"]
    users = [*others, {**last, **changes}]
    path.write_text(json.dumps({"accounts": {**accounts, "users": users}}))
    return "-e", f"@{path}"


@pytest.fixture
def brought_back(scope: Scope, tenant: Tenant) -> Iterator[None]:
    """Restores the user after a test, and others of the lab who have the same key."""
    yield
    names = [user["name"] for user in scope.var("accounts")["users"]]
    restore = json.dumps({"accounts_restore": names})
    back = scope.playbook("site", *TAGS, "-e", restore)
    assert back.returncode == 0, back.stdout
    assert not tenant.refused()


@pytest.mark.one_host
@pytest.mark.usefixtures("brought_back")
def test_one_command_ends_an_account_and_an_old_accounts_file_does_not_bring_it_back(
    scope: Scope, tenant: Tenant, accounts_file: Path
) -> None:
    tenant.hold()
    before = accounts_file.read_text()
    where = ("-e", f"scope_accounts_file={accounts_file}")
    begin = time.monotonic()
    done = scope.playbook("revoke", "-e", f"user={tenant.name}", *where)
    assert time.monotonic() - begin < 60
    assert done.returncode == 0, done.stdout
    assert tenant.refused()
    assert tenant.sessions() == ""
    assert until(lambda: not tenant.held())
    assert not tenant.at_the_broker()
    (line,) = set(accounts_file.read_text().splitlines()) - set(before.splitlines())
    assert line.strip().startswith("revoked: 20")
    assert accounts_file.read_text().replace(f"{line}\n", "") == before
    again = scope.playbook("revoke", "-e", f"user={tenant.name}", *where)
    assert again.returncode == 0
    assert set(changed(again.stdout).values()) == {0}, again.stdout
    old = scope.playbook("site", *TAGS)
    assert old.returncode != 0
    assert f"{tenant.name} is revoked on the nodes" in old.stdout
    assert tenant.refused()
    written = scope.playbook("site", *TAGS, "-e", f"@{accounts_file}")
    assert written.returncode == 0, written.stdout
    assert tenant.refused()


def podman(scope: Scope, verb: str, host: str) -> None:
    """Pause or unpause the container of a host."""
    subprocess.run(["podman", verb, f"sarra-{host}"], check=True, env=scope.environment)


@pytest.mark.security
@pytest.mark.usefixtures("brought_back")
def test_a_node_that_was_down_refuses_who_was_revoked_meanwhile(
    scope: Scope, tenant: Tenant, accounts_file: Path
) -> None:
    down = several(scope, "sftp_nodes")[-1]
    if not scope.var("lab_networks"):
        pytest.skip("only a lab can take a host away")
    keys = f"/usr/local/libexec/sftp-keys-of {tenant.login}"
    assert scope.host(down).check_output(keys).startswith("ssh-")
    arguments = ("-e", f"user={tenant.name}", "-e", f"scope_accounts_file={accounts_file}")
    podman(scope, "pause", down)
    try:
        begin = time.monotonic()
        done = scope.playbook("revoke", *arguments)
        assert time.monotonic() - begin < 60
    finally:
        podman(scope, "unpause", down)
    assert done.returncode == 2, done.stdout
    assert f"{down}: did not answer; it refuses the login" in " ".join(done.stdout.split())
    # Nothing was told to the node: it reads the record, as soon as it has the file system again.
    assert until(lambda: scope.host(down).run(keys).rc == 0)
    assert scope.host(down).check_output(keys) == ""
    assert tenant.refused()
    again = scope.playbook("revoke", *arguments)
    assert again.returncode == 0, again.stdout


@pytest.mark.security
@pytest.mark.one_host
@pytest.mark.usefixtures("brought_back")
def test_a_key_is_revoked_and_the_account_stays(
    scope: Scope, tenant: Tenant, accounts_file: Path
) -> None:
    where = ("-e", f"scope_accounts_file={accounts_file}")
    other = scope.playbook("revoke", "-e", f"user={tenant.name}", "-e", "key=SHA256:other", *where)
    assert other.returncode == 2
    assert f"has no key SHA256:other; there are {tenant.key}" in " ".join(other.stdout.split())
    done = scope.playbook("revoke", "-e", f"user={tenant.name}", "-e", f"key={tenant.key}", *where)
    assert done.returncode == 0, done.stdout
    assert tenant.refused()
    assert tenant.at_the_broker()
    assert f'revoked_keys: ["{tenant.key}"]' in accounts_file.read_text()


@pytest.fixture
def as_before(scope: Scope) -> Iterator[None]:
    """Applies the accounts of the inventory after a test."""
    yield
    back = scope.playbook("site", *TAGS)
    assert back.returncode == 0, back.stdout


@pytest.mark.security
@pytest.mark.one_host
@pytest.mark.usefixtures("as_before")
def test_an_account_that_has_expired_is_refused_and_its_sessions_end_without_a_playbook(
    scope: Scope, tenant: Tenant, tmp_path: Path
) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(time.time() + 86400))
    coming = scope.playbook("site", *TAGS, *with_changes(scope, tmp_path / "a.json", expires=soon))
    assert coming.returncode == 0, coming.stdout
    tenant.hold()
    nodes = [scope.host(name) for name in scope.group("sftp_nodes")]
    brokers = [scope.host(name) for name in scope.group("brokers")]
    for host in nodes:
        host.check_output("systemctl start sftp-accounts-check")
        warned = host.check_output("journalctl -b -p warning -o cat -u sftp-accounts-check")
        assert f"{tenant.login}: account expires ({soon})" in warned
    assert tenant.sessions() != ""
    # The time comes: what the role wrote names a time that is over.
    for hosts, path, unit in (
        (nodes, "/etc/ssh/transfer/ends", "sftp-accounts-check"),
        (brokers, "/etc/rabbitmq/accounts-end", "broker-accounts-check"),
    ):
        for host in hosts:
            assert host.check_output(f"systemctl is-active {unit}.timer") == "active"
            assert soon in host.file(path).content_string
            host.check_output(f"sed -i s/{soon}/2026-01-01/ {path}; systemctl start {unit}")
    assert tenant.sessions() == ""
    assert until(lambda: not tenant.held())
    assert not tenant.at_the_broker()


@pytest.mark.security
@pytest.mark.one_host
@pytest.mark.usefixtures("as_before")
def test_logins_are_bound_to_networks_and_to_a_time(
    scope: Scope, client: Client, tmp_path: Path
) -> None:
    accounts = scope.var("accounts")
    changes: dict[str, dict[str, Any]] = {
        "earnest": {"from": ["10.0.0.0/8"], "expires": "2099-01-01"},
        "bob": {"from": ["192.0.2.0/24"]},
        "bobby": {"expires": "2026-01-01"},
    }
    if not changes.keys() <= {user["name"] for user in accounts["users"]}:
        pytest.skip("the inventory has other users than the lab")
    users = [{**user, **changes.get(user["name"], {})} for user in accounts["users"]]
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps({"accounts": {**accounts, "users": users}}))
    done = scope.playbook("site", "--tags", "accounts", "-e", f"@{path}")
    assert done.returncode == 0, done.stdout
    changed = [user for user in users if user["name"] in changes]
    refused = {user["name"]: Tenant(scope, client, user).refused() for user in changed}
    assert refused == {
        "earnest": False,
        "bob": True,
        "bobby": True,
    }


@pytest.mark.security
@pytest.mark.one_host
def test_a_broker_password_is_changed_at_both_ends_and_old_connections_are_closed(
    scope: Scope, client: Client, tmp_path: Path
) -> None:
    broker = scope.host(scope.group("brokers")[0])

    def connections() -> set[str]:
        printed = broker.check_output("rabbitmqctl -q list_connections pid user")
        lines = [line.split("\t") for line in printed.splitlines()]
        return {line[0] for line in lines if line[1:] == [client.broker_user]}

    before = connections()
    assert before
    known = scope.var("scope_broker_passwords")
    path = tmp_path / "passwords.json"
    path.write_text(
        json.dumps({"scope_broker_passwords": {**known, client.broker_user: "another"}})
    )
    tags = ("--tags", "broker_objects,source_host")
    try:
        done = scope.playbook("site", *tags, "-e", f"@{path}")
        assert done.returncode == 0, done.stdout
        assert not before & connections()
        client.ok("echo rotated > rotated; sr_post --quiet --wait rotated")
    finally:
        back = scope.playbook("site", *tags)
    assert back.returncode == 0, back.stdout
