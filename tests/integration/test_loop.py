"""Nothing that is slow holds up a command: signals, the prefetch, a broker that pauses."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sarra_lite.broker.client import Broker, Delivery
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.dispatch.broker_link import BrokerLink
from sarra_lite.runtime import Failure
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.sshd import Sshd


def broker_of(site: Site) -> Broker:
    url = site.rabbit.url(site.user, site.password)
    return Broker(parse_url(url, ["amqp"]), "test")


def test_a_change_of_the_prefetch_makes_nothing_come_again(site: Site) -> None:
    for number in range(2300):
        (site.source / f"{number}").touch()
    site.run("sr_sender", "--declare")
    site.run("sr_post", site.source)
    config = SenderConfig(
        broker=parse_url("amqp://u@h/", ["amqp", "amqps"]),
        sendTo=parse_url("sftp://u@h/", ["sftp"]),
        queueName=site.queue,
    )
    seen: list[Delivery] = []
    acknowledged, most = 0, 0

    async def run() -> None:
        nonlocal most
        all_seen, loop = asyncio.Event(), asyncio.get_running_loop()

        def ack(delivery: Delivery) -> None:
            nonlocal acknowledged
            acknowledged += 1
            link.ack(delivery)

        def received(delivery: Delivery) -> None:
            nonlocal most
            seen.append(delivery)
            most = max(most, len(seen) - acknowledged)
            small = len(seen) < 1200
            link.count_taken(10 if small else 1 << 30)
            loop.call_later(0.01 if small else 1.0, ack, delivery)
            if len(seen) == 2300:
                all_seen.set()

        link = BrokerLink(config, received, Failure())
        async with broker_of(site) as broker:
            await link.attach(broker)
            await asyncio.wait_for(all_seen.wait(), 60)
            most_at_end = len(seen) - acknowledged
            await asyncio.sleep(0.5)
        assert most_at_end <= 32

    asyncio.run(run())
    assert most > 500
    assert len(seen) == 2300
    assert not any(delivery.redelivered for delivery in seen)


def test_reading_many_reports_holds_up_neither_the_watchdog_nor_other_files(
    site: Site, tmp_path: Path
) -> None:
    (site.source / "redelivered").write_bytes(b"x")
    site.run("sr_sender", "--declare")
    site.run("sr_post", site.source)
    with site.rabbit.channel() as channel:
        method, properties, body = channel.basic_get(site.queue)
        assert method and properties and body  # noqa: PT018  for the type checker
        channel.basic_nack(method.delivery_tag or 0, requeue=True)
        properties.user_id = None
        report = json.loads(body)
        report["report"] = {"code": 201, "message": "", "timeCompleted": report["pubTime"]}
        for number in range(60_000):
            report["relPath"] = f"many/{number}"
            channel.basic_publish(
                site.exchange, "v03.report.many", json.dumps(report).encode(), properties
            )
        channel.connection.process_data_events(0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "n"))
        notified.settimeout(20)
        with site.running("sr_sender", env={"NOTIFY_SOCKET": notified.getsockname()}) as sender:
            while b"READY=1" not in notified.recv(4096):
                pass
            (site.source / "fresh").write_bytes(b"x")
            site.run("sr_post", site.source / "fresh")
            longest, last = 0.0, time.monotonic()
            while not (site.dest / "redelivered").exists():
                notified.recv(4096)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                if not (site.dest / "redelivered").exists():
                    fresh_first = (site.dest / "fresh").exists()
    assert fresh_first, sender.said()
    assert longest < 2, sender.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sr_post_stops_at_once_while_it_hashes_a_large_file(site: Site, number: int) -> None:
    large = site.source / "large"
    large.touch()
    os.truncate(large, 200 << 30)
    with site.running("sr_post", "--block-size", "1", large) as post:
        wait_until(lambda: post.has_open(large))
        post.send_signal(number)
        assert post.wait(3) == 75, post.said()


def test_sr_post_stops_at_once_while_it_waits_for_paths(site: Site) -> None:
    site.run("sr_sender", "--declare")
    reader, writer = os.pipe()
    with site.running("sr_post", "-", stdin=reader) as post:
        os.close(reader)
        (site.source / "a").touch()
        os.write(writer, os.fsencode(site.source / "a") + b"\n")
        wait_until(lambda: site.queued() == 1, tell=post.said)
        post.terminate()
        assert post.wait(3) == 75, post.said()
    os.close(writer)


def test_what_was_read_from_standard_input_is_announced_before_more_comes(site: Site) -> None:
    site.run("sr_sender", "--declare")
    reader, writer = os.pipe()
    with site.running("sr_post", "-", stdin=reader) as post:
        os.close(reader)
        (site.source / "a").touch()
        os.write(writer, os.fsencode(site.source / "a") + b"\n")
        wait_until(lambda: site.queued() == 1, tell=post.said)
        os.close(writer)
        assert post.wait(10) == 0, post.said()


@pytest.fixture
def own_site(sshd: Sshd, tmp_path: Path) -> Site:
    """A site whose broker no other test uses."""
    rabbit = Rabbit(tmp_path / "rabbit")
    rabbit.start()
    return Site(rabbit, sshd, tmp_path / "site")


def test_the_first_interrupt_ends_sr_log_while_the_broker_pauses(own_site: Site) -> None:
    site = own_site
    try:
        site.run("sr_sender", "--declare")
        with site.running("sr_log", "--follow") as log:
            time.sleep(2)  # the broker does not count consumers of streams
            site.rabbit.freeze()
            log.send_signal(signal.SIGINT)
            assert log.wait(4) == 0, log.said()
        with site.running("sr_log") as log:
            time.sleep(1)
            log.send_signal(signal.SIGINT)
            assert log.wait(4) == 0, log.said()
    finally:
        site.rabbit.thaw()
        site.rabbit.stop()


def test_sr_log_waits_for_a_broker_that_pauses_instead_of_showing_a_part(own_site: Site) -> None:
    site = own_site
    try:
        for number in range(300):
            (site.source / f"{number}").touch()
        site.run("sr_sender", "--declare")
        site.run("sr_post", site.source)
        site.drain()
        pause = threading.Timer(0.6, site.rabbit.freeze)
        pause.start()
        resume = threading.Timer(4, site.rabbit.thaw)
        resume.start()
        assert len(site.reports()) == 300
        pause.join()
        resume.join()
    finally:
        site.rabbit.thaw()
        site.rabbit.stop()
