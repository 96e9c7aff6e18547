"""After any kill or lost connection, all files arrive, no leftovers remain, one 201 for each."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.demo_checks import queue_state
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site, wait_until
from tests.lab.trees import same, write_tree

if TYPE_CHECKING:
    from tests.lab.sshd import Sshd

MB = 1_000_000
ROOT = Path(__file__).parents[2]


def _assert_each_arrived_once(site: Site) -> None:
    assert same(site.source, site.dest)
    assert site.leftovers() == []
    assert site.queued() == 0
    assert {name: codes for name, codes in site.codes().items() if codes != [201]} == {}


def _wait_for_bytes(site: Site) -> None:
    """Wait until the staging file at the destination is not empty."""
    wait_until(lambda: any(path.stat().st_size for path in site.dest.glob(".big.*.inflight")))


@pytest.mark.parametrize("stop_method", ["kill", "terminate"])
@pytest.mark.parametrize("block_size", ["1", "10M"], ids=["whole", "blocks"])
def test_a_sender_is_killed_while_it_sends_a_file(
    site: Site, stop_method: str, block_size: str
) -> None:
    (site.source / "big").write_bytes(os.urandom(300 * MB))
    site.run("sr_post", "--block-size", block_size, site.source / "big")
    options = ["--block-size", block_size]
    for _ in range(2):
        with site.running("sr_sender", *options) as sender:
            _wait_for_bytes(site)
            time.sleep(0.1)
            getattr(sender, stop_method)()
            sender.wait(10)
    site.drain(*options)
    _assert_each_arrived_once(site)


def written(site: Site) -> int:
    """Return how many blocks are marked as written."""
    return sum(path.name.isdecimal() for path in site.dest.glob(".*.blocks/*"))


def test_written_blocks_are_not_sent_again(site: Site) -> None:
    (site.source / "big").write_bytes(os.urandom(300 * MB))
    site.run("sr_post", "--block-size", "10M", site.source / "big")
    with site.running("sr_sender") as sender:
        wait_until(lambda: written(site) > 5)
        sender.kill()
    before = written(site)
    site.drain()
    sent = [r for r in site.reports(blocks=True) if r.get("bytes") and "block" in r]
    assert before > 5
    assert len(sent) <= 30 + 2  # each connection may have written a block without its marker
    _assert_each_arrived_once(site)


def _progress(site: Site) -> int:
    """Return how many bytes of blocks of 4 MiB are recorded as written at the destination."""
    blocks: dict[str, int] = {}
    for path in site.dest.glob(".*.blocks/*"):
        number, *rest = path.name.split(".")
        count = int(rest[0]) if rest[1:] else 4 << 20
        blocks[number] = max(count, blocks.get(number, 0))
    return sum(blocks.values())


@pytest.mark.parametrize("stop_method", ["kill", "terminate"])
def test_a_sender_that_is_ended_in_each_block_goes_on_where_it_was(
    site: Site, stop_method: str
) -> None:
    """Were each block begun again, a sender that is ended often enough would never be done."""
    (site.source / "big").write_bytes(os.urandom(40 << 20))
    site.run("sr_post", "--block-size", "4Mi", site.source / "big")
    before = 0
    for _ in range(3):
        with site.running("sr_sender", "--limit", "2Mi", "--connections", "2") as sender:
            wait_until(lambda before=before: _progress(site) > before, tell=sender.said)  # type: ignore[misc]
            seen = _progress(site)
            getattr(sender, stop_method)()
            sender.wait(10)
        assert _progress(site) >= seen
        before = _progress(site)
    site.drain()
    _assert_each_arrived_once(site)


@pytest.mark.parametrize("step", range(1, 40))
def test_a_sender_is_killed_at_each_sftp_request(site: Site, step: int) -> None:
    _post_small_tree(site)
    _run_and_kill(site, "sftp", step, "sr_sender", "--drain", "--connections", "1")
    site.drain()
    _assert_each_arrived_once(site)


@pytest.mark.parametrize("step", range(1, 40))
def test_a_sender_is_killed_at_each_request_to_the_broker(site: Site, step: int) -> None:
    _post_small_tree(site)
    _run_and_kill(site, "broker", step, "sr_sender", "--drain", "--connections", "1")
    site.drain()
    _assert_each_arrived_once(site)


@pytest.mark.parametrize("step", range(1, 20))
def test_sr_post_is_killed_at_each_request_to_the_broker(site: Site, step: int) -> None:
    write_tree(site.source)
    _run_and_kill(site, "broker", step, "sr_post", site.source)
    site.run("sr_post", site.source)
    site.drain()
    assert same(site.source, site.dest)
    assert site.leftovers() == []


def test_senders_are_killed_repeatedly_at_random_times(site: Site) -> None:
    write_tree(site.source)
    (site.source / "big").write_bytes(os.urandom(100 * MB))
    site.run("sr_post", "--block-size", "2M", site.source)
    rng = random.Random(4)
    for _ in range(12):
        with (
            site.running("sr_sender", "--connections", "1"),
            site.running("sr_sender", "--connections", "2"),
        ):
            time.sleep(0.6 + rng.random())
    site.drain()
    _assert_each_arrived_once(site)


def test_the_broker_closes_all_connections(site: Site) -> None:
    (site.source / "big").write_bytes(os.urandom(300 * MB))
    write_tree(site.source)
    site.run("sr_sender", "--declare")
    with (
        site.running("sr_sender"),
        site.running("sr_post", "--wait", "--block-size", "10M", site.source) as post,
    ):
        for _ in range(3):
            time.sleep(0.7)
            site.rabbit.close_all_connections()
        assert post.wait(60) == 0, post.said()
        # The sender may still look for reports on what was redelivered.
        wait_until(lambda: site.rabbit.queues()[site.queue] == 0, tell=post.said)
    _assert_each_arrived_once(site)


def test_a_sender_that_lost_its_broker_knows_when_it_is_stopped_that_work_is_left(
    sshd: Sshd, tmp_path: Path
) -> None:
    with Rabbit(tmp_path / "rabbit") as rabbit:
        site = Site(rabbit, sshd, tmp_path / "site")
        (site.source / "f").write_text("x")
        with site.running("sr_sender") as sender:
            wait_until(lambda: site.queue in rabbit.queues())
            sshd.freeze()
            try:
                site.run("sr_post", site.source / "f")
                wait_until(lambda: site.queued() == 0)
                rabbit.kill()
                sender.wait_for("trying again")
                sender.terminate()
                assert sender.wait(10) == 75, sender.said()
            finally:
                sshd.thaw()


@pytest.mark.parametrize("stop_method", ["stop", "kill"])
def test_the_broker_is_restarted(sshd: Sshd, tmp_path: Path, stop_method: str) -> None:
    with Rabbit(tmp_path / "rabbit") as rabbit:
        site = Site(rabbit, sshd, tmp_path / "site")
        (site.source / "big").write_bytes(os.urandom(200 * MB))
        write_tree(site.source)
        site.run("sr_sender", "--declare")
        # Else RabbitMQ 3.10, killed within seconds of its creation, does not recover the stream.
        rabbit.save_tables()
        with (
            site.running("sr_sender") as sender,
            site.running("sr_post", "--wait", "--block-size", "10M", site.source) as post,
        ):
            wait_until(lambda: any(site.dest.iterdir()))
            getattr(rabbit, stop_method)()
            time.sleep(2)
            rabbit.start()
            assert post.wait(90) == 0, post.said() + sender.said()
            wait_until(lambda: rabbit.queues()[site.queue] == 0, tell=sender.said)
        _assert_each_arrived_once(site)


@pytest.mark.parametrize(
    "seconds", [10, pytest.param(120, marks=[pytest.mark.faults, pytest.mark.timeout(400)])]
)
def test_the_sftp_server_is_down_for_some_time(site: Site, seconds: int) -> None:
    (site.source / "big").write_bytes(os.urandom(200 * MB))
    write_tree(site.source)
    site.run("sr_post", "--block-size", "10M", site.source)
    with site.running("sr_sender") as sender:
        _wait_for_bytes(site)
        site.sshd.stop()
        time.sleep(1)
        before = sender.cpu_seconds()
        time.sleep(seconds - 1)
        assert sender.cpu_seconds() - before < 0.02 * seconds + 0.2  # no busy loop
        site.sshd.start()
        wait_until((site.dest / "big").exists, 90, sender.said)
        wait_until(lambda: "201" in str(site.codes().get("big")), 20)
        sender.terminate()
        assert sender.wait(5) in (0, 75)
    site.drain()
    _assert_each_arrived_once(site)


def test_a_block_takes_longer_than_the_consumer_timeout(site: Site) -> None:
    (site.source / "big").write_bytes(os.urandom(60 * MB))
    (site.source / "small").write_text("x")
    site.run("sr_post", "--block-size", "20M", site.source)
    with site.rabbit.consumer_timeout(1000), site.running("sr_sender", "-v") as sender:
        _wait_for_bytes(site)
        site.sshd.freeze()
        try:
            sender.wait_for("trying again", 30)
            time.sleep(2)
        finally:
            site.sshd.thaw()
        wait_until(lambda: site.codes().get("big") == [201], 30, sender.said)
    site.drain()
    _assert_each_arrived_once(site)


def test_the_sftp_server_drops_sessions(site: Site) -> None:
    (site.source / "big").write_bytes(os.urandom(300 * MB))
    site.run("sr_post", "--block-size", "10M", site.source)
    with site.running("sr_sender") as sender:
        for _ in range(4):
            _wait_for_bytes(site)
            time.sleep(0.3)
            site.sshd.drop_sessions()
        wait_until((site.dest / "big").exists, 60, sender.said)
    site.drain()
    _assert_each_arrived_once(site)


def test_sr_post_is_killed_while_it_announces_a_tree_and_run_again(site: Site) -> None:
    for number in range(3000):
        (site.source / f"{number}").write_text(f"{number}")
    site.run("sr_sender", "--declare")
    for stop_method in ("kill", "terminate"):
        before = site.queued()
        with site.running("sr_post", site.source) as post:
            wait_until(lambda before=before: site.queued() > before + 200)  # type: ignore[misc]
            getattr(post, stop_method)()
            assert post.wait(5) in (-9, 75)
    with site.running("sr_sender", "--connections", "4"):
        site.run("sr_post", "--wait", site.source, timeout=100)
    assert same(site.source, site.dest)
    assert site.leftovers() == []


def _post_small_tree(site: Site) -> None:
    (site.source / "d").mkdir()
    (site.source / "d" / "small").write_text("small")
    (site.source / "blocks").write_bytes(os.urandom(150_000))
    (site.source / "link").symlink_to("small")
    for path in (site.source / "blocks", site.source / "d" / "small"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    site.run("sr_post", "--block-size", "100k", site.source)


def _run_and_kill(site: Site, protocol: str, step: int, program: str, *arguments: object) -> None:
    """Run a program that is killed after that many requests of a protocol, "sftp" or "broker"."""
    command = [sys.executable, "-m", "tests.lab.dying", protocol, str(step), program]
    done = subprocess.run(
        [*command, *map(str, arguments)], env=site.env, cwd=ROOT, check=False, capture_output=True
    )
    assert done.returncode in (0, -9), done.stderr
    # Until the broker detects the closed connection, the unacknowledged messages are not counted
    # as ready, and the queue appears to be empty.
    wait_until(lambda: queue_state(site.rabbit, site.queue).consumers == 0)
