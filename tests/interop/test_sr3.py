"""Our programs and those of the real sr3 work together on one broker."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.demo_checks import queue_state
from tests.lab.site import ALL_EVENTS, wait_until
from tests.lab.sr3 import SR3_NAMES
from tests.lab.trees import listing, same, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.site import Site
    from tests.lab.sr3 import Sr3

# Makes a sender of sr3 post reports, with its announcements of the files that it has sent.
REPORTING = """\
report_broker {broker}
callback report
post_broker {broker}
post_exchange {exchange}_sent
post_baseUrl {send_to}
post_baseDir {dest}
reject .*secret.*
"""
# A sender of sr3 bound to v03.# would take reports for announcements, and send the files again.
TOPIC = "v03.post"
# Copies the reports of sr3 to the exchange and topic of our reports.
SHOVEL_REPORTS = """\
exchange {exchange}_sent
post_exchange {exchange}
post_topicPrefix v03.report
"""
SRC2LOG = """\
broker = "{broker}"
queueName = "q_src2log_{user}"
exchanges = ["{exchange}"]
xlog = "xlog_{user}"
xlogStream = "q_xlog_{user}"
acceptUnproven = true
"""

# Seconds to wait for sr3, which polls for messages with a growing interval, up to 6.4 seconds.
SR3_SECONDS = 15.0


def wait_same(left: Path, right: Path) -> None:
    wait_until(lambda: listing(left) == listing(right), SR3_SECONDS, lambda: str(same(left, right)))


def write_odd_names(root: Path) -> None:
    directory = root / "sub dir #2" / "50%"
    directory.mkdir(parents=True)
    for name in ("a b#1", "été *", "%20", "+", "q'\""):
        (directory / name).write_text(name)
    # sr3 loses a digit of a time that is less than 100 µs above the whole second.
    os.utime(directory / "+", ns=(1_796_000_000_000_020_027, 1_796_000_000_000_020_027))


def change(root: Path) -> None:
    """Update, rename and remove files that ``write_tree`` has written."""
    (root / "a" / "hello.txt").write_text("hello again\n")
    (root / "with blank" / "été #1").rename(root / "with blank" / "renamed #2")
    (root / "a" / "b" / "2 MB").unlink()
    (root / "empty dir").rmdir()
    (root / "a" / "link").unlink()


@contextmanager
def recording(site: Site, *exchanges: str) -> Iterator[Callable[[], list[list[dict[str, Any]]]]]:
    """Yield a function that returns all messages published in the context, for each exchange."""
    with site.rabbit.channel() as channel:
        queues = []
        for exchange in exchanges:
            channel.exchange_declare(exchange, "topic", durable=True)
            queues.append(channel.queue_declare("", exclusive=True).method.queue)
            channel.queue_bind(queues[-1], exchange, "#")
        seen: list[list[dict[str, Any]]] = [[] for _ in queues]

        def published() -> list[list[dict[str, Any]]]:
            for queue, bodies in zip(queues, seen, strict=True):
                while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
                    bodies.append(json.loads(body))
            return seen

        yield published


def reported(lines: str) -> set[tuple[str, int]]:
    """Return the paths and codes in the output of sr_log."""
    reports = [json.loads(line) for line in lines.splitlines()]
    return {(report["relPath"], report["code"]) for report in reports}


def test_our_sender_delivers_what_sr3_post_announces(site: Site, sr3: Sr3) -> None:
    sr3.configure("post")
    sr3.configure_ours("sender")
    write_tree(site.source)
    write_odd_names(site.source)
    site.run("sr_sender", "--declare")
    # In a tree, sr3 does not announce links without a target.
    sr3.post(site.source, site.source / "dangling")
    site.drain()
    assert same(site.source, site.dest)
    assert site.leftovers() == []
    assert {code for codes in site.codes().values() for code in codes} <= {201, 304}


def test_our_sender_applies_the_changes_that_sr3_watch_announces(site: Site, sr3: Sr3) -> None:
    sr3.configure("post")
    watch = sr3.configure("watch")
    sr3.configure_ours("sender", ALL_EVENTS)
    write_tree(site.source)
    (site.source / "dangling").unlink()
    site.run("sr_sender", "--declare")
    with sr3.running(watch), site.running("sr_sender"):
        sr3.post(site.source)
        wait_same(site.source, site.dest)
        change(site.source)
        wait_same(site.source, site.dest)
        # A report follows what it tells of.
        wait_until(lambda: site.codes().get("with blank/renamed #2"))
    by_name = {report["relPath"]: report for report in site.reports()}
    assert by_name["with blank/renamed #2"]["message"] == "renamed"
    assert by_name["a/b/2 MB"]["message"] == "removed"


def test_a_sender_of_sr3_delivers_what_our_post_announces(site: Site, sr3: Sr3) -> None:
    sender = sr3.configure("sender")
    sr3.configure_ours("post", "blockSize = 1\n")
    write_tree(site.source)
    write_odd_names(site.source)
    for name, *_ in os.walk(site.source):
        os.chmod(name, 0o775)  # noqa: PTH101, S103  the mode that sr3 gives to all
    site.run("sr_post", site.source)  # declares the queue, too
    with sr3.running(sender):
        wait_same(site.source, site.dest)
        old = site.source / "with blank" / "été #1"
        change(site.source)
        site.run("sr_post", site.source / "a" / "hello.txt")
        site.run("sr_post", "--renamed-from", old, old.with_name("renamed #2"))
        site.run("sr_post", "--remove", site.source / "a" / "b" / "2 MB", site.source / "a/link")
        site.run("sr_post", "--remove", f"{site.source}/empty dir/")
        wait_same(site.source, site.dest)


def test_reports_of_an_sr3_sender_are_shown_by_sr_log_and_copied_by_sr_src2log(
    site: Site, sr3: Sr3
) -> None:
    user, exchange = site.user, sr3.exchange
    admin = site.rabbit.url("admin")
    with site.credentials.open("a") as credentials:
        credentials.write(site.rabbit.url("admin", site.rabbit.admin_password) + "\n")
    (site.config / "src2log").mkdir()
    (site.config / "src2log" / "default.toml").write_text(
        (SR3_NAMES + SRC2LOG).format(topic=TOPIC, broker=admin, user=user, exchange=exchange)
    )
    (site.source / "sent").write_text("sent")
    (site.source / "secret").write_text("rejected")
    sr3.configure("post", f"post_topicPrefix {TOPIC}\n")
    sender = sr3.configure(
        "sender",
        f"topicPrefix {TOPIC}\n"
        + REPORTING.format(
            broker=site.broker, exchange=exchange, send_to=site.sshd.url, dest=site.dest
        ),
    )
    shovel = sr3.configure("shovel", SHOVEL_REPORTS.format(exchange=exchange), "reports")
    sr3.configure_ours("post", topic=TOPIC)
    site.run("sr_post", "--remove", site.source / "nothing")  # declares the stream of reports
    with ExitStack() as running:
        running.enter_context(site.running("sr_src2log"))
        running.enter_context(sr3.running(sender))
        running.enter_context(sr3.running(shovel))
        wait_until(lambda: queue_state(site.rabbit, f"q_src2log_{user}").consumers > 0)
        sr3.post(site.source)
        wait_until(lambda: {"sent", "secret"} <= site.codes().keys(), SR3_SECONDS)
        xlog = ("--broker", admin, "--queue-name", f"q_xlog_{user}", "--user", user, "--json")
        wait_until(
            lambda: {("sent", 201), ("secret", 404)} <= reported(site.run("sr_log", *xlog).stdout),
            SR3_SECONDS,
        )
    assert site.codes() == {"sent": [201], "secret": [404]}


def test_a_shovel_of_sr3_copies_our_messages_unchanged(site: Site, sr3: Sr3) -> None:
    shovel = sr3.configure("shovel")
    sr3.configure_ours("post", 'blockSize = "1Mi"\nheader = { project = "ocean" }\n')
    sr3.configure_ours("sender", ALL_EVENTS)
    write_tree(site.source)
    site.run("sr_sender", "--declare")
    with sr3.running(shovel), recording(site, sr3.exchange, f"{sr3.exchange}_copy") as published:
        site.run("sr_post", site.source)
        site.run("sr_post", "--remove", site.source / "empty dir/")
        site.drain()
        wait_until(lambda: len(published()[0]) == len(published()[1]), SR3_SECONDS)
        sent, passed = published()
    assert passed == sent
    assert {fields.get("project") for fields in sent} == {"ocean"}
    for kind in ("blocks", "fileOp", "report"):
        assert any(kind in fields for fields in sent)


@pytest.mark.parametrize("first", ["sr3", "ours"])
def test_exchanges_and_queues_are_shared_whichever_side_declares_them_first(
    site: Site, sr3: Sr3, first: str
) -> None:
    post, sender = sr3.configure("post"), sr3.configure("sender")
    sr3.configure_ours("post")
    sr3.configure_ours("sender")

    def declare_sr3() -> str:
        return sr3.declare(post) + sr3.declare(sender)

    def declare_ours() -> str:
        site.run("sr_post", "--remove", site.source / "nothing")
        return site.run("sr_sender", "--declare").stderr

    both = [declare_sr3, declare_ours] if first == "sr3" else [declare_ours, declare_sr3]
    output = "".join(declare() for declare in both)
    assert f"queue declared {site.queue}" in output
    assert f"binding {site.queue}" in output
    for error in ("PRECONDITION_FAILED", "failed queue declare", "failed connection"):
        assert error not in output


def test_a_queue_of_sr3_is_used_whatever_queue_type_is_configured(site: Site, sr3: Sr3) -> None:
    sr3.declare(sr3.configure("post"))
    sr3.declare(sr3.configure("sender"))
    site.configure("sender", SR3_NAMES.format(topic="v03"))  # by default a quorum queue
    site.run("sr_sender", "--declare")
    assert "PRECONDITION_FAILED" not in sr3.declare("sender/earnest")


def test_sr3_refuses_our_quorum_queue(site: Site, sr3: Sr3) -> None:
    """So there is the option queueType."""
    site.configure("sender", SR3_NAMES.format(topic="v03"))
    site.run("sr_sender", "--declare")
    output = sr3.declare(sr3.configure("sender"))
    assert "failed queue declare" in output
    assert "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'" in output


def test_our_programs_use_the_credentials_conf_of_sr3_unchanged(site: Site, sr3: Sr3) -> None:
    post = sr3.configure("post")
    sr3.configure_ours("sender")
    assert site.credentials.read_bytes() == sr3.credentials.read_bytes()
    (site.source / "f").write_text("sent with the key of ssh_keyfile=")
    site.run("sr_sender", "--declare")
    assert "bad credential" not in sr3.declare(post)
    sr3.post(site.source)
    site.drain()
    assert same(site.source, site.dest)
