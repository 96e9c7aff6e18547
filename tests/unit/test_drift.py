"""What playbooks/drift.yml takes for a difference, of what hosts and the broker say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.plugins import load


def module(name: str) -> Any:
    return load(f"playbooks/library/drift_{name}.py")


# As nft(8) lists tables.
LOADED = """\
table inet scope {
	comment "rules 0a"
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ip saddr 10.0.0.1 tcp dport 22 accept
	}
}
table ip sftp_marks {
	map sessions {
		type ipv4_addr . inet_service : verdict
		flags timeout
		elements = { 10.0.0.9 . 50000 timeout 10m expires 9m2s : goto mark_1,
				10.0.0.9 . 50001 timeout 10m expires 9m2s : goto mark_1 }
	}

	set nodes {
		type ipv4_addr
		elements = { 10.0.0.31, 10.0.0.32 }
	}
}
"""
MARKS = """\
table ip sftp_marks {
	map sessions {
		type ipv4_addr . inet_service : verdict
		flags timeout
	}

	set nodes {
		type ipv4_addr
		elements = { 10.0.0.31, 10.0.0.32 }
	}
}
"""


def nft(wanted: str, live: str, *known: str) -> list[tuple[str, ...]]:
    nft = module("nft")
    found = nft.differences(nft.tables(wanted), nft.tables(live), list(known))
    return [tuple(one.values()) for one in found]


def test_what_sessions_add_to_sets_at_run_time_is_no_difference() -> None:
    wanted = LOADED.partition("table ip")[0] + MARKS
    assert nft(wanted, LOADED) == []
    (line,) = nft(wanted, LOADED.replace("10.0.0.31, 10.0.0.32", "10.0.0.31"))[1:]
    assert line == ("nft ip sftp_marks: elements = { 10.0.0.31 }", "there", "not there")


def test_a_rule_that_is_gone_or_was_added_and_a_table_of_nobody_are_told() -> None:
    rule = "ip saddr 10.0.0.1 tcp dport 22 accept"
    assert nft(LOADED, LOADED.replace(rule, "tcp dport 22 accept")) == [
        (f"nft inet scope: {rule}", "gone", "there"),
        ("nft inet scope: tcp dport 22 accept", "there", "not there"),
    ]
    assert nft(LOADED, LOADED.replace(f"\t\t{rule}\n", f"\t\t{rule}\n\t\t{rule}\n")) == [
        ("nft inet scope: all rules", "in another order, or repeated", "as in the file")
    ]
    assert nft(LOADED, MARKS)[0] == ("nft table inet scope", "not loaded", "loaded")
    assert nft(MARKS, LOADED)[-1] == ("nft table inet scope", "loaded", "not there")
    assert nft(MARKS, LOADED, "inet scope") == []


LINES = [
    "rule 100 fwmark 0x100 lookup 100",
    "route 100 local default dev lo",
    "rule 101 fwmark 1 lookup 101",
    "route 101 default via 10.0.0.11",
]
RULES = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 100, "src": "all", "fwmark": "0x100", "table": "100"},
    {"priority": 101, "src": "all", "fwmark": "0x1", "table": "101"},
    {"priority": 32766, "src": "all", "table": "main"},
]
ROUTES = {
    "100": [{"type": "local", "dst": "default", "dev": "lo", "scope": "host", "flags": []}],
    "101": [{"dst": "default", "gateway": "10.0.0.11", "dev": "eth0", "flags": []}],
}


def routes(rules: Any = RULES, tables: Any = ROUTES) -> list[tuple[str, ...]]:
    found = module("routes").differences(LINES, rules, tables)
    return [tuple(one.values()) for one in found]


def test_rules_and_routes_as_keep_routes_sets_them_are_no_difference() -> None:
    assert routes() == []


def test_rules_and_routes_that_are_gone_changed_or_added_are_told() -> None:
    assert routes(RULES[:2] + RULES[3:]) == [("ip rule 101", "gone", "fwmark 1 lookup 101")]
    added = {"priority": 50, "src": "all", "fwmark": "0x7", "table": "main"}
    assert routes([*RULES, added]) == [("ip rule 50", "fwmark 0x7 table main", "not there")]
    other = [{"dst": "default", "gateway": "10.0.0.12", "dev": "eth0"}]
    assert routes(tables={**ROUTES, "101": other}) == [
        ("ip route 101", "dst default gateway 10.0.0.12 dev eth0", "default via 10.0.0.11")
    ]
    assert routes(tables={"101": ROUTES["101"]})[0][:2] == ("ip route 100", "gone")


CONFIG = """\
peers lbs
    server svrlb1 verifyhost svrlb1
    server svrlb2 10.0.0.12:1024 verifyhost svrlb2
backend ssh_sources
    stick-table type ip size 100k
