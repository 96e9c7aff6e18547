"""Ansible filter that checks the virtual addresses against the load balancers' networks."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def mistakes(balancers: list[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return, as readable lines, why the balancers cannot hold the virtual addresses."""
    if len(balancers) not in (1, 2):
        return [f"group load_balancers has {len(balancers)} hosts: one or two are needed"]
    found = []
    for host in balancers:
        values = hostvars[host]
        network = f"{values['scope_public_address']}/{values['scope_vip_prefix']}"
        found += [
            f"{key}: {values[key]} is not in {network}, the network of {host}"
            " (scope_public_address, scope_vip_prefix)"
            for key in ("scope_sftp_vip", "scope_broker_vip")
            if not holds(network, str(values[key]))
        ]
    return found


def holds(interface: str, address: str) -> bool:
    """Return whether an address is valid and in an interface's network (192.0.2.11/24)."""
    try:
        return ip_address(address) in ip_interface(interface).network
    except ValueError:
        return False


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by their names in templates."""
        return {"keepalived_mistakes": mistakes}
