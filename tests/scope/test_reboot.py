"""Hosts that are restarted, one after the other and all at once, come back by themselves."""

from __future__ import annotations

import secrets
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.scope.conftest import ROOT
from tests.scope.test_failover import serving, until
from tests.scope.test_services import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.faults, pytest.mark.timeout(2400)]

BACK = 180.0  # seconds in which all is as before, and a file crosses


@pytest.fixture(autouse=True)
def lab(scope: Scope) -> Iterator[None]:
    """A lab, whose clients are at the primary broker again afterwards."""
    if not scope.var("lab_networks"):
        pytest.skip("only a lab's hosts are restarted")
    yield
    primary = scope.group("brokers")[0]
    if len(scope.group("brokers")) > 1 and serving(scope) != {primary}:
        moved = scope.playbook("switchover", "-e", f"to={primary}")
        assert moved.returncode == 0, moved.stdout


def podman(scope: Scope, *words: str, hosts: list[str]) -> None:
    """Run a command of podman on the containers of hosts."""
    for name in hosts:
        scope.disconnect(name)
    command = ["podman", *words, *(f"sarra-{name}" for name in hosts)]
    subprocess.run(command, check=True, capture_output=True, env=scope.environment)


def said(scope: Scope, name: str, command: str) -> str:
    """Return what a command prints on a host; nothing if the host does not answer."""
    try:
        return str(scope.host(name).run(command).stdout)
    except RuntimeError:  # of testinfra: ssh cannot connect
        return ""


def wrong(scope: Scope) -> Iterator[str]:
    """Yield what is not as it should be, a line each."""
    for group, units in UNITS.items():
        for name in scope.group(group):
            states = said(scope, name, f"systemctl is-active {' '.join(units)}").split()
            if states != ["active"] * len(units):
                yield f"{name}: {dict(zip(units, states, strict=False)) or 'does not answer'}"
    for name in scope.group("sources"):
        if said(scope, name, "echo up") == "":
            yield f"{name}: does not answer"
    yield from _wrong_data(scope)
    yield from _wrong_ways(scope)


def _wrong_data(scope: Scope) -> Iterator[str]:
    """Yield what is not right of the homes and of the broker."""
    homes = scope.var("scope_homes")
    login = scope.var("accounts")["users"][0]["login"]
    mounted = "true" if scope.var("scope_shared_fs") == "local" else f"mountpoint -q {homes}"
    for name in scope.group("sftp_nodes"):
        if said(scope, name, f"{mounted} && timeout 5 stat {homes}/{login}") == "":
            yield f"{name}: no homes"
    servers, members = scope.group("shared_fs_servers"), scope.group("broker_members")
    if servers and scope.var("scope_shared_fs") == "glusterfs" and len(servers) > 1:
        healed = said(scope, servers[0], "timeout 20 gluster volume heal homes info")
        if healed.count("Number of entries: 0") != len(servers):
            yield f"the volume is not healed: {healed}"
    online = f"timeout 20 rabbitmqctl -q await_online_nodes {len(members)} && echo online"
    if "online" not in said(scope, members[0], online):
        yield "not all members of the broker are online"


def _wrong_ways(scope: Scope) -> Iterator[str]:
    """Yield what is not right of the ways of clients."""
    show = "echo 'show stat' | socat /run/haproxy/admin.sock - | cut -d, -f1,2,18"
    servers = [f"ssh,{node},UP" for node in scope.group("sftp_nodes")]
    servers += [f"amqps,{broker},UP" for broker in scope.group("brokers")]
    for name in scope.group("load_balancers"):
        seen = said(scope, name, show).splitlines()
        yield from (f"{name}: not {server}" for server in servers if server not in seen)
    for name in ("scope_sftp_vip", "scope_broker_vip"):
        shown = [said(scope, host, "ip -brief address") for host in scope.group("load_balancers")]
        if (number := sum(f" {scope.var(name)}/" in each for each in shown)) != 1:
            yield f"{name} is on {number} load balancers"


def come_back(scope: Scope, client: Client, begin: float) -> None:
    """Wait until all is as it should be, and send a file; fail if that takes too long."""
    assert until(lambda: next(wrong(scope), None) is None, BACK), list(wrong(scope))
    name = f"reboot-{secrets.token_hex(4)}"
    client.ok(f"echo {name} > {name}; sr_post --quiet --wait --timeout {BACK:.0f}s {name}")
    home = f"{scope.var('scope_homes')}/{client.login}/{client.directory}"
    for node in scope.group("sftp_nodes"):
        assert scope.host(node).check_output(f"cat {home}/{name}") == name
    assert time.monotonic() - begin < BACK


def test_each_host_comes_back_by_itself_after_a_restart(scope: Scope, client: Client) -> None:
    assert list(wrong(scope)) == []
    for name in dict.fromkeys([*scope.group("scope"), *scope.group("sources")]):
        podman(scope, "restart", "--time", "60", hosts=[name])
        begin = time.monotonic()
        come_back(scope, client, begin)
        print(f"{name}: back after {time.monotonic() - begin:.0f} s")


def test_the_whole_scope_comes_back_by_itself_after_a_power_cut(
    scope: Scope, client: Client
) -> None:
    hosts = list(dict.fromkeys([*scope.group("scope"), *scope.group("sources")]))
    podman(scope, "kill", "--signal", "KILL", hosts=hosts)
    podman(scope, "start", hosts=hosts)
    begin = time.monotonic()
    # The networks were gone with the last container: this machine needs its addresses again.
    create = ["ansible-playbook", "-i", str(scope.inventory), "molecule/shared/create.yml"]
    subprocess.run(create, check=True, cwd=ROOT, env=scope.environment, capture_output=True)
    come_back(scope, client, begin)
    print(f"all: back after {time.monotonic() - begin:.0f} s")
