"""The programs as systemd services: sd_notify, watchdog, journal, credentials and signals."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.demo_checks import queue_state
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen on a socket in place of systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        listener.settimeout(20)
        yield listener


def _states(notified: socket.socket, until: str) -> list[str]:
    """Return the states sent to systemd, up to the datagram that contains ``until``."""
    states: list[str] = []
    while until not in states:
        states += notified.recv(4096).decode().splitlines()
    return states


@pytest.mark.parametrize("program", ["sr_sender", "sr_post"])
def test_systemd_is_notified_of_ready_watchdog_and_stopping(
    site: Site, notified: socket.socket, program: str
) -> None:
    arguments = ["--watch", site.source] if program == "sr_post" else []
    with site.running(
        program, *arguments, env={"NOTIFY_SOCKET": notified.getsockname()}
    ) as process:
        _states(notified, "READY=1")
        _states(notified, "WATCHDOG=1")
        process.terminate()
        assert "STOPPING=1" in _states(notified, "STOPPING=1")
        assert process.wait(5) == 0


def test_the_watchdog_is_notified_while_the_broker_is_down(
    site: Site, notified: socket.socket
) -> None:
    file = site.config / "sender" / "default.toml"
    for path in (file, site.credentials):
        path.write_text(path.read_text().replace(f":{site.rabbit.port}/", ":1/"))
    with site.running("sr_sender", env={"NOTIFY_SOCKET": notified.getsockname()}):
        assert "STATUS=the broker is away" in _states(notified, "WATCHDOG=1")


def test_lines_for_the_journal_have_priorities(site: Site) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    (site.source / "f").unlink()
    with site.running("sr_sender", env={"JOURNAL_STREAM": "8:1"}) as sender:
        sender.wait_for("<4>f: gone at the source (410)")


def test_credentials_are_read_from_systemds_credentials_directory(
    site: Site, tmp_path: Path
) -> None:
    directory = tmp_path / "given"
    directory.mkdir()
    site.credentials.rename(directory / "credentials.conf")
    (directory / "credentials.conf").chmod(0o440)
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f", status=78)
    site.env["CREDENTIALS_DIRECTORY"] = str(directory)
    site.run("sr_post", site.source / "f")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_exit_status_of_a_stopped_sender_tells_whether_work_is_left(
    site: Site, number: int
) -> None:
    (site.source / "f").write_text("x")
    with site.running("sr_sender") as sender:
        site.run("sr_post", "--wait", site.source / "f")
        sender.send_signal(number)
        assert sender.wait(10) == 0, sender.said()
    site.sshd.freeze()
    try:
        with site.running("sr_sender") as sender:
            site.run("sr_post", site.source / "f")
            wait_until(lambda: site.queued() == 0)
            sender.send_signal(number)
            assert sender.wait(10) == 75, sender.said()
            assert "announcements are left in the queue" in sender.said()
    finally:
        site.sshd.thaw()


def test_the_second_signal_ends_the_sender_at_once(site: Site) -> None:
    (site.source / "f").write_bytes(os.urandom(1_000_000))
    with site.running("sr_sender") as sender:
        wait_until(lambda: queue_state(site.rabbit, site.queue).consumers > 0)
        site.run("sr_post", "--wait", site.source / "f")
        site.sshd.freeze()
        try:
            (site.source / "g").write_bytes(os.urandom(1_000_000))
            site.run("sr_post", site.source / "g")
            wait_until(lambda: site.queued() == 0)
            sender.terminate()
            time.sleep(0.3)
            sender.terminate()
            assert sender.wait(1) == 128 + 15
        finally:
            site.sshd.thaw()
