"""Filters of playbooks/validate.yml: return the mistakes in an inventory as readable lines."""

from __future__ import annotations

import difflib
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Groups: TypeAlias = Mapping[str, list[str]]
    HostVars: TypeAlias = Mapping[str, Mapping[str, Any]]

ROOT: Final = Path(__file__).parents[2]
NEEDED: Final = (
    "scope_domain",
    "scope_sftp_name",
    "scope_sftp_vip",
    "scope_broker_name",
    "scope_broker_vip",
    "scope_vip_prefix",
    "scope_admin_networks",
    "accounts",
)
DNS_NAME: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]+")
HOST_NAME: Final = re.compile(r"[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")


def scope_mistakes(groups: Groups, hostvars: HostVars) -> list[str]:
    """Return the unset variables; if none, mistakes in names, addresses, groups, variables."""
    everybody = hostvars["localhost"]
    missing = [f"{name} is not set" for name in NEEDED if name not in everybody]
    if missing:
        return missing
    return [
        *_names(everybody),
        *_addresses(everybody, groups, hostvars),
        *_admin_networks(everybody, groups, hostvars),
        *_membership(groups),
        *_unknown_variables(groups, hostvars),
        *_hidden_clients(everybody, groups, hostvars),
    ]


def scope_secrets_lacking(everybody: Mapping[str, Any]) -> list[str]:
    """Return a line per missing kind of secret; the accounts must be correct."""
    return list(_passwords(everybody))


def _names(everybody: Mapping[str, Any]) -> Iterator[str]:
    for key in ("scope_domain", "scope_sftp_name", "scope_broker_name"):
        if not DNS_NAME.fullmatch(str(everybody[key])):
            yield f"{key}: {everybody[key]!r} is not a name of DNS in small letters"


def _addresses(everybody: Mapping[str, Any], groups: Groups, hostvars: HostVars) -> Iterator[str]:
    owners: dict[str, str] = {}
    for key in ("scope_sftp_vip", "scope_broker_vip"):
        yield from _address(key, str(everybody[key]), owners)
    for host in sorted(groups.get("scope", [])):
        own = str(hostvars[host]["scope_address"])
        yield from _address(f"scope_address of {host}", own, owners)
        public = str(hostvars[host].get("scope_public_address", own))
        if public != own:
            yield from _address(f"scope_public_address of {host}", public, owners)


def _address(key: str, text: str, owners: dict[str, str]) -> Iterator[str]:
    try:
        version = ip_address(text).version
    except ValueError:
        yield f"{key}: {text!r} is not an IP address"
        return
    if version != 4:  # noqa: PLR2004
        yield f"{key}: {text} is an IPv6 address: the hosts of a scope use IPv4"
    if text in owners:
        yield f"{key}: {text} is {owners[text]}, too"
    owners[text] = key


def _admin_networks(
    everybody: Mapping[str, Any], groups: Groups, hostvars: HostVars
) -> Iterator[str]:
    """Yield mistakes in the networks that may connect as administrators, of all hosts once."""
    given = {"scope_admin_networks": everybody["scope_admin_networks"]} | {
        f"base_admin_networks of {host}": hostvars[host]["base_admin_networks"]
        for host in sorted(groups.get("scope", []))
        if "base_admin_networks" in hostvars[host]
    }
    for key, networks in given.items():
        if not isinstance(networks, list) or not networks:
            yield f"{key}: a list of at least one network is needed, else nobody can administer"
            continue
        for network in networks:
            try:
                ip_network(str(network))
            except ValueError as error:
                yield f"{key}: {error}"


def _membership(groups: Groups) -> Iterator[str]:
    known = set(_yaml(ROOT / "inventories/common/groups.yml"))
    for group in ("load_balancers", "brokers", "sftp_nodes"):
        if not groups.get(group):
            yield f"group {group} has no host"
    placed = {host for group in known for host in groups.get(group, [])}
    for host in sorted(set(groups["all"]) - placed):
        yield f"host {host} is in no group that means anything: {', '.join(sorted(known))}"
    for host in sorted(groups.get("scope", [])):
        if not HOST_NAME.fullmatch(host):
            yield f"host {host}: not a host name without a domain"


def _unknown_variables(groups: Groups, hostvars: HostVars) -> Iterator[str]:
    """Yield variables with a prefix of ours that no role reads: misspelt, or of another version."""
    ours = {
        path.parts[-3]: set(_yaml(path) or {}) for path in ROOT.glob("roles/*/defaults/main.yml")
    }
    ours["scope"] = _scope_variables()
    said = set()
    for host in groups["all"]:
        for name in hostvars[host]:
            role = next((role for role in ours if name.startswith(f"{role}_")), None)
            if role is None or name in ours[role] or name in said:
                continue
            said.add(name)
            near = difflib.get_close_matches(name, ours[role], 1)
            hint = f": is {near[0]} meant?" if near else ""
            yield f"{name} (host {host}) is a variable that nothing reads{hint}"


def _scope_variables() -> set[str]:
    """Return the names that inventories/common/all.yml sets, and those in its comments."""
    text = (ROOT / "inventories/common/all.yml").read_text()
    secrets = {"scope_erlang_cookie", "scope_broker_passwords"}
    return set(re.findall(r"^(?:# )?(scope_\w+):", text, re.MULTILINE)) | secrets


def _passwords(everybody: Mapping[str, Any]) -> Iterator[str]:
    makes = "playbooks/secrets.yml makes it"
    if "scope_erlang_cookie" not in everybody:
        yield f"the secret scope_erlang_cookie is missing; {makes}"
    known = everybody.get("scope_broker_passwords") or {}
    lacking = [user for user in everybody["scope_broker_users"] if not known.get(user)]
    if lacking:
        names = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")  # noqa: PLR2004
        yield f"the secret scope_broker_passwords lacks {names}; {makes}"


def _hidden_clients(
    everybody: Mapping[str, Any], groups: Groups, hostvars: HostVars
) -> Iterator[str]:
    """Yield settings that hide clients' addresses from nodes, if accounts are bound to some."""
    accounts = everybody.get("accounts")
    users = (accounts.get("users") if isinstance(accounts, dict) else None) or []
    if not any(isinstance(user, dict) and "from" in user for user in users):
        return
    for host in sorted(groups.get("scope", [])):
        for name in ("haproxy_ssh_transparent", "sftp_server_client_addresses"):
            if hostvars[host].get(name) is False:
                yield (
                    f"{name} (host {host}) is false: SFTP nodes see the load balancers' addresses,"
                    " and would refuse accounts that have from"
                )


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {"scope_mistakes": scope_mistakes, "scope_secrets_lacking": scope_secrets_lacking}
