"""Every host runs the services of its groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Scope

ALERTS = ["prometheus", "prometheus-alertmanager"]
UNITS = {
    "scope": ["ssh", "prometheus-node-exporter"],
    "load_balancers": ["haproxy", "keepalived", "haproxy-client-addresses"],
    "broker_members": ["rabbitmq-server"],
    "sftp_nodes": ["sshd-transfer", "sftp-client-addresses", "sftp-logins"],
    "monitoring": ["sr_src2log@1", "sr_src2log@2", "sr_quota", "sr_monitor", "sr_web", *ALERTS],
}


@pytest.mark.parametrize(
    ("group", "unit"), [(group, unit) for group, units in UNITS.items() for unit in units]
)
def test_units_are_enabled_and_run(scope: Scope, group: str, unit: str) -> None:
    for name in scope.group(group):
        host = scope.host(name)
        journal = host.run(f"journalctl --namespace='*' --no-pager -n 20 -u {unit}").stdout
        assert host.service(unit).is_running, f"{name}: {unit}\n{journal}"
        assert host.service(unit).is_enabled, f"{name}: {unit}"


def test_no_unit_has_failed(scope: Scope) -> None:
    for name in scope.group("scope"):
        failed = scope.host(name).run("systemctl --failed --plain --no-legend").stdout
        assert failed.strip() == "", name


def test_the_firewall_drops_what_no_rule_lets_in(scope: Scope) -> None:
    for name in scope.group("scope"):
        rules = scope.host(name).check_output("nft list chain inet scope input")
        assert "policy drop" in rules, name


@pytest.mark.several_hosts
def test_what_the_firewall_drops_is_counted_and_logged(scope: Scope) -> None:
    """A container's kernel log is its machine's, so only the rule is looked at here."""
    near, far = (scope.host(name) for name in scope.group("sftp_nodes")[:2])
    address = scope.var("scope_address", scope.group("sftp_nodes")[1])

    def dropped() -> int:
        rules = far.check_output("nft list chain inet scope input")
        assert 'log prefix "scope dropped: "' in rules
        return int(re.findall(r'counter packets (\d+) .*comment "dropped"', rules)[0])

    before = dropped()
    assert near.run(f"timeout 2 bash -c '</dev/tcp/{address}/9'").rc != 0
    assert dropped() > before


def test_hosts_know_each_other_by_name(scope: Scope) -> None:
    for name in scope.group("scope"):
        for other, address in scope.addresses("scope").items():
            found = scope.host(name).check_output("getent ahostsv4 %s", other).split()[0]
            assert other == name or found == address, f"{other} as {name} knows it"


def test_a_node_refuses_to_serve_without_the_shared_file_system(scope: Scope) -> None:
    mount = scope.var("scope_homes")
    for name in scope.group("sftp_nodes"):
        needs = scope.host(name).check_output("systemctl show -p RequiresMountsFor sshd-transfer")
        assert mount in needs, name


@pytest.mark.several_hosts
def test_every_host_has_the_time_of_the_others(scope: Scope) -> None:
    done = scope.playbook("site", "--tags", "base_service", "--check")
    assert done.returncode == 0, done.stdout
    assert "WARNING: the clock of" not in done.stdout
    for name in scope.group("scope"):
        host = scope.host(name)
        may = host.run("systemd-analyze condition ConditionCapability=CAP_SYS_TIME").rc == 0
        assert host.service("chrony").is_running == may, name
        assert (f"{name} may not set its clock" in done.stdout) != may, done.stdout