listen ssh
    bind 192.0.2.2:22
    default-server inter 3s
    server svrsftp1 10.0.0.31:2201 check source 0.0.0.0
    server svrsftp2 10.0.0.32:2201 check
"""
STATES = """\
1
# be_id be_name srv_id srv_name srv_addr op srv_admin_state srv_uweight srv_iweight srv_port
3 ssh 1 svrsftp1 10.0.0.31 2 0 1 1 2201
3 ssh 2 svrsftp2 10.0.0.32 0 0 1 1 2201
"""


def haproxy(states: str) -> list[tuple[str, ...]]:
    haproxy = module("haproxy")
    found = haproxy.differences(haproxy.configured(CONFIG), states)
    return [tuple(one.values()) for one in found]


def test_a_server_that_is_down_is_no_difference_to_the_configuration() -> None:
    assert haproxy(STATES) == []


@pytest.mark.parametrize(
    ("row", "now", "should"),
    [
        ("3 ssh 2 svrsftp2 10.0.0.32 2 8 1 1 2201", "drained", "ready"),
        ("3 ssh 2 svrsftp2 10.0.0.32 0 1 1 1 2201", "in maintenance", "ready"),
        ("3 ssh 2 svrsftp2 10.0.0.32 2 0 0 1 2201", "of weight 0, not 1", "ready"),
        ("3 ssh 2 svrsftp2 10.0.0.99 2 0 1 1 2201", "10.0.0.99:2201", "10.0.0.32:2201"),
        ("3 ssh 2 svrsftp2 10.0.0.32 2 0 1 1 22", "10.0.0.32:22", "10.0.0.32:2201"),
        ("", "gone", "10.0.0.32:2201"),
    ],
)
def test_a_server_that_was_changed_at_run_time_is_told(row: str, now: str, should: str) -> None:
    last = STATES.splitlines()[-1]
    assert haproxy(STATES.replace(last, row)) == [("HAProxy server ssh/svrsftp2", now, should)]


def test_a_server_that_is_not_configured_is_told() -> None:
    assert haproxy(STATES + "3 ssh 9 svrx 10.0.0.9 2 0 1 1 22\n") == [
        ("HAProxy server ssh/svrx", "there", "not there")
    ]


def test_options_of_a_running_sshd_are_those_of_its_title() -> None:
    options = module("sshd").options
    title = (
        "sshd: /usr/sbin/sshd -D -f /etc/ssh/transfer/sshd_config -o MaxSessions=99 [listener] 0"
    )
    assert options(title) == ["-f", "/etc/ssh/transfer/sshd_config", "-o", "MaxSessions=99"]
    assert options("/usr/sbin/sshd\0-D\0") == []


def test_a_keyword_that_means_something_else_to_the_running_sshd_is_told() -> None:
    sshd = module("sshd")
    names = sshd.keywords("# comment\nPort 2201\nPort 2202\nMaxSessions 10\nMatch all\nUseDNS no\n")
    assert names == {"port", "maxsessions"}
    should = "port 2202\nport 2201\nmaxsessions 10\nusedns no\n"
    assert sshd.differences("a.service", names, should, should) == []
    live = "port 2201\nport 2202\nmaxsessions 99\nusedns yes\n"
    (found,) = sshd.differences("a.service", names, live, should)
    assert found == {"what": "a.service: maxsessions", "is": "99", "should": "10"}


PASSWD = """\
root:x:0:0:root:/root:/bin/bash
sshd:x:103:65534::/run/sshd:/usr/sbin/nologin
toor:x:0:0::/root:/bin/bash
ops:x:1000:1000::/home/ops:/bin/bash
eve:x:1001:1001::/home/eve:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIMcTmkFNDrSDKUpeHnrYKZ6uZ1fSmVHKCNmBEcVEnlMC"


def test_users_of_nobody_known_are_told() -> None:
    logins = module("logins")
    found = logins.unknown(logins.users(PASSWD), ["ops"])
    assert [one["what"] for one in found] == ["user toor", "user eve"]


def test_keys_have_the_fingerprint_that_ssh_keygen_prints() -> None:
    text = f'# comment\nfrom="10.0.0.1",no-pty ssh-ed25519 {KEY} eve at home\nssh-ed25519 {KEY}\n'
    ((key, comment),) = module("logins").keys(text.replace(f"\nssh-ed25519 {KEY}\n", "\n")).items()
    assert comment == "eve at home"
    assert key.startswith("SHA256:")
    assert len(key) == 50


def test_settings_that_differ_are_lines_of_the_broker() -> None:
    rabbitmq = module("rabbitmq")
    said = "rabbit.max_message_size\t16777216\t1048576\ndone\n"
    assert rabbitmq.findings(said) == [
        {"what": "RabbitMQ: rabbit.max_message_size", "is": "16777216", "should": "1048576"}
    ]


