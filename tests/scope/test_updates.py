"""Security updates come by themselves, but none that restarts what users wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Scope

HELD = {
    "load_balancers": {"haproxy", "keepalived"},
    "broker_members": {"rabbitmq-server", "erlang-base"},
    "shared_fs_servers": {"glusterfs-server", "glusterfs-client"},
}


@pytest.mark.parametrize("group", HELD)
def test_packages_whose_update_restarts_what_users_wait_for_are_on_hold(
    scope: Scope, group: str
) -> None:
    if group == "shared_fs_servers" and scope.var("scope_shared_fs") != "glusterfs":
        pytest.skip("has no servers of its own")
    for name in scope.group(group):
        assert HELD[group] <= set(scope.host(name).check_output("apt-mark showhold").split()), name


def test_every_host_takes_security_updates_and_no_others(scope: Scope) -> None:
    for name in scope.group("scope"):
        host = scope.host(name)
        shown = host.check_output("apt-config dump --no-empty Unattended-Upgrade::Origins-Pattern")
        (only,) = shown.splitlines()
        assert "-security,label=Debian-Security" in only, name
        shown = host.check_output("apt-config dump APT::Periodic::Unattended-Upgrade")
        assert shown == 'APT::Periodic::Unattended-Upgrade "1";', name
        assert host.service("apt-daily-upgrade.timer").is_enabled, name
        assert host.run("needrestart -b -r l").rc == 0, name


@pytest.mark.destructive
def test_operators_are_told_what_waits_for_them(scope: Scope) -> None:
    """A host that runs haproxy of an older version, for which dpkg is told a lie."""
    name = scope.group("load_balancers")[0]
    status = "/var/lib/dpkg/status"
    older = "/^Package: haproxy$/,/^$/ s/^Version: .*/Version: 1.0/"
    host = scope.host(name)
    host.check_output(f"cp -a {status} /root/status && sed -i '{older}' {status}")
    try:
        shown = scope.playbook("status", "--limit", name).stdout
    finally:
        host.check_output(f"mv /root/status {status}")
    assert "haproxy: on hold at 1.0 has an update" in shown
