"""Hosts that do not answer: which of them stop site.yml, and which are left as they are."""

from __future__ import annotations

import pytest

from tests.lab.plugins import load

filters = load("playbooks/filter_plugins/away.py")

GROUPS = {
    "load_balancers": ["lb1", "lb2"],
    "broker_members": ["b1", "b2", "node1"],
    "shared_fs_servers": ["node1", "node2"],
    "sftp_nodes": ["node1", "node2", "node3"],
    "monitoring": ["mon1", "mon2"],
    "sources": ["ec"],
}
GROUPS["scope"] = sorted({name for names in GROUPS.values() for name in names} - {"ec"})
HOSTS = [*GROUPS["scope"], "ec"]


def away(*silent: str, limit: list[str] | None = None) -> list[str]:
    told = {name: {"ansible_facts": {"distribution": "Debian"}} for name in HOSTS}
    hostvars = told | {name: {"ansible_facts": {}} for name in silent[:1]}
    hostvars |= {name: {} for name in silent[1:]}
    return list(filters.scope_away(GROUPS, hostvars, ["localhost", *(limit or HOSTS)]))


def test_who_tells_no_facts_is_away() -> None:
    assert away() == []
    assert away("node3", "ec") == ["node3", "ec"]


def test_a_host_that_is_not_asked_is_not_away() -> None:
    assert away("node3", "ec", limit=["ec", "lb1"]) == ["ec"]


@pytest.mark.parametrize("name", ["lb1", "b2", "node1", "node2"])
def test_nothing_is_changed_without_a_host_that_others_need(name: str) -> None:
    assert filters.scope_needed(GROUPS, [name, "ec"]) == [name]


def test_the_others_are_configured_without_a_node_a_monitoring_host_or_a_source() -> None:
    assert filters.scope_needed(GROUPS, ["node3", "mon1", "ec"]) == []


def test_one_host_of_each_kind_must_answer() -> None:
    assert filters.scope_needed(GROUPS, ["mon1", "mon2"]) == ["mon1", "mon2"]
