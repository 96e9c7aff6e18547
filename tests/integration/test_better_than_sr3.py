"""Regression tests for faults observed in sr3 3.3.1; the docstrings say what sr3 does."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from functools import partial

import pytest

from tests.lab.disks import grow, small_disk
from tests.lab.site import Site, wait_until

MIB = 1024 * 1024


@pytest.mark.parametrize("paramiko", [False, True], ids=["ssh", "paramiko"])
def test_a_full_disk_never_yields_a_201(site: Site, *, paramiko: bool) -> None:
    """sr3 logs "sent ok" and reports 201, and the end of the file is zeros."""
    sizes = [1, 1000, MIB, 2 * MIB - 1, 2 * MIB + 1, 3 * MIB, 5 * MIB, 15 * MIB]
    for size in sizes:
        (site.source / f"{size}").write_bytes(os.urandom(size))
    with small_disk(site.dest, 2 * MIB):
        site.run("sr_post", *(site.source / f"{size}" for size in sizes))
        options = ["--stream", "paramiko"] if paramiko else []
        done = site.drain(*options, status=75)
        arrived = {name for name, codes in site.codes().items() if codes == [201]}
        assert arrived
        for name in arrived:
            assert (site.dest / name).read_bytes() == (site.source / name).read_bytes()
        for size in sizes:
            if str(size) not in arrived:
                assert not (site.dest / f"{size}").exists()
        assert site.leftovers() == []
    retried = {r["relPath"]: r for r in site.reports() if r["code"] == 507}
    # What arrived may have found the disk full, too, before others gave up.
    assert set(retried) >= {f"{size}" for size in sizes} - arrived
    assert all(r["willRetry"] > 0 for r in retried.values())
    assert "no space left" in done.stderr


def test_a_file_for_a_full_disk_is_retried_and_arrives_when_there_is_space(site: Site) -> None:
    (site.source / "f").write_bytes(os.urandom(3 * MIB))
    with small_disk(site.dest, 2 * MIB):
        site.run("sr_post", site.source / "f")
        site.drain(status=75)
    site.drain()
    assert (site.dest / "f").read_bytes() == (site.source / "f").read_bytes()


def test_blocks_for_a_full_disk_are_sent_when_there_is_space(site: Site) -> None:
    """The finish waits for the blocks, which wait for space; the drain must end nevertheless."""
    (site.source / "f").write_bytes(os.urandom(5 * MIB))
    with small_disk(site.dest, 2 * MIB):
        site.run("sr_post", "--block-size", "1M", site.source / "f")
        site.drain(status=75)
        assert not (site.dest / "f").exists()
        grow(site.dest, 20 * MIB)
        site.drain()
        assert (site.dest / "f").read_bytes() == (site.source / "f").read_bytes()


def test_blocks_of_a_file_that_does_not_fit_are_removed(site: Site) -> None:
    (site.source / "f").write_bytes(os.urandom(5 * MIB))
    with small_disk(site.dest, 2 * MIB):
        site.run("sr_post", "--block-size", "1M", site.source / "f")
        site.drain("--retry-ttl", "0s", status=1)
        assert list(site.dest.iterdir()) == []
    final = [r["code"] for r in site.reports() if "block" not in r and "willRetry" not in r]
    assert len(final) == 1
    assert final[0] in (499, 504)


@pytest.mark.parametrize("stop_method", ["kill", "terminate"])
def test_a_sender_stopped_while_the_destination_hangs_loses_no_file(
    site: Site, stop_method: str
) -> None:
    """sr3 loses 5 of 5 files, by kill -9 and by an ordinary stop, which takes it 31 s."""
    for number in range(5):
        (site.source / f"f{number}").write_bytes(os.urandom(MIB))
    with site.running("sr_sender") as sender:
        sender.wait_for("", 1)
        site.run("sr_post", "--wait", site.source / "f0")
        site.sshd.freeze()
        try:
            site.run("sr_post", site.source)
            wait_until(lambda: site.queued() == 0)
            start = time.monotonic()
            getattr(sender, stop_method)()
            sender.wait(10)
            assert time.monotonic() - start < 5
        finally:
            site.sshd.thaw()
    site.drain()
    for number in range(5):
        assert (site.dest / f"f{number}").read_bytes() == (site.source / f"f{number}").read_bytes()
    assert site.leftovers() == []


def test_a_file_is_never_missing_while_it_is_overwritten(site: Site) -> None:
    """With sr3 the name was missing in 150 of 300 replacements."""
    file = site.source / "f"
    file.write_text("0")
    missing = 0
    checks = 0
    done = threading.Event()

    def check_name() -> None:
        nonlocal missing, checks
        while not done.is_set():
            checks += 1
            missing += not (site.dest / "f").exists()

    with site.running("sr_sender"):
        site.run("sr_post", "--wait", file)
        checker = threading.Thread(target=check_name)
        checker.start()
        for number in range(300):
            # Each version has its own name, so that none is overwritten before it is sent.
            version = site.source / f"v{number}"
            version.write_text(f"{number}")
        try:
            site.run("sr_post", "--wait", site.source)
        finally:
            done.set()
            checker.join()
    assert checks > 300
    assert missing == 0


def test_no_file_outside_the_base_directories_is_read_or_written(site: Site) -> None:
    """sr3 follows ``..`` out of the base directory of the source and of the destination."""
    (site.directory / "secret").write_text("secret")
    bodies = [
        '{"pubTime":"20260101T000000","baseUrl":"file:%s","relPath":"../secret","size":6}',
        '{"pubTime":"20260101T000001","baseUrl":"file:%s","relPath":"a/../../secret","size":6}',
        '{"pubTime":"20260101T000002","baseUrl":"file:%s","relPath":"//etc/passwd","size":6}',
        '{"pubTime":"20260101T000003","baseUrl":"file:%s","relPath":"x","fileOp":{"rename":"/../s"}}',
    ]
    site.run("sr_sender", "--declare")
    with site.rabbit.channel(site.user, site.password) as channel:
        for body in bodies:
            channel.basic_publish(site.exchange, "v03.post", (body % site.source).encode())
    site.drain(status=1)
    assert list(site.dest.iterdir()) == []
    assert {r["code"] for r in site.reports()} == {417}
    assert len(site.reports()) == len(bodies)


@pytest.mark.parametrize("program", ["sr_sender", "sr_post"])
def test_the_list_of_processes_contains_no_password(site: Site, program: str) -> None:
    arguments = ["--watch", site.source] if program == "sr_post" else []
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    with site.running(program, *arguments) as process:
        if program == "sr_sender":
            wait_until((site.dest / "f").exists)
        else:
            ledgers = partial((site.directory / "state").rglob, "*.ledger")
            wait_until(lambda: list(ledgers()))
        listed = subprocess.run(
            ["ps", "-eww", "-o", "args,environ"], capture_output=True, check=False
        )
        listed_plain = subprocess.run(["ps", "eww", "-A"], capture_output=True, check=True)
        assert site.password.encode() not in listed.stdout + listed_plain.stdout
        assert process.poll() is None


def test_sr_post_fails_when_the_broker_is_down(site: Site) -> None:
    (site.source / "f").write_text("x")
    port = site.rabbit.port
    for file in (site.config / "post" / "default.toml", site.credentials):
        file.write_text(file.read_text().replace(f":{port}/", ":1/"))
    done = site.run("sr_post", site.source / "f", status=69)
    assert "refused" in done.stderr.lower()


def test_sr_post_warns_when_no_queue_receives_the_announcement(site: Site) -> None:
    site.configure("post")
    file = site.config / "post" / "default.toml"
    file.write_text(
        "\n".join(line for line in file.read_text().splitlines() if "queueName" not in line)
    )
    (site.source / "f").write_text("x")
    done = site.run("sr_post", site.source / "f")
    assert "1 of 1 announcements reached no queue" in done.stderr
    site.run("sr_post", "--wait", site.source / "f", status=1)


def test_announcements_of_a_large_tree_begin_long_before_all_of_it_is_listed(site: Site) -> None:
    """sr3 lists and hashes the whole tree first, which takes 47 s."""
    for directory in range(50):
        (site.source / f"{directory}").mkdir()
        for number in range(1000):
            (site.source / f"{directory}" / f"{number}").touch()
    site.run("sr_sender", "--declare")
    with site.running("sr_post", site.source, "--identity", "none") as post:
        wait_until(lambda: site.queued() > 0)
        assert site.queued() < 25_000
        post.wait(100)
    assert post.returncode == 0
    assert site.queued() == 50_050
    with site.rabbit.channel() as channel:
        channel.queue_purge(site.queue)
