"""Load balancers: holders of the virtual addresses, and states of the servers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope


def seen_by(scope: Scope, balancer: str) -> set[str]:
    """Return the state of each server on a load balancer, such as ``ssh,svrsftp1,UP``."""
    command = "echo 'show stat' | socat /run/haproxy/admin.sock - | cut -d, -f1,2,18"
    return set(scope.host(balancer).check_output(command).splitlines())


@pytest.mark.parametrize("name", ["scope_sftp_vip", "scope_broker_vip"])
def test_exactly_one_balancer_holds_each_address(scope: Scope, name: str) -> None:
    assert len(scope.holders(scope.var(name))) == 1


def test_both_balancers_see_every_node_and_broker(scope: Scope) -> None:
    for name in scope.group("load_balancers"):
        wanted = {f"ssh,{node},UP" for node in scope.group("sftp_nodes")}
        wanted |= {f"amqps,{broker},UP" for broker in scope.group("brokers")}
        wanted |= {f"web,{host},UP" for host in scope.group("monitoring")}
        # After a single late health check, the state is "UP 1/2" for a moment.
        assert until(lambda: wanted <= seen_by(scope, name), 30), seen_by(scope, name)  # noqa: B023


def test_the_other_broker_is_a_backup(scope: Scope) -> None:
    _, *others = scope.group("brokers")
    for name in scope.group("load_balancers"):
        text = scope.host(name).file("/etc/haproxy/haproxy.cfg").content_string
        for other in others:
            line = next(line for line in text.splitlines() if f"server {other} " in line)
            assert line.rstrip().endswith("backup")


def test_checks_of_the_balancers_are_never_penalised(scope: Scope) -> None:
    balancers = scope.addresses("load_balancers").values()
    for name in scope.group("sftp_nodes"):
        settings = scope.host(name).check_output(
            "/usr/sbin/sshd -T -f /etc/ssh/transfer/sshd_config"
        )
        exempt = next(
            line for line in settings.splitlines() if line.startswith("persourcepenaltyexemptlist")
        )
        assert all(address in exempt for address in balancers), name


def test_bad_logins_from_one_address_shut_nobody_else_out(scope: Scope, client: Client) -> None:
    elsewhere = scope.host(scope.group("monitoring")[0])
    elsewhere.check_output("rm -f /tmp/bad*; ssh-keygen -q -t ed25519 -N '' -f /tmp/bad")
    options = "-o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new"
    for _ in range(6):
        elsewhere.run(f"ssh {options} -i /tmp/bad {client.login}@{client.sftp_name} || exit 1")
    assert f"/home/{client.login}" in client.ok(
        f"echo pwd | sftp -q -b - {client.login}@{client.sftp_name}"
    )


def test_checks_do_not_flood_the_brokers_log(scope: Scope) -> None:
    for name in scope.group("brokers"):
        log = f"/var/log/rabbitmq/rabbit@{name}.log"
        lines = scope.host(name).check_output(f"tail -n 500 {log}").splitlines()
        checks = [line for line in lines if "accepting AMQP connection" in line]
        assert not checks, name


@pytest.mark.destructive
def test_a_restart_of_the_firewall_takes_nothing_from_clients(scope: Scope, client: Client) -> None:
    """An update of Debian's package restarts nftables, which removes all tables first."""
    names = dict.fromkeys(scope.group("load_balancers") + scope.group("sftp_nodes"))

    def tables() -> list[str]:
        listed = (scope.host(name).check_output("nft list tables").splitlines() for name in names)
        return [" ".join(sorted(lines)) for lines in listed]

    before = tables()
    for host in map(scope.host, names):
        host.check_output("systemctl start nftables && systemctl restart nftables")
    assert until(lambda: tables() == before, 20), tables()
    client.ok("echo 1 > behind; sr_post --quiet --wait --timeout 60s behind")


@pytest.mark.destructive
def test_rules_that_another_program_removes_come_back(scope: Scope, client: Client) -> None:
    names = dict.fromkeys(scope.group("load_balancers") + scope.group("sftp_nodes"))

    def rules() -> list[str]:
        return [scope.host(name).check_output("ip -4 rule") for name in names]

    before = rules()
    for host in map(scope.host, names):
        host.check_output("for n in 100 101 102; do ip -4 rule delete priority $n; done; true")
    assert rules() != before
    assert until(lambda: rules() == before, 30), rules()
    client.ok("echo 2 > behind; sr_post --quiet --wait --timeout 60s behind")


@pytest.mark.destructive
@pytest.mark.several_hosts
def test_routes_come_back_when_a_link_was_down(scope: Scope, client: Client) -> None:
    name = scope.group("sftp_nodes")[-1]
    host, address = scope.host(name), scope.var("scope_address", name)
    numbers = [101 + number for number, _ in enumerate(scope.group("load_balancers"))]

    def routes() -> list[str]:
        return [host.run(f"ip -4 route show table {number}").stdout for number in numbers]

    before = routes()
    assert all(before)
    # Of eth0@if7, the name of the host's own end.
    link = host.check_output(
        f"ip -4 -brief address | grep ' {address}/' | cut -d ' ' -f 1 | cut -d @ -f 1"
    )
    # The host's own default route is not the scope's to bring back.
    flap = (
        f"own=$(ip -4 route show default); ip link set {link} down; ip -4 route show table 101;"
        f' ip link set {link} up; [ -z "$own" ] || ip route replace $own'
    )
    left = host.check_output(f"systemd-run --quiet --wait --pipe sh -c {shlex.quote(flap)}")
    assert "via" not in left
    assert until(lambda: routes() == before, 30), routes()
    assert "was gone, and is set again: route" in host.check_output(
        "journalctl -u sftp-client-addresses --since -60s"
    )
    client.ok("echo 3 > behind; sr_post --quiet --wait --timeout 60s behind")
