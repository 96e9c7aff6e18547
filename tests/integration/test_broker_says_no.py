"""What the broker does not take, or ends, is told at once, tried again, and ends in time."""

from __future__ import annotations

import select
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.processes import free_port
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.site import Site

ROOM = 3  # messages


def fill(site: Site, count: int) -> None:
    for number in range(count):
        (site.source / f"f{number}").write_text(str(number))


@pytest.fixture
def small_queue(site: Site) -> Site:
    """A site whose queue takes a few announcements and rejects all others."""
    with site.rabbit.channel() as channel:
        arguments = {"x-max-length": ROOM, "x-overflow": "reject-publish"}
        channel.queue_declare(site.queue, durable=True, arguments=arguments)
    return site


@contextmanager
def memory_alarm(rabbit: Rabbit) -> Iterator[None]:
    """Let the broker take nothing, since it is low on memory."""
    alarm = "{{resource_limit, memory, node()}, []}"
    rabbit.evaluate(f"rabbit_alarm:set_alarm({alarm})")
    try:
        yield
    finally:
        rabbit.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")


@pytest.mark.parametrize("flags", [[], ["--wait"]])
def test_a_full_queue_is_told_in_one_line_and_the_timeout_is_kept(
    small_queue: Site, flags: list[str]
) -> None:
    fill(small_queue, 20)
    begun = time.monotonic()
    done = small_queue.run("sr_post", *flags, "--timeout", "3s", small_queue.source, status=75)
    assert time.monotonic() - begun < 8
    assert done.stderr.count("a queue rejects what is published") == 1
    assert "the connection" not in done.stderr


def test_all_is_announced_when_a_full_queue_is_emptied(small_queue: Site) -> None:
    fill(small_queue, 50)
    with small_queue.running("sr_post", small_queue.source) as post:
        post.wait_for("a queue rejects")
        with small_queue.running("sr_sender"):
            assert post.wait(30) == 0, post.said()
            wait_until(lambda: len(list(small_queue.dest.iterdir())) == 50)


def test_watch_goes_on_when_a_full_queue_is_emptied(small_queue: Site) -> None:
    fill(small_queue, 10)
    with small_queue.running("sr_post", "--watch", small_queue.source) as watch:
        watch.wait_for("a queue rejects")
        with small_queue.running("sr_sender"):
            wait_until(lambda: len(list(small_queue.dest.iterdir())) == 10, tell=watch.said)
    assert watch.said().count("a queue rejects") == 1


def test_the_timeout_is_kept_while_the_broker_is_low_on_memory(site: Site) -> None:
    fill(site, 3)
    site.run("sr_sender", "--declare")
    with memory_alarm(site.rabbit):
        begun = time.monotonic()
        done = site.run("sr_post", "--wait", "--timeout", "2s", site.source, status=75)
        assert time.monotonic() - begun < 6
        assert "the broker takes nothing for now" in done.stderr


def test_posting_goes_on_when_the_broker_has_memory_again(site: Site) -> None:
    fill(site, 3)
    site.run("sr_sender", "--declare")
    with ExitStack() as stack:
        with memory_alarm(site.rabbit):
            post = stack.enter_context(site.running("sr_post", site.source))
            post.wait_for("the broker takes nothing for now")
        assert post.wait(20) == 0, post.said()


def test_wait_says_that_no_sender_reads_the_queue(site: Site) -> None:
    fill(site, 1)
    with site.running("sr_post", "--wait", site.source) as post:
        post.wait_for(f"no sender reads {site.queue}", 10)
        with site.running("sr_sender"):
            assert post.wait(20) == 0, post.said()


def test_post_from_idle_standard_input_notices_a_lost_connection(site: Site) -> None:
    fill(site, 2)
    site.run("sr_sender", "--declare")
    with site.running("sr_post", "-", stdin=subprocess.PIPE) as post:
        assert post.stdin
        post.stdin.write(f"{site.source}/f0\n")
        post.stdin.flush()
        wait_until(lambda: site.queued() == 1)
        site.rabbit.close_all_connections()
        post.wait_for("trying again")
        post.stdin.write(f"{site.source}/f1\n")
        post.stdin.close()
        assert post.wait(20) == 0, post.said()
    assert site.queued() == 2


def serve_after_cuts(port: int, to: tuple[str, int], cuts: list[int]) -> None:
    """Pass connections on, but cut the first ones after so many answers of the broker each."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        for answers in [*cuts, 10**9]:
            left = answers
            client, _ = listener.accept()
            with client, socket.create_connection(to) as broker:
                while left:
                    for ready in select.select([client, broker], [], [])[0]:
                        if not (data := ready.recv(65536)):
                            return
                        (broker if ready is client else client).sendall(data)
                        left -= ready is broker


def test_watch_keeps_trying_when_there_is_no_broker_or_it_cuts_connections_being_made(
    site: Site,
) -> None:
    fill(site, 1)
    site.run("sr_sender", "--declare")
    port = free_port()
    for file in (site.credentials, site.config / "post" / "default.toml"):
        file.write_text(file.read_text().replace(f":{site.rabbit.port}/", f":{port}/"))
    with site.running("sr_post", "--watch", site.source) as watch:
        watch.wait_for("Connection refused; trying again")
        broker = (site.rabbit.address, site.rabbit.port)
        relay = threading.Thread(target=serve_after_cuts, args=(port, broker, [0, 1, 2]))
        relay.start()
        wait_until(lambda: site.queued() == 1, 30, watch.said)
        assert watch.said().count("cut while it was made") >= 2, watch.said()
    relay.join()
    for word in ("AddressFamily", "prev_state", "pika", "Error"):
        assert word not in watch.said()


def test_a_message_that_is_too_large_for_the_broker_is_told_in_one_line(site: Site) -> None:
    fill(site, 3000)  # others are read and published while the broker refuses the first
    site.run("sr_sender", "--declare")
    site.configure("post", f'[header]\nnote = "{"x" * 200_000}"\n')
    old = site.rabbit.evaluate("element(2, application:get_env(rabbit, max_message_size))")
    site.rabbit.evaluate("application:set_env(rabbit, max_message_size, 100000)")
    try:
        done = site.run("sr_post", site.source, status=77)
    finally:
        site.rabbit.evaluate(f"application:set_env(rabbit, max_message_size, {old})")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "larger than configured max size 100000" in done.stderr


def test_too_many_connections_of_a_user_are_told_in_one_line(site: Site) -> None:
    fill(site, 1)
    site.rabbit.ctl("set_user_limits", site.user, '{"max-connections": 1}')
    with site.rabbit.channel(site.user, site.password):
        done = site.run("sr_post", site.source, status=77)
    [line] = done.stderr.splitlines()
    assert "the broker does not let this user in: NOT_ALLOWED" in line
    assert "limit (1) is reached" in line
