"""Filters of playbooks/backup.yml and playbooks/restore.yml."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STORES: Final = ("quota", "monitor")


def expected(
    groups: Mapping[str, list[str]], *, glusterfs: bool = False, files: bool = False
) -> list[list[str]]:
    """Return the names of the files of a whole backup; one of each list is enough."""
    of_hosts = [[f"{host}.{store}.sqlite.age"] for host in groups["monitoring"] for store in STORES]
    return [
        ["inventory.tar.age"],
        ["accounts.json.age"],
        [f"{host}.definitions.json.age" for host in groups["brokers"]],
        *of_hosts,
        *([[f"{host}.glusterfs.txt.age" for host in groups["shared_fs_servers"]]] * glusterfs),
        *([["files.tar.age"]] * files),
    ]


def records(hosts: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the SFTP nodes know of accounts, together; None if no node could tell.

    ``hosts`` are variables of nodes, with the results of tasks/backup.yml of the role accounts.
    """
    numbers: dict[str, int] = {}
    revoked: dict[str, set[str]] = {"logins": set(), "keys": set()}
    told = False
    for host in hosts:
        read, known = (host.get(f"__accounts_backup_{what}", {}) for what in ("numbers", "revoked"))
        if "content" in read:
            told = True
            numbers |= json.loads(base64.b64decode(read["content"]))
        for kind, names in revoked.items():
            names.update(known.get(kind, []))
    if not told and not any(revoked.values()):
        return None
    return {"numbers": numbers, **{kind: sorted(names) for kind, names in revoked.items()}}


def stores(files: Mapping[str, Any], host: str) -> list[str]:
    """Return the stores of a host that a backup has; ``files`` is of its manifest."""
    return [store for store in STORES if f"{host}.{store}.sqlite.age" in files]


def versions(groups: Mapping[str, list[str]], hostvars: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the packages of each host of the scope, as far as it has told them."""
    said = {host: hostvars[host].get("backup_packages", {}) for host in groups["scope"]}
    return {host: list(result.get("stdout_lines", [])) for host, result in said.items()}


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "backup_expected": expected,
            "backup_records": records,
            "backup_stores": stores,
            "backup_versions": versions,
        }
