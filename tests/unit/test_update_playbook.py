"""Which hosts playbooks/update.yml updates, in which order, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.plugins import load

filters = load("playbooks/filter_plugins/update.py")
module = load("playbooks/library/updates_available.py")

GROUPS = {
    "monitoring": ["mon"],
    "sftp_nodes": ["node1", "node2", "node3", "node4"],
    "shared_fs_servers": ["node1", "node2", "node3"],
    "broker_witness": ["node1"],
    "brokers": ["b1", "b2"],
    "load_balancers": ["lb1", "lb2"],
}
# As apt-get --simulate prints it.
PLANNED = """\
Reading package lists...
The following packages will be upgraded:
  libc6 rabbitmq-server
Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u10 Debian:12.10/stable [amd64]) [libc6-dev:amd64 ]
Inst linux-image-6.1.0-32-amd64 (6.1.129-1 Debian:12.10/stable [amd64])
Inst rabbitmq-server [3.10.8-1.1+deb12u1] (3.10.8-1.1+deb12u2 Debian:12.10/stable [all])
Remv oldlib [1.0-1]
Conf libc6 (2.36-9+deb12u10 Debian:12.10/stable [amd64])
"""
# As needrestart -b prints it.
WAITING = """\
NEEDRESTART-VER: 3.6
NEEDRESTART-KCUR: 6.1.0-31-amd64
NEEDRESTART-KEXP: 6.1.0-32-amd64
NEEDRESTART-KSTA: 3
NEEDRESTART-SVC: haproxy.service
NEEDRESTART-SVC: cron.service
"""


def found(**given: Any) -> dict[str, Any]:
    return {"packages": [], "removed": [], "jumps": [], "services": [], "reboot": False} | given


def nothing_to_do(**others: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return variables of all hosts."""
    names = {name for names in GROUPS.values() for name in names}
    return {name: {"update_found": found()} | others.get(name, {}) for name in sorted(names)}


def plan(groups: dict[str, list[str]], hosts: dict[str, Any], reboot: str) -> Any:
    """Return the plan for all hosts, of which no load balancer has said anything."""
    seen = filters.update_seen(groups, hosts, [{"item": "lb1", "unreachable": True}], list(hosts))
    return filters.update_plan(groups, hosts, seen, reboot)


def test_only_some_hosts_are_updated_in_the_order_of_all() -> None:
    seen = filters.update_seen(GROUPS, nothing_to_do(), [], ["localhost", "lb2", "node1"])
    assert seen["order"] == ["node1", "lb2"]


def test_what_serves_users_now_comes_last() -> None:
    order = filters.update_order(GROUPS, ["lb2"], ["b1"])
    assert order == ["mon", "node4", "node2", "node3", "node1", "b2", "lb1", "b1", "lb2"]


@given(
    st.lists(st.sampled_from(GROUPS["load_balancers"]), unique=True),
    st.lists(st.sampled_from(GROUPS["brokers"]), unique=True),
)
def test_every_host_comes_once_and_holders_never_before_their_peers(
    holders: list[str], brokers: list[str]
) -> None:
    order = filters.update_order(GROUPS, holders, brokers)
    assert sorted(order) == sorted({name for names in GROUPS.values() for name in names})
    for group, serving in (("load_balancers", holders), ("brokers", brokers)):
        places = [order.index(name) for name in GROUPS[group] if name not in serving]
        assert all(order.index(name) > max(places, default=-1) for name in serving)


def test_a_host_that_is_everything_is_updated_once() -> None:
    assert filters.update_order({key: ["one"] for key in GROUPS}, ["one"], ["one"]) == ["one"]


