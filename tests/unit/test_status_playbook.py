"""What playbooks/status.yml takes for wrong, of what the hosts of a scope say."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.lab.plugins import load

STATUS = load("playbooks/filter_plugins/status.py")
GROUPS = {
    "scope": ["svrlb1", "svrlb2", "svrb1", "svrmon1"],
    "load_balancers": ["svrlb1", "svrlb2"],
    "broker_members": ["svrb1"],
    "monitoring": ["svrmon1"],
}
LINES = [
    "ssh svrn1 UP 3 sessions",
    "amqps svrb1 UP 1 sessions",
    "clients of the broker are at svrb1",
]
HOST = {
    "disks": [{"mount": "/", "percent": 40, "names_percent": 3}],
    "disks_hang": False,
    "failed_units": [],
    "held": ["haproxy"],
    "restart_needed": False,
}
QUEUE = {"name": "q_src2log", "type": "quorum", "state": "running", "messages": 0, "consumers": 2}
ALERT = {"labels": {"alertname": "DeadMan", "severity": "none"}, "state": "firing"}


def answers() -> dict[str, Any]:
    """What the hosts of a scope say in which all is well."""
    hosts: dict[str, Any] = {name: {"status_host": copy.deepcopy(HOST)} for name in GROUPS["scope"]}
    for name in GROUPS["scope"]:
        hosts[name]["status_clock"] = {"low": 99.9, "high": 100.1}
    hosts["localhost"] = {"scope_sftp_vip": "192.0.2.2", "scope_broker_vip": "192.0.2.3"}
    hosts["svrlb1"]["status_balancer"] = {"stdout_lines": [*LINES, "holds 192.0.2.2"]}
    hosts["svrlb2"]["status_balancer"] = {"stdout_lines": [*LINES, "holds 192.0.2.3"]}
    one = {"name": "amqps", "address": "192.0.2.3", "port": 5671, "days": 90, "serial": "1"}
    hosts["svrlb1"]["status_certificates"] = {"certificates": [one]}
    cluster = {"running_nodes": ["rabbit@svrb1"], "alarms": [], "partitions": {}}
    hosts["svrb1"]["status_members"] = {"stdout_lines": [json.dumps(cluster)]}
    hosts["svrb1"]["status_queues"] = {"stdout_lines": [json.dumps([QUEUE])]}
    hosts["svrb1"]["status_gluster"] = {"heal": {"a": 0}, "offline": []}
    hosts["svrb1"]["status_disk"] = {"rc": 0}
    age = 'sarra_oldest_unreported_seconds{group="g",user="uann"} 12.0\n'
    hosts["svrmon1"]["status_monitor"] = {"content": age}
    hosts["svrmon1"]["status_alerts"] = {"json": {"data": {"alerts": [copy.deepcopy(ALERT)]}}}
    return hosts


def wrong(hosts: dict[str, Any], **limits: float) -> list[str]:
    document = STATUS.status_document(GROUPS, hosts, limits)
    return [str(line) for line in STATUS.status_lines(document["wrong"])]


def test_a_scope_in_which_all_is_well_has_nothing_wrong() -> None:
    assert wrong(answers()) == []


def set_(path: str, value: Any) -> Any:
    *keys, last = path.split()

    def change(hosts: dict[str, Any]) -> None:
        at: Any = hosts
        for key in keys:
            at = at[int(key) if isinstance(at, list) else key]
        at[int(last) if isinstance(at, list) else last] = value

    return change


FAULTS: dict[str, tuple[Any, str]] = {
    "away": (set_("svrb1 status_host", {"unreachable": True}), "svrb1: does not answer; docs/"),
    "unit": (set_("svrb1 status_host failed_units", ["a.service"]), "svrb1: a.service has failed"),
    "down": (
        set_("svrlb1 status_balancer stdout_lines 0", "ssh svrn1 DOWN 0 sessions"),
        "svrlb1: ssh server svrn1 is DOWN; docs/runbooks/server-down.md",
    ),
    "drained": (
        set_("svrlb1 status_balancer stdout_lines 0", "ssh svrn1 DRAIN 0 sessions"),
        "svrn1 is DRAIN; docs/runbooks/node-drained.md",
    ),
    "two holders": (
        set_("svrlb2 status_balancer stdout_lines", [*LINES, "holds 192.0.2.2", "holds 192.0.2.3"]),
        "svrlb1: 192.0.2.2 (sftp_vip) is held by svrlb1 and svrlb2",
    ),
    "no holder": (
        set_("svrlb2 status_balancer stdout_lines", LINES),
        "192.0.2.3 (broker_vip) is held by nobody; docs/runbooks/vip-without-owner.md",
    ),
    "member": (
        set_("svrb1 status_members stdout_lines", ['{"running_nodes": []}']),
        "svrb1: is no running member of RabbitMQ",
    ),
    "alarm": (
        set_(
            "svrb1 status_members stdout_lines",
            ['{"running_nodes": ["rabbit@svrb1"], "alarms": ["disk_free"]}'],
        ),
        "RabbitMQ: alarm disk_free; docs/runbooks/broker-disk-alarm.md",
    ),
    "queue": (
        set_("svrb1 status_queues stdout_lines", [json.dumps([QUEUE | {"state": "minority"}])]),
        "queue q_src2log is minority",
    ),
    "copier": (
        set_("svrb1 status_queues stdout_lines", [json.dumps([QUEUE | {"consumers": 0}])]),
        "no sr_src2log copies reports to xlog",
    ),
    "broker": (
        set_("svrb1 status_queues", {"failed": True, "msg": "no such command"}),
        "svrb1: cannot tell queues: no such command",
    ),
    "heal": (set_("svrb1 status_gluster heal a", 7), "7 entries wait for healing"),
    "brick": (set_("svrb1 status_gluster offline", ["h:/b"]), "brick h:/b is not online"),
    "quota": (set_("svrb1 status_disk rc", 1), "a disk quota is used up to a threshold"),
    "disk": (set_("svrb1 status_host disks 0 percent", 85), "/ is 85 % full; docs/runbooks/disk"),
    "inodes": (set_("svrb1 status_host disks 0 names_percent", 99), "/ is 99 % full of names"),
    "hung": (set_("svrb1 status_host disks_hang", True), "a file system does not answer"),  # noqa: FBT003
    "certificate": (
        set_("svrlb1 status_certificates certificates 0 days", 29),
        "the certificate of amqps (192.0.2.3:5671) expires in 29 days",
    ),
    "no certificate": (
        set_("svrlb1 status_certificates certificates 0 problem", "refused"),
        "amqps (192.0.2.3:5671) serves no certificate: refused",
    ),
    "clock": (
        set_("svrb1 status_clock low", 101.9),
        "its clock and that of svrb1 differ by 1.8 s; docs/runbooks/clock-off.md",
    ),
    "hold": (
        set_("svrlb2 status_host held", []),
        "svrlb2: haproxy is not held, as it is on svrlb1",
    ),
    "oldest": (
        set_(
            "svrmon1 status_monitor content",
            'sarra_oldest_unreported_seconds{user="uann"} 7200.0',
        ),
        "nobody has reported a file of uann, announced 2.0 h ago",
    ),
    "alert": (
        set_("svrmon1 status_alerts json data alerts 0 labels severity", "critical"),
        "svrmon1: alert DeadMan",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_one_line_with_what_to_do(fault: str) -> None:
    hosts = answers()
    change, said = FAULTS[fault]
    change(hosts)
    (line,) = wrong(hosts)
    assert said in line
    assert "; " in line


def test_hosts_that_were_not_asked_are_not_judged() -> None:
    hosts = answers()
    asked = {name: {} for name in GROUPS["scope"]} | {"localhost": hosts["localhost"]}
    assert wrong(asked | {"svrb1": hosts["svrb1"]}) == []


def test_clocks_that_may_be_the_same_within_what_was_measured_are_well() -> None:
    hosts = answers()
    hosts["svrb1"]["status_clock"] = {"low": 100.5, "high": 105.5}
    assert wrong(hosts) == []
    assert wrong(hosts, clock_seconds=0.1) != []


def test_the_broker_is_shown_in_lines() -> None:
    hosts = answers()["svrb1"]
    assert STATUS.status_broker_lines([hosts["status_members"], hosts["status_queues"]]) == [
        "running: rabbit@svrb1",
        "alarms: none",
        "q_src2log: quorum, running, 0 messages, 2 consumers",
    ]
    assert STATUS.status_broker_lines([{"failed": True}, {}])[0] == "running: none"


def test_days_of_a_certificate_are_whole_ones() -> None:
    module = load("playbooks/library/status_certificates.py")
    text = "notAfter=Dec  1 12:00:00 2026 GMT\nserial=0A\n"
    assert module.facts(text, datetime(2026, 11, 28, 13, tzinfo=UTC)) == {"days": 2, "serial": "0A"}
    assert module.facts(text, datetime(2026, 12, 2, tzinfo=UTC))["days"] == -1


def test_disks_are_told_without_those_in_memory() -> None:
    table = (
        "Type Use% IUse% Mounted on\ntmpfs 99% 1% /run\noverlay 40% - /\noverlay 1% 1% /x\n"
        "fuse.glusterfs 86% 2% /srv/sftp/home\next4 5% 1% /a b\n"
    )
    found = load("playbooks/library/status_host.py").disks(table)
    assert [(one["mount"], one["percent"], one["names_percent"]) for one in found] == [
        ("/", 40, 0),
        ("/srv/sftp/home", 86, 2),
        ("/a b", 5, 1),
    ]


HEAL = """<?xml version="1.0"?><cliOutput><healInfo><bricks>
<brick><name>a:/b</name><status>Connected</status><numberOfEntries>2</numberOfEntries></brick>
<brick><name>c:/b</name><numberOfEntries>-</numberOfEntries></brick></bricks></healInfo></cliOutput>"""
BRICKS = """<?xml version="1.0"?><cliOutput><volStatus><volumes><volume>
<node><hostname>a</hostname><path>/b</path><status>1</status></node>
<node><hostname>c</hostname><path>/b</path><status>0</status></node>
<node><hostname>Self-heal Daemon</hostname><path>localhost</path><status>0</status></node>
</volume></volumes></volStatus></cliOutput>"""


def test_gluster_is_asked_for_its_backlog_and_its_bricks() -> None:
    module = load("playbooks/library/status_gluster.py")
    assert module.backlog(HEAL) == {"a:/b": 2, "c:/b": -1}
    assert module.offline(BRICKS) == ["c:/b"]
