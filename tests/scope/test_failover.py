"""Failover: others take over, no confirmed message is lost, nothing moves back by itself."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.timeout(400)]


def until(true: Callable[[], bool], seconds: float = 120) -> bool:
    """Wait until ``true()``, at most ``seconds``: a lab may be slow.  Return whether it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def several(scope: Scope, group: str) -> list[str]:
    """Return the hosts of a group; skip the test if there is only one, as none can take over."""
    if len(hosts := scope.group(group)) < 2:
        pytest.skip(f"{group} has one host: nobody takes over")
    return hosts


def serving(scope: Scope) -> set[str]:
    """Return the brokers to which the load balancers send clients."""
    command = (
        "echo 'show table amqps' | socat /run/haproxy/admin.sock - |"
        " sed -n 's/.*server_key=\\([^ ]*\\).*/\\1/p'"
    )
    return {
        scope.host(name).check_output(command).strip() for name in scope.group("load_balancers")
    }


def test_a_killed_primary_loses_nothing_and_clients_stay_where_they_went(
    scope: Scope, client: Client
) -> None:
    primary, other = several(scope, "brokers")
    name = f"failover-{int(time.time())}"
    assert serving(scope) == {primary}
    client.ok(
        f"mkdir {name}; cd {name}; for n in $(seq 300); do echo $n > $n; done; cd;"
        f" (sr_post --quiet --wait {name} > {name}.log 2>&1; echo $? > {name}.rc) &"
    )
    time.sleep(0.5)
    scope.host(primary).check_output("systemctl kill -s KILL rabbitmq-server")
    assert until(lambda: other in serving(scope))
    # If sr_post could not confirm all, it fails and can be run again: no file is sent twice.
    assert until(lambda: client.run(f"cat {name}.rc").rc == 0)
    if client.ok(f"cat {name}.rc").strip() != "0":
        client.ok(f"sr_post --quiet --wait {name}")
    home = f"{scope.var('scope_homes')}/{client.login}/{client.directory}/{name}"
    node = scope.host(scope.group("sftp_nodes")[0])
    got, sent = node.check_output(f"cat {home}/*"), client.ok(f"cat {name}/*")
    assert sorted(got.split()) == sorted(sent.split())
    assert until(lambda: scope.host(primary).service("rabbitmq-server").is_running)
    all_are_there = f"rabbitmqctl -q await_online_nodes {len(scope.group('broker_members'))}"
    assert until(lambda: bool(scope.host(primary).run(all_are_there).rc == 0))
    time.sleep(10)
    assert serving(scope) == {other}


def test_an_operator_moves_clients_back_and_may_say_so_twice(scope: Scope, client: Client) -> None:
    primary, _ = several(scope, "brokers")
    moved = scope.playbook("switchover", "-e", f"to={primary}")
    assert moved.returncode == 0, moved.stdout
    assert until(lambda: serving(scope) == {primary})
    again = scope.playbook("switchover", "-e", f"to={primary}")
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout
    client.ok("echo 1 > switched; sr_post --quiet --wait switched")


def test_a_balancer_without_haproxy_gives_its_addresses_away(scope: Scope, client: Client) -> None:
    several(scope, "load_balancers")
    for variable in ("scope_sftp_vip", "scope_broker_vip"):
        assert len(scope.holders(scope.var(variable))) == 1
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    scope.host(holder).check_output("systemctl stop haproxy")
    try:
        others = [name for name in scope.group("load_balancers") if name != holder]
        assert until(lambda: scope.holders(scope.var("scope_sftp_vip")) == others)
        client.ok("echo 2 > moved; sr_post --quiet --wait moved")
    finally:
        scope.host(holder).check_output("systemctl start haproxy")
    time.sleep(6)
    assert scope.holders(scope.var("scope_sftp_vip")) == others


def test_a_balancer_whose_keepalived_is_killed_holds_no_address(
    scope: Scope, client: Client
) -> None:
    several(scope, "load_balancers")
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    others = [name for name in scope.group("load_balancers") if name != holder]
    scope.host(holder).check_output("systemctl kill --kill-who=all --signal=KILL keepalived")
    addresses = [scope.var(variable) for variable in ("scope_sftp_vip", "scope_broker_vip")]
    assert until(lambda: all(scope.holders(each) == others for each in addresses), 20)
    client.ok("echo 3 > killed; sr_post --quiet --wait killed")
    assert until(lambda: scope.host(holder).service("keepalived").is_running, 20)


