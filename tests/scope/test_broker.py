"""The broker: amqps only, all clients on one member, no access to other users' objects."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope


def test_all_members_run_and_none_has_an_alarm(scope: Scope) -> None:
    host = scope.host(scope.group("brokers")[0])
    status = json.loads(host.check_output("rabbitmqctl -q cluster_status --formatter json"))
    wanted = sorted(f"rabbit@{name}" for name in scope.group("broker_members"))
    assert sorted(status["running_nodes"]) == wanted
    assert status["alarms"] == []
    assert status["partitions"] == {}


def test_members_are_of_an_odd_number(scope: Scope) -> None:
    assert len(scope.group("broker_members")) % 2 == 1


def test_nobody_listens_without_tls(scope: Scope) -> None:
    for name in scope.group("scope"):
        assert not scope.host(name).socket("tcp://5672").is_listening, name


def test_the_witness_takes_no_clients(scope: Scope) -> None:
    port = scope.var("scope_amqps_port")
    for name in scope.group("broker_witness"):
        listening = scope.host(name).check_output("ss -Hltn").split()
        assert not [word for word in listening if word.endswith(f":{port}")], name


@pytest.mark.parametrize(("version", "taken"), [("-tls1_1", False), ("-tls1_2", True), ("", True)])
def test_tls_is_of_version_1_2_or_later(client: Client, version: str, *, taken: bool) -> None:
    weak = "-cipher ALL:@SECLEVEL=0" if version == "-tls1_1" else ""
    result = client.run(
        f"openssl s_client -connect {client.broker_name}:5671 {version} {weak} </dev/null"
    )
    assert ("BEGIN CERTIFICATE" in result.stdout) is taken, result.stdout + result.stderr


def test_clients_verify_the_certificate(client: Client) -> None:
    result = client.run(
        "openssl req -x509 -newkey ed25519 -nodes -subj /CN=other -keyout other.key"
        " -out other.pem 2>/dev/null; touch x; sr_post --tls-ca-file ~/other.pem x"
    )
    assert result.rc != 0
    assert "certificate is not good" in result.stderr


def test_clients_are_on_one_broker_and_are_seen_with_their_own_addresses(
    scope: Scope, client: Client
) -> None:
    own = client.host.check_output("hostname -I").split()
    host = scope.host(scope.group("brokers")[0])
    printed = host.check_output("rabbitmqctl -q list_connections pid user peer_host")
    lines = [line.split() for line in printed.splitlines()[1:]]
    lines = [line for line in lines if len(line) == 3]  # omits the load balancers' health checks
    mine = [(pid, peer) for pid, user, peer in lines if user == client.broker_user]
    assert mine
    assert {peer for _, peer in mine} <= set(own)
    assert len({pid.partition(".")[0] for pid, _ in mine}) == 1
    assert len({pid.partition(".")[0] for pid, *_ in lines}) == 1


def exchange_refused(result: str, other: str) -> bool:
    """Return whether it is the other user's exchange that was refused, not one's own queue."""
    return f"exchange 'xac_{other}'" in result


@pytest.mark.parametrize(("user", "other"), [("bob", "bobby"), ("bobby", "bob")])
def test_a_user_cannot_touch_what_is_anothers(
    scope: Scope, client: Client, user: str, other: str
) -> None:
    passwords = scope.var("scope_broker_passwords")
    if not {f"u{user}", f"u{other}"} <= set(passwords):
        pytest.skip("the inventory has no users bob and bobby")
    url = f"amqps://u{user}:{passwords[f'u{user}']}@{client.broker_name}:5671/%2f"
    found = json.loads(client.python("amqp", url, scope.var("scope_ca_file"), other, user=user))
    assert {name: result.split()[0] for name, result in found.items()} == dict.fromkeys(
        found, "refused:"
    ), found
    assert exchange_refused(found["bind"], other), found


def test_permissions_are_anchored(scope: Scope) -> None:
    host = scope.host(scope.group("brokers")[0])
    rows = json.loads(host.check_output("rabbitmqctl -q list_permissions --formatter json"))
    for row in rows:
        for kind in ("configure", "write", "read"):
            assert re.fullmatch(r"\^.*\$", row[kind]), row


def test_quorum_queues_drop_nothing_however_often_a_connection_is_lost(scope: Scope) -> None:
    host = scope.host(scope.group("brokers")[0])
    printed = host.check_output("rabbitmqctl -q list_policies --formatter json")
    assert {"delivery-limit": -1} in [json.loads(row["definition"]) for row in json.loads(printed)]


def test_guest_is_gone(scope: Scope) -> None:
    host = scope.host(scope.group("brokers")[0])
    assert "guest" not in host.check_output("rabbitmqctl -q list_users")
