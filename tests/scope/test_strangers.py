"""Strangers on the scope's networks: what they reach, and what they can take from others."""

from __future__ import annotations

import base64
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_balancers import seen_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope

pytestmark = pytest.mark.several_hosts

ATTACK = Path(__file__).with_name("attack.py")
# Ports on which hosts of a scope serve each other, administrators or checks.
INNER = [22, 1024, 2200, 2201, 2202, 4369, 5671, 5672, 8405, 9090, 9093, 9094, 9100, 9443]
INNER += [15672, 15692, 24007, 25672, 49152]

LONGER = 2.0  # seconds that a login may take more than usual while an attack lasts


class Stranger:
    """The client's host as somebody uses it who is root there."""

    def __init__(self, client: Client) -> None:
        """``client`` is a user on the host."""
        self.host = client.host
        code = base64.b64encode(ATTACK.read_bytes()).decode()
        self.host.check_output(f"echo {code} | base64 -d > /root/attack.py")

    def attack(self, *arguments: str) -> str:
        """Run attack.py; return what it prints."""
        return str(self.host.check_output(f"python3 /root/attack.py {shlex.join(arguments)}"))

    def start(self, *arguments: str) -> None:
        """Run attack.py in the background; it ends by itself."""
        command = f"python3 /root/attack.py {shlex.join(arguments)}"
        self.host.check_output(f"{command} > /root/attack.log 2>&1 & echo $! > /root/attack.pid")

    def attacks(self) -> bool:
        """Return whether the attack in the background runs."""
        return bool(self.host.run("kill -0 $(cat /root/attack.pid)").rc == 0)

    def stop(self) -> None:
        """End the attack in the background."""
        self.host.run("kill $(cat /root/attack.pid)")


@pytest.fixture(scope="module")
def stranger(scope: Scope, client: Client) -> Stranger:
    if not scope.var("lab_networks"):
        pytest.skip("only in a lab")
    return Stranger(client)


def targets(scope: Scope, *variables: str) -> list[str]:
    """Return the ports of the hosts' addresses that these variables name."""
    addresses = {scope.var(each, name) for each in variables for name in scope.group("scope")}
    return [f"{address}:{port}" for address in sorted(addresses) for port in INNER]


@pytest.fixture
def routes(scope: Scope, stranger: Stranger) -> Iterator[list[str]]:
    """Commands that route to the hosts' own addresses through each load balancer."""
    inner = sorted(set(scope.addresses("scope").values()))
    yield [
        "; ".join(f"ip route replace {address}/32 via {via} || true" for address in inner)
        for via in (scope.var("scope_public_address", n) for n in scope.group("load_balancers"))
    ]
    stranger.host.run("; ".join(f"ip route del {address}/32" for address in inner))


def test_a_client_reaches_no_host_behind_the_load_balancers(
    scope: Scope, stranger: Stranger, routes: list[str]
) -> None:
    for route in routes:
        stranger.host.run(route)
        found = targets(scope, "scope_address", "scope_public_address")
        assert stranger.attack("scan", "", *found).split() == []


def test_a_neighbour_of_the_hosts_gets_no_answer(scope: Scope, neighbour: list[str]) -> None:
    done = subprocess.run(
        [*neighbour, sys.executable, str(ATTACK), "scan", "", *targets(scope, "scope_address")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == []


def test_nobody_gets_an_answer_by_ipv6(scope: Scope, stranger: Stranger) -> None:
    for name in scope.group("load_balancers"):
        own = scope.host(name).check_output("ip -6 -brief address show scope link").splitlines()
        local = [line.split()[2].partition("/")[0] for line in own]
        device = stranger.host.check_output("ip -6 -brief address show scope link").split()[0]
        through = device.partition("@")[0]
        found = [f"{address}%{through}:{port}" for address in local for port in INNER]
        assert stranger.attack("scan", "", *found).split() == [], name


def test_forged_vrrp_takes_no_address_away(
    scope: Scope, stranger: Stranger, routes: list[str]
) -> None:
    balancers = scope.group("load_balancers")
    own = set(scope.addresses("load_balancers").values())
    own |= {scope.var("scope_public_address", name) for name in balancers}
    vips = [scope.var(name) for name in ("scope_sftp_vip", "scope_broker_vip")]
    before = [scope.holders(vip) for vip in vips]
    for route in routes:
        stranger.host.run(route)
        stranger.start("vrrp", "3", ",".join(own), ",".join(own), *vips)
        while stranger.attacks():
            assert [scope.holders(vip) for vip in vips] == before


@pytest.fixture
def addresses(scope: Scope, stranger: Stranger) -> Iterator[list[str]]:
    """Five more addresses of the stranger."""
    vip = scope.var("scope_sftp_vip")
    found = [f"{vip.rpartition('.')[0]}.{last}" for last in range(60, 65)]
    route = stranger.host.check_output(f"ip -oneline route get {vip}").split()
    device = route[route.index("dev") + 1]
    stranger.host.check_output("; ".join(f"ip address replace {a}/32 dev {device}" for a in found))
    yield found
    stranger.stop()
    stranger.host.run("; ".join(f"ip address delete {a}/32 dev {device}" for a in found))


def seconds_to_log_in(client: Client) -> float:
    """Log in, which must not fail; return the seconds."""
    begin = time.monotonic()
    client.ok(f"echo pwd | sftp -q -b - {client.login}@{client.sftp_name} > /dev/null")
    return time.monotonic() - begin


def test_a_flood_of_idle_connections_keeps_nobody_out(
    scope: Scope, stranger: Stranger, addresses: list[str], client: Client
) -> None:
    port = scope.var("scope_sftp_port")
    usual = seconds_to_log_in(client)
    stranger.start("idle", "60", f"{scope.var('scope_sftp_vip')}:{port}", "200", *addresses)
    end = time.monotonic() + 12
    logins = []
    while time.monotonic() < end:
        logins.append(seconds_to_log_in(client))
    assert statistics.median(logins) < usual + LONGER, logins
    assert stranger.attacks()
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    up = {f"ssh,{node},UP" for node in scope.group("sftp_nodes")}
    assert up <= seen_by(scope, holder)
