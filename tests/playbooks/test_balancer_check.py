"""keepalived asks whether this load balancer can serve users, from where it stands."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.haproxy import Haproxy
from tests.lab.plugins import ROOT
from tests.lab.processes import Process, find_program, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPT = ROOT / "roles/keepalived/files/balancer_sees_servers.sh"
CONFIG = """
global
    stats socket {directory}/admin.sock level admin
    stats socket {directory}/stats.sock mode 666 level user
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen ssh
    bind 127.0.0.1:{front}
    default-server inter 200ms fall 100 rise 2
    server one 127.0.0.1:{one} check
listen amqps
    bind 127.0.0.1:{other_front}
    default-server inter 200ms fall 100 rise 2
    server two 127.0.0.1:{gone} check
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[Process]:
    """The only server that answers."""
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
    running = Process([find_program("socat"), listen, "OPEN:/dev/null"], tmp_path / "server.log")
    yield running
    running.stop()


@pytest.fixture
def balancer(tmp_path: Path, port: int, server: Process) -> Iterator[Haproxy]:
    running = Haproxy(tmp_path)
    ports = {"one": port, "front": free_port(), "other_front": free_port(), "gone": free_port()}
    running.config.write_text(CONFIG.format(directory=tmp_path, **ports))
    assert server.running()
    running.start()
    wait_until(lambda: running.server("one", "check_status") == ["L4OK"], "a check succeeds")
    wait_until(lambda: running.server("two", "check_status") == ["L4CON"], "a check fails")
    yield running
    running.stop()


def sees_servers(balancer: Haproxy) -> bool:
    command = ["sh", str(SCRIPT), str(balancer.config.with_name("stats.sock"))]
    return subprocess.run(command, check=False, timeout=4).returncode == 0


def probe(balancer: Haproxy) -> int:
    """Run what a playbook runs after it has changed a load balancer."""
    tasks = yaml.safe_load((ROOT / "roles/haproxy/tasks/probe.yml").read_text())
    command = tasks[0]["ansible.builtin.shell"]["cmd"]
    return subprocess.run(["/bin/bash", "-c", balancer.here(command)], check=False).returncode


def test_a_changed_balancer_must_see_servers_of_both_kinds_by_checks_since(
    balancer: Haproxy, server: Process
) -> None:
    assert probe(balancer) != 0  # no broker answers
    text = balancer.config.read_text()
    one, gone = re.findall(r"server \w+ 127.0.0.1:(\d+)", text)
    balancer.config.write_text(text.replace(gone, one))
    balancer.reload()
    wait_until(lambda: balancer.server("two", "check_status") == ["L4OK"], "a check succeeds")
    assert probe(balancer) != 0  # too early to tell
    wait_until(lambda: probe(balancer) == 0, "five seconds later", 15)
    server.stop()
    wait_until(lambda: balancer.server("two", "check_status") == ["L4CON"], "a check fails")
    wait_until(lambda: probe(balancer) != 0, "a check of the other fails, too")


def test_one_server_that_is_up_is_enough(balancer: Haproxy) -> None:
    assert sees_servers(balancer)
    balancer.reload()
    assert sees_servers(balancer)


def test_a_drained_server_counts_and_one_in_maintenance_does_not(balancer: Haproxy) -> None:
    balancer.ask("set server ssh/one state drain")
    assert sees_servers(balancer)
    balancer.ask("set server ssh/one state maint")
    assert not sees_servers(balancer)


def test_servers_that_all_failed_their_last_check_are_not_waited_for(
    balancer: Haproxy, server: Process
) -> None:
    server.stop()
    wait_until(lambda: balancer.server("one", "check_status") == ["L4CON"], "a check fails")
    assert balancer.server("one", "status")[0].startswith("UP ")
    assert not sees_servers(balancer)


def test_a_haproxy_that_hangs_or_is_gone_sees_nothing(balancer: Haproxy) -> None:
    balancer.freeze()
    assert not sees_servers(balancer)
    balancer.thaw()
    assert sees_servers(balancer)
    balancer.crash()
    assert not sees_servers(balancer)
    balancer.start()
    assert sees_servers(balancer)


def test_who_may_only_look_can_change_nothing(balancer: Haproxy) -> None:
    balancer.socket = balancer.config.with_name("stats.sock")
    assert "Permission denied" in balancer.ask("set server ssh/one state maint")