def test_the_plan_says_what_is_done_to_each_host_that_has_something_to_do() -> None:
    libc = {"name": "libc6", "old": "1", "new": "2"}
    hosts = nothing_to_do(
        node2={"update_found": found(packages=[libc], reboot=True)},
        lb2={"update_found": found(services=["haproxy.service"])},
    )
    end = "wait until the scope is well"
    assert plan(GROUPS, hosts, "needed") == [
        f"node2: drain it; update 1 packages (libc6); restart the host; {end}",
        f"lb2: move addresses away; restart what runs with replaced files; {end}",
    ]
    always = plan(GROUPS, hosts, "always")
    assert len(always) == len(hosts)
    assert f"b1: move clients away; restart the host; {end}" in always


def test_an_only_host_of_its_kind_is_not_taken_out() -> None:
    alone = {key: ["one"] for key in GROUPS}
    hosts = {"one": {"update_found": found(reboot=True)}}
    (line,) = plan(alone, hosts, "needed")
    assert line == "one: restart the host; wait until the scope is well"
    assert plan(alone, hosts, "never") == []


def test_what_an_earlier_run_left_is_put_back_and_what_an_operator_drained_is_not() -> None:
    left = {"update_taken": {"stat": {"exists": True}}}
    hosts = nothing_to_do(node2=left, b1=left)
    serving = [
        {"item": "lb1", "stdout": "at b2\nholds 10.0.0.1\ndrained node1\ndrained node2\n"},
        {"item": "lb2", "stdout": "drained node1\ndrained node2\n"},
    ]
    seen = filters.update_seen(GROUPS, hosts, serving, list(hosts))
    assert (seen["left"], seen["drained"]) == (["node2", "b1"], ["node1"])
    assert seen["order"][-2:] == ["b2", "lb1"]
    assert filters.update_plan(GROUPS, hosts, seen, "needed") == [
        "node2: put it back, an earlier run has left it out",
        "b1: put it back, an earlier run has left it out",
        "node1: stays drained, as an operator wants it",
    ]


def test_hosts_that_do_not_answer_and_other_series_are_refused() -> None:
    hosts = {
        "a": {"update_found": {"unreachable": True, "msg": "no route"}},
        "b": {},
        "c": {"update_found": found(jumps=["rabbitmq-server 3.10.8 to 4.0.5"])},
        "d": {"update_found": found()},
    }
    assert filters.update_refused(list(hosts), hosts) == [
        "a: no route",
        "b: does not answer",
        "c: rabbitmq-server 3.10.8 to 4.0.5 is another series, which is no update",
    ]


def test_what_apt_would_do_is_read() -> None:
    packages = module.planned(PLANNED)
    assert [each["name"] for each in packages] == [
        "libc6",
        "linux-image-6.1.0-32-amd64",
        "rabbitmq-server",
    ]
    assert packages[1] == {"name": packages[1]["name"], "old": "", "new": "6.1.129-1"}
    assert module.removed(PLANNED) == ["oldlib"]
    assert module.jumps(packages) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "jump"),
    [
        ("rabbitmq-server", "3.10.8-1", "3.10.8-2", False),
        ("rabbitmq-server", "3.10.8-1", "3.10.25-1", False),
        ("rabbitmq-server", "3.10.8-1", "3.12.1-1", True),
        ("rabbitmq-server", "4.0.5-5", "1:4.0.9-1", False),
        ("rabbitmq-server", "", "4.0.5-5", False),
        ("glusterfs-server", "10.3-5", "10.5-1", False),
        ("glusterfs-server", "10.3-5", "11.1-6", True),
        ("haproxy", "2.6.12-1", "3.0.11-1", False),
    ],
)
def test_another_series_of_a_cluster_is_told(name: str, old: str, new: str, *, jump: bool) -> None:
    assert bool(module.jumps([{"name": name, "old": old, "new": new}])) == jump


def test_what_waits_for_a_restart_is_read() -> None:
    assert module.waiting(WAITING) == (["cron.service", "haproxy.service"], True)
    assert module.waiting("NEEDRESTART-VER: 3.6\nNEEDRESTART-KSTA: 1\n") == ([], False)
