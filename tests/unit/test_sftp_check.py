"""The program that tells load balancers whether an SFTP node can take users."""

from __future__ import annotations

import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.processes import free_port
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parents[2] / "roles/sftp_server/files/sftp_check.py"
HERE = "127.0.0.1"


class Banner(socketserver.StreamRequestHandler):
    """sshd, as far as a check looks at it."""

    line = b"SSH-2.0-OpenSSH_10.0\r\n"

    def handle(self) -> None:
        self.wfile.write(self.line)


@pytest.fixture
def sshd() -> Iterator[int]:
    with socketserver.ThreadingTCPServer((HERE, 0), Banner) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def check(tmp_path: Path, sshd: int) -> Iterator[int]:
    """The port of a check of this sshd and of the directory ``homes``."""
    (tmp_path / "homes").mkdir()
    port = free_port(HERE)
    words = (HERE, str(port), str(sshd), str(tmp_path / "homes"))
    with subprocess.Popen(
        [sys.executable, "-I", PROGRAM, *words], stdout=subprocess.PIPE, text=True
    ) as program:
        wait_until(lambda: said(port) == "up", 10)
        yield port
        program.terminate()


def said(port: int) -> str:
    try:
        with socket.create_connection((HERE, port), 10) as connection:
            return connection.makefile().readline().strip()
    except ConnectionRefusedError:
        return ""


def test_a_node_is_down_while_its_homes_fail_and_up_again_by_itself(
    check: int, tmp_path: Path
) -> None:
    (tmp_path / "homes").rmdir()
    wait_until(lambda: said(check) == "down", 10)
    (tmp_path / "homes").mkdir()
    wait_until(lambda: said(check) == "up", 10)


def test_a_node_is_down_while_sshd_does_not_greet(
    check: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Banner, "line", b"Exceeded MaxStartups\r\n")
    assert said(check) == "up"
    monkeypatch.setattr(Banner, "line", b"")
    assert said(check) == "down"
