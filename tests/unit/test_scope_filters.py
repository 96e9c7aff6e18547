"""Filters of the playbooks: mistakes in addresses and networks, networks and interfaces for nft."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from tests.lab.plugins import load


def plugin(name: str) -> Any:
    return load(f"playbooks/filter_plugins/{name}.py")


def mistakes(host: dict[str, Any] | None = None, **changed: Any) -> list[str]:
    """Mistakes in a correct scope of one host, but for what is changed."""
    everybody = {
        "scope_domain": "one.example",
        "scope_sftp_name": "sftp.one.example",
        "scope_sftp_vip": "192.0.2.2",
        "scope_broker_name": "broker.one.example",
        "scope_broker_vip": "192.0.2.3",
        "scope_vip_prefix": 24,
        "scope_admin_networks": ["192.0.2.128/25"],
        "accounts": {"groups": [], "users": []},
    } | changed
    own = {"scope_address": "10.0.0.1", "scope_public_address": "192.0.2.11"} | (host or {})
    hosts = {"localhost": everybody, "svrone": everybody | own}
    groups = {key: ["svrone"] for key in ("scope", "load_balancers", "brokers", "sftp_nodes")}
    found: list[str] = plugin("scope").scope_mistakes(
        groups | {"control": ["localhost"], "all": list(hosts)}, hosts
    )
    return found


def test_a_correct_scope_has_no_mistakes() -> None:
    assert mistakes(scope_admin_networks=["192.0.2.128/25", "2001:db8::/32"]) == []


@pytest.mark.parametrize("networks", [[], None, "", "192.0.2.0/24", {}])
def test_administrators_need_a_network(networks: Any) -> None:
    (line,) = mistakes(scope_admin_networks=networks)
    assert line.startswith("scope_admin_networks: a list of at least one network is needed")


def test_a_hosts_own_networks_for_administrators_are_checked() -> None:
    (line,) = mistakes({"base_admin_networks": []})
    assert line.startswith("base_admin_networks of svrone: a list of at least one network")
    (line,) = mistakes({"base_admin_networks": ["192.0.2.1/24"]})
    assert line == "base_admin_networks of svrone: 192.0.2.1/24 has host bits set"


@pytest.mark.parametrize("address", ["192.0.2.11", "10.0.0.1"])
@pytest.mark.parametrize("name", ["scope_sftp_vip", "scope_broker_vip"])
def test_a_virtual_address_is_no_hosts_own(name: str, address: str) -> None:
    (line,) = mistakes(None, **{name: address})
    assert line.endswith(f"address of svrone: {address} is {name}, too")


@pytest.mark.parametrize("name", ["scope_sftp_vip", "scope_broker_vip"])
def test_virtual_addresses_are_of_ipv4(name: str) -> None:
    (line,) = mistakes(None, **{name: "2001:db8::2"})
    assert line == f"{name}: 2001:db8::2 is an IPv6 address: the hosts of a scope use IPv4"


def test_networks_are_split_by_version_and_none_is_in_another() -> None:
    networks_of = plugin("network").networks_of
    given = ["192.0.2.128/25", "2001:db8::/32", "192.0.2.0/24", "2001:db8:1::/48", "203.0.113.7"]
    assert networks_of(given, 4) == ["192.0.2.0/24", "203.0.113.7/32"]
    assert networks_of(given, 6) == ["2001:db8::/32"]


FACTS: dict[str, Any] = {
    "interfaces": ["lo", "eth0", "br-x"],
    "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1"}},
    "eth0": {"device": "eth0"},
    "br_x": {
        "device": "br-x",
        "ipv4": {"address": "192.0.2.2"},
        "ipv4_secondaries": [{"address": "192.0.2.11"}],
    },
}


@pytest.mark.parametrize("address", ["192.0.2.2", "192.0.2.11"])
def test_an_interface_is_found_also_by_a_secondary_address(address: str) -> None:
    assert plugin("network").interface_of(FACTS, address) == "br-x"


def test_an_address_that_no_interface_has_is_told() -> None:
    with pytest.raises(AnsibleFilterError, match=r"no interface has the address 192\.0\.2\.12"):
        plugin("network").interface_of(FACTS, "192.0.2.12")