def found(hosts: dict[str, Any], changes: Any = (), **more: Any) -> list[dict[str, str]]:
    groups = {"all": [*hosts, "localhost"], "scope": [*hosts], "sftp_nodes": [*hosts]}
    known = {"localhost": {}} | {
        name: {"drift_packages": {"stdout_lines": []}, "drift_users": ["x"], **host}
        for name, host in hosts.items()
    }
    result: list[dict[str, str]] = load("playbooks/filter_plugins/drift.py").drift_found(
        groups, known, list(changes), **more
    )
    return result


def test_a_package_that_differs_from_most_hosts_of_a_group_is_told_once() -> None:
    hosts = {
        f"n{number}": {"drift_packages": {"stdout_lines": [f"haproxy 2.{6 if number < 3 else 7}"]}}
        for number in (1, 2, 3)
    }
    assert found(hosts) == [
        {
            "host": "n3",
            "what": "package haproxy",
            "is": "2.7",
            "should": "2.6, as on most hosts of its group",
        }
    ]


def test_a_key_that_is_not_on_most_hosts_is_told_unless_it_is_known() -> None:
    hosts: dict[str, Any] = {
        f"n{number}": {"drift_logins": {"found": [], "keys": {"root": {"SHA256:a": "ops"}}}}
        for number in (1, 2, 3)
    }
    assert found(hosts) == []
    hosts["n2"]["drift_logins"]["keys"]["root"] = {"SHA256:a": "ops", "SHA256:b": "eve"}
    (one,) = found(hosts)
    assert (one["host"], one["what"]) == ("n2", "key of root: SHA256:b (eve)")
    assert found(hosts, keys=["SHA256:a", "SHA256:b"]) == []
    assert [one["host"] for one in found(hosts, keys=["SHA256:b"])] == ["n1", "n2", "n3"]


def test_what_modules_and_check_mode_found_is_told_but_for_what_is_ignored() -> None:
    rule = {"what": "ip rule 50", "is": "there", "should": "not there"}
    hosts = {
        "n1": {"drift_routes": {"found": [rule]}},
        "n2": {"drift_nft": {"failed": True, "msg": "no nft"}},
    }
    changes = [{"task": "haproxy : Configure HAProxy", "hosts": ["n1"], "told": []}]
    told = [(one["host"], one["what"]) for one in found(hosts, changes)]
    assert told == [
        ("n1", "haproxy : Configure HAProxy"),
        ("n1", "ip rule 50"),
        ("n2", "check drift_nft"),
    ]
    assert len(found(hosts, changes, ignored=["^n1 ip rule", "haproxy"])) == 1


def test_a_host_that_does_not_answer_is_told_once_but_not_one_that_was_not_asked() -> None:
    away = {"unreachable": True, "msg": "no route"}
    (one,) = found({"n1": {"drift_packages": away, "drift_nft": away}, "n2": {}})
    assert (one["host"], one["what"], one["is"]) == ("n1", "host", "does not answer")


def test_the_list_is_a_table_with_heads() -> None:
    lines = load("playbooks/filter_plugins/drift.py").drift_lines
    assert lines([]) == []
    heads, row = lines([{"host": "n1", "what": "a", "is": "b", "should": "c"}])
    assert heads.split() == ["HOST", "WHAT", "IS", "SHOULD", "BE"]
    assert row.split() == ["n1", "a", "b", "c"]


def test_only_what_no_playbook_and_no_user_may_make_at_the_broker_is_told() -> None:
    wanted: dict[str, Any] = {
        "vhosts": [{"name": "/"}],
        "users": [{"name": "uann"}, {"name": "usrc2log"}],
        "permissions": [{"user": "uann", "vhost": "/"}],
        "exchanges": [{"name": "xac_ann"}, {"name": "xlog"}],
        "queues": [{"name": "q_xlog"}],
        "policies": [{"name": "segments"}],
        "parameters": [],
    }
    mine = {"source": "xac_ann", "destination": "q_uann_default", "routing_key": "#"}
    live = json.loads(json.dumps(wanted)) | {"bindings": [mine], "topic_permissions": []}
    live["queues"].append({"name": "q_uann_default"})
    broker = load("playbooks/filter_plugins/drift.py").drift_broker
    assert broker(live, wanted, "u") == []
    live["users"].append({"name": "eve"})
    live["permissions"].append({"user": "uann", "vhost": "other"})
    live["queues"].append({"name": "q_copy"})
    live["bindings"].append(mine | {"destination": "q_copy"})
    assert [one["what"] for one in broker(live, wanted, "u")] == [
        "broker: users: eve",
        "broker: permissions: uann on other",
        "broker: queues: q_copy",
        "broker: bindings: xac_ann to q_copy (#)",
    ]
