"""Wrong keys cost the account that they were for, not the others behind the same address."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_account_life import Tenant
from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

pytestmark = pytest.mark.several_hosts

TRIES = 10  # wrong logins to each node, twice as many as an account may have
SSH = "ssh -o BatchMode=yes -o IdentitiesOnly=yes"
WRONG_KEYS = "rm -f wrong*; for n in 1 2 3 4 5; do ssh-keygen -q -t ed25519 -N '' -f wrong$n; done"


@pytest.fixture
def address(scope: Scope, client: Client) -> str:
    """The address of the users' host, which is in a site of the accounts file."""
    route = client.host.check_output(f"ip -oneline route get {scope.var('scope_sftp_vip')}")
    found: str = route.partition(" src ")[2].split()[0]
    sites = scope.var("accounts").get("sites", [])
    networks = [ip_network(network) for site in sites for network in site["networks"]]
    if not scope.var("lab_networks") or not any(ip_address(found) in each for each in networks):
        pytest.skip("only in a lab, from the address of a site")
    return found


@pytest.fixture
def bob(scope: Scope, client: Client) -> Tenant:
    """Another user on the same host."""
    others = [each for each in scope.var("accounts")["users"] if each["login"] != client.login]
    return Tenant(scope, client, others[0])


def counted(scope: Scope, login: str) -> int:
    """Return how many failed logins of an account the nodes have counted."""
    named = re.compile(
        rf'^sftp_logins_failed_total{{login="{login}",site="[a-z].*"}} (.+)$', re.MULTILINE
    )
    texts = [
        scope.host(node).file("/run/sftp-logins/logins.prom").content_string
        for node in scope.group("sftp_nodes")
    ]
    return sum(int(number) for text in texts for number in named.findall(text))


def gets_in(client: Client) -> bool:
    return client.ok(f"echo pwd | sftp -q -b - {client.login}@{client.sftp_name}") != ""


def test_wrong_keys_of_one_account_keep_only_that_account_out_and_not_for_long(
    scope: Scope, client: Client, address: str, bob: Tenant
) -> None:
    nodes = [scope.host(name) for name in scope.group("sftp_nodes")]
    before, number = counted(scope, bob.login), TRIES * len(nodes)
    wrong = f"{SSH} -i wrong1 {bob.login}@{client.sftp_name}"
    client.ok(f"{WRONG_KEYS}; for n in $(seq {number}); do {wrong} & done; wait", user=bob.name)
    assert gets_in(client)
    assert until(bob.refused, 5)
    said = f"{bob.login} is refused from {address} for "
    log = "journalctl -b -o cat -p warning -u sftp-logins"
    assert any(said in node.check_output(log) for node in nodes)
    assert until(lambda: counted(scope, bob.login) >= before + number, 5)
    seconds = scope.var("sftp_server_refused_seconds") or 60
    assert until(lambda: bob.log_in().rc == 0, seconds + 10)


@pytest.mark.usefixtures("address")
def test_a_client_that_offers_its_right_key_last_is_let_in_each_time(
    client: Client, bob: Tenant
) -> None:
    keys = " ".join(f"-i wrong{n}" for n in range(1, 6))
    login = f"sftp -q -b /dev/null {SSH[4:]} {keys} -i .ssh/id_ed25519"
    each = f"{login} {bob.login}@{client.sftp_name} || exit 1"
    client.ok(f"{WRONG_KEYS}; for n in $(seq {TRIES}); do {each}; done", user=bob.name)


@pytest.mark.usefixtures("address")
def test_names_of_no_account_keep_nobody_out_at_the_same_address(
    scope: Scope, client: Client
) -> None:
    before = counted(scope, "-")
    unknown = f"{SSH} nobody$n@{client.sftp_name}"
    client.ok(f"for n in $(seq {TRIES}); do {unknown} & done; wait")
    assert gets_in(client)
    assert until(lambda: counted(scope, "-") >= before + TRIES, 5)
