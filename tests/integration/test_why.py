"""A file that takes long has progress, and its reports say what limited it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

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
    """Let the broker copy the reports of this user to a stream, as sr_src2log does."""
    site.run("sr_sender", "--declare")
    with site.rabbit.channel() as channel:
        channel.queue_bind(stream, site.exchange, "v03.report.#")


def test_a_file_in_one_piece_has_progress_and_what_limits_it_while_it_is_sent(site: Site) -> None:
    monitor = Monitor(site)
    copying(site, monitor.stream)
    large = make(site, "large", 80 * MIB)
    options = ("--limit", "2Mi", "--block-size", "1", "--connections", "1")
    with site.running("sr_monitor"), site.running("sr_sender", *options) as sender:
        site.run("sr_post", "--block-size", "1", large)
        wait_until(lambda: reports(site, "large") != [])
        told = site.run("sr_status", "large", status=75).stdout
        line = r"large: being sent, \d\d %: \d\d\.\d MiB of 80.0 MiB, \d.\d MiB/s, \d+ s left\n"
        assert re.search(line, told), told
        assert re.search(r"^ +in one piece, by default/\d+ on ", told, re.MULTILINE), told
        assert re.search(r"limited by limit: [12].\d MiB/s in \d+ s: \d+% of the", told), told
        assert "1 connection: option connections" in told
        wait_until(lambda: monitor.metric("sarra_files_now", state="running") == 1)
        sender.terminate()
        sender.wait(20)
    [first, *_] = reports(site, "large")
    assert (first["code"], first["limitedBy"]) == (102, "limit")
    assert 0 < first["bytes"] < 80 * MIB
    assert site.run("sr_log", "large", status=0).stdout == ""


def test_a_host_that_reads_slowly_is_told_by_its_tcp_window(site: Site) -> None:
    """Of paramiko's socket; that of ssh is asked in the other tests."""
    relay = Distance(site.sshd.address, site.sshd.port, 0.0)
    relay.receive_buffer = 128 * 1024
    with relay:
        relay.first_connection_rate = 4 * MIB
        site.lead_to(relay.port)
        make(site, "f", 18 * MIB)
        site.run("sr_post", "--block-size", "1", site.source)
        site.drain("--connections", "1", "--block-size", "1", "--stream", "paramiko")
    [report] = reports(site, "f")
    assert (report["code"], report["limitedBy"]) == (201, "receiver"), report
    assert "the SFTP host had no room for more" in report["why"]


def test_a_server_with_a_slow_disk_is_told_since_tcp_has_nothing_to_send(
    rabbit: Rabbit, tmp_path: Path
) -> None:
    """In blocks, each of which is done before anybody looks: the finish says it of the file."""
    with AsyncSsh(tmp_path / "server", "haste") as server:
        site = Site(rabbit, server, tmp_path / "site")
        monitor = Monitor(site)
        copying(site, monitor.stream)
        make(site, "f", 10 * MIB)
        site.run("sr_post", "--block-size", "3Mi", site.source)
        site.drain("--connections", "1")
    [finish] = [one for one in reports(site, "f") if "block" not in one]
    assert (finish["code"], finish["limitedBy"]) == (201, "server"), finish
    assert [one for one in reports(site, "f") if "why" in one] == [finish]
    with site.running("sr_monitor"):
        wait_until(lambda: monitor.history.exists() and monitor.files() != [])
    [kept] = monitor.files()
    assert (kept["limitedBy"], kept["why"]) == ("server", finish["why"])
    assert kept["connections"] == "1 connection: option connections"
    assert f"; limited by server: {kept['why']}" in site.run("sr_monitor", "--show").stdout
    [line] = site.run("sr_log", "-v", "f").stdout.splitlines()
    assert line.endswith(f"; limited by server: {kept['why']}; {kept['connections']}")
