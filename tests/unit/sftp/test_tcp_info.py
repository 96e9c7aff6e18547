"""What the kernel counts of a connection, of this process's socket and of another process's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.sftp import tcp_info
from sarra_lite.sftp.tcp_info import ProcessSocket, TcpInfo
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEND = "import socket, sys; s = socket.create_connection(('{0}', {1})); s.sendall(bytes(10**8))"
IN_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {0!r}])"


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as made:
        yield made


def waits_for_receiver(info: Callable[[], TcpInfo | None]) -> None:
    """Wait until the kernel counts that the receiver takes no more."""
    wait_until(lambda: (found := info()) is not None and found.receiver > 0.3)
    found = info()
    assert found is not None
    assert found.busy >= found.receiver > found.buffer
    assert found.sent >= found.acknowledged > 0
    assert found.unsent > 0
    assert 0 < found.round_trip < 5


def test_a_receiver_that_reads_nothing_is_counted_of_an_own_socket(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as sender, listener.accept()[0]:
        sender.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                sender.send(bytes(100_000))
        waits_for_receiver(lambda: tcp_info.of_socket(sender))


@pytest.mark.parametrize("through", [False, True])
def test_the_same_of_a_process_and_of_one_that_it_has_started(
    listener: socket.socket,
    through: bool,  # noqa: FBT001
) -> None:
    code = SEND.format(*listener.getsockname())
    code = IN_CHILD.format(code) if through else code
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        with listener.accept()[0]:
            waits_for_receiver(ProcessSocket(process.pid).info)
        process.wait(10)  # its connection was closed


def test_a_process_without_a_connection_has_no_figures() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        asked = ProcessSocket(process.pid)
        assert asked.info() is None
        process.kill()
        process.wait()
        assert asked.info() is None


def test_a_connection_that_has_ended_has_no_figures_and_the_next_one_has(
    listener: socket.socket,
) -> None:
    asked = ProcessSocket(os.getpid())
    with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0]:
        assert asked.info() is not None
    assert asked.info() is None
    with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0]:
        assert asked.info() is not None


def test_a_sample_costs_less_than_a_millisecond(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0]:
        asked = ProcessSocket(os.getpid())
        asked.info()
        begun = time.process_time()
        for _ in range(100):
            assert asked.info() is not None
        assert time.process_time() - begun < 0.1


@given(st.binary(max_size=300))
def test_whatever_a_kernel_gives_is_figures_or_nothing(data: bytes) -> None:
    found = tcp_info.parse(data)
    assert (found is None) is (len(data) < 232)
