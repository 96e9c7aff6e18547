"""Filters of playbooks/site.yml: which hosts do not answer, and which of them others need."""

from __future__ import annotations

from typing import Any

Groups = dict[str, list[str]]
WHOLE = ("load_balancers", "broker_members", "shared_fs_servers")
SOME = ("sftp_nodes", "monitoring")


def scope_away(groups: Groups, hostvars: dict[str, dict[str, Any]], played: list[str]) -> list[str]:
    """Return the hosts that should have told their facts, and did not.

    :param played: hosts of the run, which ``--limit`` may have chosen
    """
    hosts = dict.fromkeys([*groups["scope"], *groups["sources"]])
    told = {name for name in hosts if "distribution" in hostvars[name].get("ansible_facts", {})}
    return [name for name in hosts if name in played and name not in told]


def scope_needed(groups: Groups, away: list[str]) -> list[str]:
    """Return those of ``away`` without which no other host should be changed."""
    needed = [name for group in WHOLE for name in groups[group] if name in away]
    for group in SOME:
        if groups[group] and {*groups[group]} <= {*away}:
            needed += groups[group]
    return list(dict.fromkeys(needed))


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"scope_away": scope_away, "scope_needed": scope_needed}
