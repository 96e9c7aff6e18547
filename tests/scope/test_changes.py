"""What playbooks change is told in the log of the scope, and what differs is found."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scope.conftest import Scope

pytestmark = [pytest.mark.destructive, pytest.mark.timeout(900)]

HAPROXY = ("--tags", "haproxy", "--limit", "load_balancers")


def changes(scope: Scope) -> list[dict[str, Any]]:
    """What a monitoring host knows of changes by playbooks, the latest first."""
    monitoring = scope.host(scope.group("monitoring")[0])
    command = "sr_monitor -c /etc/sarra_lite/monitor/default.toml --changes --json --limit 20"
    return [json.loads(line) for line in monitoring.run(command).stdout.splitlines()]


def told(scope: Scope, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is new since, once something is."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        before = {entry["id"] for entry in known}
        if new := [entry for entry in changes(scope) if entry["id"] not in before]:
            return new
        time.sleep(0.5)
    raise AssertionError("nothing is told")


@pytest.mark.faults
@pytest.mark.one_host
def test_a_run_that_changes_something_is_one_entry_in_the_log_and_one_that_does_not_is_none(
    scope: Scope,
) -> None:
    known = changes(scope)
    different = ("-e", "haproxy_ssh_timeout=2h")
    assert scope.playbook("site", *HAPROXY, *different, "--check").returncode == 0
    try:
        done = scope.playbook("site", *HAPROXY, *different)
        assert done.returncode == 0, done.stdout
        assert "not in the log" not in done.stderr
        (entry,) = told(scope, known)
    finally:
        back = scope.playbook("site", *HAPROXY)
    assert back.returncode == 0, back.stdout
    assert (entry["playbook"], entry["limit"]) == ("site.yml", "load_balancers")
    assert entry["tags"] == ["haproxy"]
    assert entry["arguments"] == ["haproxy_ssh_timeout"]
    hosts = sorted(scope.group("load_balancers"))
    assert {"task": "haproxy : Configure HAProxy", "hosts": hosts} in entry["changed"]
    (second,) = told(scope, [entry, *known])
    assert "arguments" not in second
    again = scope.playbook("site", *HAPROXY)
    assert again.returncode == 0, again.stdout
    assert len(changes(scope)) == len(known) + 2
    monitoring = scope.host(scope.group("monitoring")[0])
    lines = monitoring.check_output("sr_log --since 1h").splitlines()
    (line,) = [line for line in lines if "-e haproxy_ssh_timeout" in line]
    assert f"on {', '.join(hosts)} (haproxy)" in line


@contextmanager
def by_hand(scope: Scope, host: str, do: str, undo: str) -> Iterator[None]:
    """Something that nobody has told the playbooks."""
    scope.host(host).check_output(do)
    try:
        yield
    finally:
        scope.host(host).check_output(undo)


def drift(scope: Scope) -> tuple[int, str]:
    done = scope.playbook("drift", "--check")
    return done.returncode, re.sub(r"\s+", " ", done.stdout)


@pytest.mark.faults
def test_what_was_changed_by_hand_is_listed_and_nothing_once_it_is_put_back(scope: Scope) -> None:
    balancer, node = scope.group("load_balancers")[0], scope.group("sftp_nodes")[-1]
    broker = scope.group("brokers")[0]
    server = f"echo 'set server ssh/{node} state {{}}' | socat /run/haproxy/admin.sock -"
    threshold = "rabbitmqctl -q set_vm_memory_high_watermark {}"
    share = scope.var("rabbitmq_memory_share") or 0.5
    edits = [
        (balancer, server.format("drain"), server.format("ready")),
        (node, "useradd -m eve7", "userdel -r eve7"),
        (node, "nft add rule inet scope input tcp dport 8022 accept", "nft -f /etc/nftables.conf"),
        (node, "ip rule add priority 50 fwmark 7 lookup main", "ip rule del priority 50"),
        (broker, threshold.format(0.3), threshold.format(share)),
        (broker, "rabbitmqctl -q add_user eve7 pw", "rabbitmqctl -q delete_user eve7"),
    ]
    with ExitStack() as stack:
        for host, do, undo in edits:
            stack.enter_context(by_hand(scope, host, do, undo))
        status, said = drift(scope)
    assert status == 2, said
    listed = said.rpartition("HOST WHAT IS SHOULD BE")[2]
    for row in (
        f"{balancer} HAProxy server ssh/{node} drained ready",
        f"{node} user eve7 uid",
        f"{node} nft inet scope: tcp dport 8022 accept there not there",
        f"{node} ip rule 50 fwmark 0x7 table main not there",
        f"{broker} RabbitMQ: memory threshold 0.3",
        f"{broker} broker: users: eve7 there not there",
    ):
        assert row in listed
    status, said = drift(scope)
    assert status == 0, said


@pytest.mark.one_host
def test_status_ends_with_what_is_wrong_and_what_to_do(scope: Scope, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    monitoring = scope.group("monitoring")[0]
    with by_hand(scope, monitoring, "apt-mark hold tzdata", "apt-mark unhold tzdata"):
        done = scope.playbook(
            "status", "-e", f"status_json={file}", "-e", '{"status_limits": {"days": 99999}}'
        )
    assert done.returncode == 2, done.stdout
    state = json.loads(file.read_text())
    whats = [one["what"] for one in state["wrong"]]
    amqps = f"the certificate of amqps ({scope.var('scope_broker_vip')}:"
    assert any(what.startswith(amqps) for what in whats), whats
    assert any("members of RabbitMQ" in what for what in whats), whats
    assert "docs/runbooks/certificate-expires.md" in done.stdout
    assert "tzdata" in state["hosts"][monitoring]["host"]["held"]
    for host in scope.group("scope"):
        clock = state["hosts"][host]["clock"]
        assert clock["high"] - clock["low"] < 10
