"""A file that takes long has progress, and its reports say what limited it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.asyncssh_server import AsyncSsh
from tests.lab.distance import Distance
from tests.lab.monitor import Monitor
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit

MIB = 1024 * 1024


def make(site: Site, name: str, size: int) -> Path:
    file: Path = site.source / name
    file.write_bytes(os.urandom(size))
    return file


def reports(site: Site, *flags: str) -> list[dict[str, Any]]:
    found = site.reports(blocks=True)
    return [one for one in found if one["relPath"] in flags]


def copying(site: Site, stream: str) -> None:
    """Let the broker copy the reports of this user to a stream."""
    with site.rabbit.channel() as channel:
        channel.queue_bind(stream, site.exchange, "v03.report.#")


def test_a_file_in_one_piece_has_progress_and_its_reason_everywhere(site: Site) -> None:
    """The limit of the sender makes it slow; it is in one piece, so nothing else tells of it."""
    monitor = Monitor(site)
    large = make(site, "large", 24 * MIB)
    options = ("--limit", "2Mi", "--block-size", "1", "--connections", "1")
    with site.running("sr_monitor"), site.running("sr_sender", *options):
        wait_until(lambda: monitor.metrics() != {})
        copying(site, monitor.stream)
        site.run("sr_post", "--block-size", "1", large, make(site, "small", 1000))
        wait_until(lambda: reports(site, "large") != [])
        told = site.run("sr_status", "large", status=75).stdout
        line = r"large: being sent, \d\d %: 2?\d\.\d MiB of 24.0 MiB, \d.\d MiB/s, \d+ s left\n"
        assert re.search(line, told), told
        assert re.search(r"^ +in one piece, by default/\d+ on ", told, re.MULTILINE), told
        assert re.search(r"limited by limit: 2.\d MiB/s in \d+ s: \d+% of the time", told), told
        assert "1 connections: option connections" in told
        wait_until(lambda: monitor.metric("sarra_files_now", state="running") == 1)
        wait_until(lambda: 201 in [one["code"] for one in reports(site, "large")])
        wait_until(lambda: len(monitor.files()) == 2)
    first, last = reports(site, "large")
    assert (first["code"], first["limitedBy"]) == (102, "limit")
    assert 16 * MIB < first["bytes"] < 24 * MIB
    assert (last["code"], last["limitedBy"]) == (201, "limit")
    assert [one.get("why") for one in reports(site, "small")] == [None]
    [kept] = monitor.files("--path", "large")
    assert (kept["limitedBy"], kept["why"]) == ("limit", last["why"])
    shown = site.run("sr_monitor", "--show", "--path", "large").stdout
    assert f"; limited by limit: {last['why']}" in shown
    lines = site.run("sr_log", "-v", "large").stdout.splitlines()
    assert [line.partition("; limited")[2][:9] for line in lines] == [" by limit"]


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_a_host_that_reads_slowly_is_told_by_its_tcp_window(site: Site, stream: str) -> None:
    with Distance(site.sshd.address, site.sshd.port, 0.0) as relay:
        relay.first_connection_rate = 4 * MIB
        lead_to(site, relay.port)
        make(site, "f", 20 * MIB)
        site.run("sr_post", "--block-size", "1", site.source)
        site.drain("--connections", "1", "--block-size", "1", "--stream", stream)
    [report] = reports(site, "f")
    assert (report["code"], report["limitedBy"]) == (201, "receiver"), report
    assert "the SFTP host had no room for more" in report["why"]


def lead_to(site: Site, port: int) -> None:
    """Let the site's configuration use a relay to its server."""
    url = f"sftp://{site.sshd.user}@127.0.0.1:{port}/"
    file = site.config / "sender" / "default.toml"
    file.write_text(file.read_text().replace(site.sshd.url, url))
    site.credentials.write_text(site.credentials.read_text().replace(site.sshd.url, url))
    key = site.sshd.host_key_line.partition(" ")[2]
    site.known_hosts.write_text(f"[127.0.0.1]:{port} {key}\n")


def test_a_server_with_a_slow_disk_is_told_since_tcp_has_nothing_to_send(
    rabbit: Rabbit, tmp_path: Path
) -> None:
    """In blocks, each of which is done before anybody looks: the finish says it of the file."""
    with AsyncSsh(tmp_path / "server", "haste") as server:
        site = Site(rabbit, server, tmp_path / "site")
        make(site, "f", 36 * MIB)
        site.run("sr_post", "--block-size", "3Mi", site.source)
        site.drain("--connections", "1")
    [finish] = [one for one in reports(site, "f") if "block" not in one]
    assert (finish["code"], finish["limitedBy"]) == (201, "server"), finish
    assert [one for one in reports(site, "f") if "why" in one] == [finish]
