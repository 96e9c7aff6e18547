"""Ansible filters for networks and interfaces."""

from __future__ import annotations

from ipaddress import collapse_addresses, ip_network
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def networks_of(networks: list[str], version: int) -> list[str]:
    """Return the networks of IP version 4 or 6, none inside another: nft refuses overlaps."""
    parsed = [ip_network(str(network)) for network in networks]
    chosen: Any = [network for network in parsed if network.version == version]
    return [str(network) for network in collapse_addresses(chosen)]


def interface_of(facts: Mapping[str, Any], address: str) -> str:
    """Return the interface of a host that has an IPv4 address, also as a secondary one.

    ``facts`` are the host's facts (network).  Raises AnsibleFilterError if no interface has it.
    """
    for name in facts["interfaces"]:
        found = facts.get(name.replace("-", "_"), {})
        if address in _addresses(found):
            return str(found.get("device", name))
    raise AnsibleFilterError(f"no interface has the address {address}")


def _addresses(interface: Mapping[str, Any]) -> Iterator[str]:
    if first := interface.get("ipv4"):
        yield first["address"]
    for other in interface.get("ipv4_secondaries", []):
        yield other["address"]


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {"networks_of": networks_of, "interface_of": interface_of}
