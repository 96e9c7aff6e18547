"""HAProxy runs with what its configuration says, but for what an operator has set."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.lab.haproxy import Haproxy
from tests.lab.plugins import load
from tests.lab.processes import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

program = load("roles/haproxy/files/server_states.py")
CONFIG = """
global
    stats socket {directory}/admin.sock level admin
    server-state-file {directory}/server-state
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    load-server-state-from-file global
peers lbs
    server one 127.0.0.1:{peer} verifyhost one
listen ssh
    bind 127.0.0.1:{front}
    default-server inter 200ms fall 2 rise 2
    server one 127.0.0.1:{one} check
    server two 127.0.0.1:{two} check no-ssl
"""


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        _, port = self.request.getsockname()
        with suppress(OSError):  # a check leaves at once
            self.request.sendall(f"{port}".encode())


@contextmanager
def greeter() -> Iterator[int]:
    """Yield a port that tells its number to whoever connects."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class Balancer(Haproxy):
    """A HAProxy in front of two greeters, ``one`` and ``two``; ``other`` is a third."""

    def __init__(self, directory: Path, *ports: int) -> None:
        """``ports`` are those of the greeters."""
        super().__init__(directory)
        self.one, self.two, self.other = ports
        self._front = free_port()
        self.configure(self.one)

    def configure(self, one: int) -> None:
        fields = {"directory": self.config.parent, "front": self._front, "peer": free_port()}
        self.config.write_text(CONFIG.format(one=one, two=self.two, **fields))

    def reached(self) -> set[int]:
        """Return the ports of the servers to which six clients get."""
        found = set()
        for _ in range(6):
            with socket.create_connection(("127.0.0.1", self._front), 5) as client:
                found.add(int(client.recv(10) or 0))
        return found


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    with greeter() as one, greeter() as two, greeter() as other:
        running = Balancer(tmp_path, one, two, other)
        running.start()
        try:
            yield running
        finally:
            running.stop()


def checked(balancer: Balancer, name: str, status: str) -> None:
    wait_until(lambda: balancer.server(name, "status", "check_status") == [status, "L4OK"], status)


def test_a_changed_port_takes_effect_at_a_reload_and_at_a_restart(balancer: Balancer) -> None:
    checked(balancer, "one", "UP")
    balancer.configure(balancer.other)
    assert balancer.check() == f"ssh/one: srv_port {balancer.one}, not {balancer.other}"
    balancer.reload()
    assert balancer.reached() == {balancer.other, balancer.two}
    assert balancer.check() == ""
    balancer.configure(balancer.one)
    balancer.stop()
    balancer.start()
    assert balancer.reached() == {balancer.one, balancer.two}


def test_a_drained_server_stays_drained_over_reload_restart_and_crash(balancer: Balancer) -> None:
    balancer.ask("set server ssh/one state drain")
    assert balancer.save() == 0
    for again in (balancer.reload, balancer.stop, balancer.crash, balancer.crash):
        again()
        if again != balancer.reload:
            balancer.start()
        assert balancer.reached() == {balancer.two}, again
        checked(balancer, "one", "DRAIN")
    balancer.configure(balancer.other)
    balancer.reload()
    assert balancer.check() == ""
    checked(balancer, "one", "DRAIN")
    balancer.ask("set server ssh/one state ready")
    assert balancer.save() == 0
    balancer.crash()
    balancer.start()
    assert balancer.reached() == {balancer.other, balancer.two}


def test_a_port_that_was_set_at_run_time_is_told_and_goes_with_a_reload(
    balancer: Balancer,
) -> None:
    balancer.ask(f"set server ssh/two addr 127.0.0.1 port {balancer.other}")
    assert balancer.check() == f"ssh/two: srv_port {balancer.other}, not {balancer.two}"
    balancer.reload()
    assert balancer.reached() == {balancer.one, balancer.two}


def test_a_reload_keeps_what_checks_have_found_and_a_start_does_not(balancer: Balancer) -> None:
    states = program.read_states(balancer.ask("show servers state"))
    wanted = program.read_configuration(balancer.config.read_text())
    states["ssh", "one"]["srv_op_state"] = "0"
    assert program.in_line(states, wanted, checked=True)["ssh", "one"]["srv_op_state"] == "0"
    assert program.in_line(states, wanted, checked=False) == {}
    wanted["ssh", "one"]["srv_port"] = "1"
    assert program.in_line(states, wanted, checked=True).keys() == {("ssh", "two")}


def test_a_server_that_the_configuration_has_no_more_is_forgotten(balancer: Balancer) -> None:
    balancer.ask("set server ssh/one state maint")
    states = program.read_states(balancer.ask("show servers state"))
    wanted = program.read_configuration(balancer.config.read_text())
    assert program.in_line(states, wanted, checked=False).keys() == {("ssh", "one")}
    del wanted["ssh", "one"]
    assert program.in_line(states, wanted, checked=False) == {}


def test_options_of_servers_are_read() -> None:
    text = (
        "defaults\n default-server port 7\n"
        "peers lbs\n server a :1024\n"
        "listen web\n default-server ssl ca-file /x\n"
        " server a 192.0.2.1:1 check addr 192.0.2.9\n server b [2001:db8::1]:2 no-ssl port 8\n"
        " server c name.example:3\n"
    )
    assert {
        name: list(fields.values())
        for (_, name), fields in program.read_configuration(text).items()
    } == {
        "a": ["192.0.2.1", "1", "1", "7", "192.0.2.9"],
        "b": ["2001:db8::1", "2", "0", "8", "-"],
        "c": ["-", "3", "1", "7", "-"],  # HAProxy has an address for the name
    }