def test_a_balancer_whose_inner_side_is_dead_gives_its_addresses_away(
    scope: Scope, client: Client
) -> None:
    """Its link stays up, and carries nothing to or from other hosts of the scope."""
    several(scope, "load_balancers")
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    others = [name for name in scope.group("load_balancers") if name != holder]
    host = scope.host(holder)
    far = set(scope.addresses("scope").values()) - {scope.var("scope_address", holder)}
    hosts = ", ".join(sorted(far))
    rules = (
        "table inet spec {"
        f" chain in {{ type filter hook input priority -500; ip saddr {{ {hosts} }} drop; }};"
        f" chain out {{ type filter hook output priority -500; ip daddr {{ {hosts} }} drop; }}; }}"
    )
    host.check_output(f"nft '{rules}'")
    try:
        addresses = [scope.var(variable) for variable in ("scope_sftp_vip", "scope_broker_vip")]
        assert until(lambda: all(scope.holders(each) == others for each in addresses), 30)
        client.ok("echo 4 > dead; sr_post --quiet --wait dead")
    finally:
        host.check_output("nft delete table inet spec")


def test_a_drained_node_gets_no_connections_until_it_is_back(scope: Scope, client: Client) -> None:
    node = several(scope, "sftp_nodes")[-1]
    arguments = ("-e", f"node={node}", "-e", "drain_wait=60")
    client.host.run("systemctl stop 'sr_sender-*'")
    watchers = [scope.host(name) for name in scope.group("monitoring")]
    for watcher in watchers:  # its sender sends each minute, and keeps its connection
        watcher.run("systemctl stop canary.timer canary.service canary-sender.service")

    def silences() -> set[str]:
        name = scope.group("monitoring")[0]
        manager = f"http://{scope.var('scope_address', name)}:9093"
        listed = f"amtool --alertmanager.url={manager} --output=json silence query"
        found = json.loads(scope.host(name).check_output(listed))
        return {" ".join(sorted(m["value"] for m in one["matchers"])) for one in found}

    try:
        drained = scope.playbook("drain", *arguments)
        assert drained.returncode == 0, drained.stdout
        assert silences() == {node, f"ServerDown {node}"}
        since = scope.host(node).check_output("date +%s")
        for _ in range(6):
            client.ok(f"echo pwd | sftp -q -b - {client.login}@{client.sftp_name}")
        journal = "journalctl --namespace=transfer -u sshd-transfer"
        log = scope.host(node).run(f"{journal} --since @{since.strip()}").stdout
        assert "Accepted publickey" not in log
        # A reload keeps the state that an operator set.
        for name in scope.group("load_balancers"):
            scope.host(name).check_output("systemctl reload haproxy")
        time.sleep(2)
        command = "echo 'show stat' | socat /run/haproxy/admin.sock - | cut -d, -f1,2,18"
        for name in scope.group("load_balancers"):
            balancer = scope.host(name)
            assert until(lambda: balancer.run(command).rc == 0)  # noqa: B023  used at once
            assert f"ssh,{node},DRAIN" in balancer.check_output(command)
        # So does a crash.
        (holder,) = scope.holders(scope.var("scope_sftp_vip"))
        (backup,) = {*scope.group("load_balancers")} - {holder}
        scope.host(backup).check_output("systemctl kill --kill-who=all --signal=KILL haproxy")
        line = f"ssh,{node},DRAIN"
        assert until(lambda: line in scope.host(backup).run(command).stdout)
    finally:
        back = scope.playbook("drain", *arguments, "-e", "state=ready")
        client.host.run("systemctl start 'sr_sender-*' --all")
        for watcher in watchers:
            watcher.run("systemctl start canary-sender.service canary.timer")
    assert back.returncode == 0, back.stdout
    assert silences() == set()


def test_the_witness_may_be_away(scope: Scope, client: Client) -> None:
    for name in scope.group("broker_witness"):
        scope.host(name).check_output("systemctl stop rabbitmq-server")
        try:
            client.ok("echo 3 > witness; sr_post --quiet --wait witness")
        finally:
            scope.host(name).check_output("systemctl start rabbitmq-server")


def test_reports_of_all_that_was_sent_are_in_xlog_in_the_end(scope: Scope, client: Client) -> None:
    several(scope, "brokers")
    watcher = scope.host(scope.group("monitoring")[0])

    def arrived() -> set[str]:
        lines = watcher.check_output("sr_log --json --since 1h").splitlines()
        return {
            report["relPath"] for report in map(json.loads, lines) if report["code"] in (201, 304)
        }

    assert until(lambda: {"switched", "moved", "witness"} <= arrived()), client.name
