"""A switchover ends with all brokers ready to take clients, however it ends."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import yaml

from tests.lab.haproxy import Haproxy
from tests.lab.plugins import ROOT
from tests.lab.processes import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
global
    stats socket {directory}/admin.sock level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen amqps
    bind 127.0.0.1:{front}
    stick-table type integer size 1k
    stick on int(1)
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two} backup
"""


class Balancer(Haproxy):
    """A HAProxy in front of two brokers, which let clients connect."""

    def __init__(self, directory: Path, one: int, two: int) -> None:
        """``one`` and ``two`` are the brokers' ports."""
        super().__init__(directory)
        self._front = free_port()
        self.config.write_text(
            CONFIG.format(directory=directory, front=self._front, one=one, two=two)
        )

    def connect(self) -> None:
        with socket.create_connection(("127.0.0.1", self._front), 5):
            wait_until(lambda: self.at() != "", "the client is at a broker")

    def at(self) -> str:
        """Return the broker that the clients use."""
        return self.ask("show table amqps").partition("server_key=")[2].split(" ")[0].strip()

    def statuses(self) -> list[str]:
        return [self.server(name, "status")[0] for name in ("one", "two")]

    def move(self, to: str) -> subprocess.Popen[str]:
        """Begin what the playbook runs on a load balancer."""
        environment = jinja2.Environment(autoescape=False)  # noqa: S701  a shell's script
        environment.filters["difference"] = lambda these, others: sorted({*these} - {*others})
        script = environment.from_string(playbook_script())
        command = script.render(clients_to=to, groups={"brokers": ["one", "two"]})
        bash = ["/bin/bash", "-c", self.here(command)]
        return subprocess.Popen(bash, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def playbook_script() -> str:
    path = ROOT / "playbooks/tasks/clients_to.yml"
    tasks: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    (block,) = (task for task in tasks if "block" in task)
    return str(block["block"][0]["ansible.builtin.shell"]["cmd"])


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    anywhere = ("127.0.0.1", 0)
    with socket.create_server(anywhere) as one, socket.create_server(anywhere) as two:
        running = Balancer(tmp_path, one.getsockname()[1], two.getsockname()[1])
        running.start()
        running.connect()
        assert running.at() == "one"
        yield running
        running.stop()


def test_clients_move_and_a_second_run_changes_nothing(balancer: Balancer) -> None:
    moving = balancer.move("two")
    wait_until(lambda: balancer.statuses()[0] == "MAINT", "the old broker takes no client")
    wait_until(lambda: balancer.at() == "", "the table is empty")
    balancer.connect()
    said, _ = moving.communicate(timeout=30)
    assert moving.returncode == 0
    assert "moved" in said
    assert balancer.at() == "two"
    assert "MAINT" not in balancer.statuses()
    again = balancer.move("two")
    said, _ = again.communicate(timeout=30)
    assert again.returncode == 0
    assert "moved" not in said


def test_a_switchover_that_is_interrupted_leaves_no_broker_in_maintenance(
    balancer: Balancer,
) -> None:
    moving = balancer.move("two")
    wait_until(lambda: balancer.statuses()[0] == "MAINT", "the old broker takes no client")
    moving.terminate()
    moving.communicate(timeout=30)
    assert moving.returncode != 0
    assert "MAINT" not in balancer.statuses()


def test_a_haproxy_that_does_not_answer_is_a_failure(balancer: Balancer) -> None:
    balancer.crash()
    moving = balancer.move("two")
    moving.communicate(timeout=30)
    assert moving.returncode != 0
    balancer.start()
