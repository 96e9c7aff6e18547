"""Our programs and those of the real sr3 work together on one broker."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.demo_checks import queue_state
from tests.lab.site import wait_until
from tests.lab.sr3 import OURS
from tests.lab.trees import listing, same, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.site import Site
    from tests.lab.sr3 import Sr3

# sr3 posts reports beside its re-announcements.
REPORTING = """\
report_broker {broker}
callback report
post_broker {broker}
post_exchange {exchange}_sent
post_baseUrl {send_to}
post_baseDir {dest}
reject .*secret.*
"""
# An sr3 sender bound to v03.# takes reports for announcements, and sends the files again.
TOPIC = "v03.post"
# Brings reports to where our reports are.
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

# sr3 looks for new messages less and less often, at last every 6.4 seconds.
LATE = 15.0


def wait_same(left: Path, right: Path) -> None:
    wait_until(lambda: listing(left) == listing(right), LATE, lambda: str(same(left, right)))


def write_odd_names(root: Path) -> None:
    directory = root / "sub dir #2" / "50%"
    directory.mkdir(parents=True)
    for name in ("a b#1", "été *", "%20", "+", "q'\""):
        (directory / name).write_text(name)
    # sr3 loses a digit of a time that is so little above the whole second.
    os.utime(directory / "+", ns=(1_796_000_000_000_020_027, 1_796_000_000_000_020_027))


def change(root: Path) -> None:
    """Update, rename and remove what `write_tree` has written."""
    (root / "a" / "hello.txt").write_text("hello again\n")
    (root / "with blank" / "été #1").rename(root / "with blank" / "renamed #2")
    (root / "a" / "b" / "2 MB").unlink()
    (root / "empty dir").rmdir()
    (root / "a" / "link").unlink()


@contextmanager
def taps(site: Site, *exchanges: str) -> Iterator[Callable[[], list[list[dict[str, Any]]]]]:
    """Give a function that returns all that was published meanwhile, on each exchange."""
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
    """Paths and codes in what sr_log tells."""
    reports = [json.loads(line) for line in lines.splitlines()]
    return {(report["relPath"], report["code"]) for report in reports}


def test_what_sr3_post_announces_our_sender_delivers(site: Site, sr3: Sr3) -> None:
    sr3.configure("post")
    sr3.ours("sender")
    write_tree(site.source)
    write_odd_names(site.source)
    site.run("sr_sender", "--declare")
    # By itself, sr3 announces no link to nowhere.
    sr3.post(site.source, site.source / "dangling")
    site.drain()
    assert same(site.source, site.dest)
    assert site.leftovers() == []
    assert {code for codes in site.codes().values() for code in codes} <= {201, 304}


def test_what_sr3_sees_changing_our_sender_changes_there(site: Site, sr3: Sr3) -> None:
    sr3.configure("post")
    watch = sr3.configure("watch")
    sr3.ours("sender")
    write_tree(site.source)
    (site.source / "dangling").unlink()
    site.run("sr_sender", "--declare")
    with sr3.running(watch), site.running("sr_sender"):
        sr3.post(site.source)
        wait_same(site.source, site.dest)
        change(site.source)
        wait_same(site.source, site.dest)
    by_name = {report["relPath"]: report for report in site.reports()}
    assert by_name["with blank/renamed #2"]["message"] == "renamed"
    assert by_name["a/b/2 MB"]["message"] == "removed"


def test_what_our_post_announces_an_sr3_sender_delivers(site: Site, sr3: Sr3) -> None:
    sender = sr3.configure("sender")
    sr3.ours("post", "blockSize = 1\n")
    write_tree(site.source)
    write_odd_names(site.source)
    for name, *_ in os.walk(site.source):
        os.chmod(name, 0o775)  # noqa: PTH101, S103  as sr3 makes them all
    site.run("sr_post", site.source)  # which declares the queue, too
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
        (OURS + SRC2LOG).format(topic=TOPIC, broker=admin, user=user, exchange=exchange)
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
    sr3.ours("post", topic=TOPIC)
    site.run("sr_post", "--remove", site.source / "nothing")  # declares the stream of reports
    with ExitStack() as running:
        running.enter_context(site.running("sr_src2log"))
        running.enter_context(sr3.running(sender))
        running.enter_context(sr3.running(shovel))
        wait_until(lambda: queue_state(site.rabbit, f"q_src2log_{user}").consumers > 0)
        sr3.post(site.source)
        wait_until(lambda: {"sent", "secret"} <= site.codes().keys(), LATE)
        xlog = ("--broker", admin, "--queue-name", f"q_xlog_{user}", "--user", user, "--json")
        wait_until(
            lambda: {("sent", 201), ("secret", 404)} <= reported(site.run("sr_log", *xlog).stdout),
            LATE,
        )
    assert site.codes() == {"sent": [201], "secret": [404]}


def test_our_announcements_and_reports_pass_an_sr3_shovel_unharmed(site: Site, sr3: Sr3) -> None:
    shovel = sr3.configure("shovel")
    sr3.ours("post", 'blockSize = "1Mi"\nheader = { project = "ocean" }\n')
    sr3.ours("sender")
    write_tree(site.source)
    site.run("sr_sender", "--declare")
    with sr3.running(shovel), taps(site, sr3.exchange, f"{sr3.exchange}_copy") as published:
        site.run("sr_post", site.source)
        site.run("sr_post", "--remove", site.source / "empty dir/")
        site.drain()
        wait_until(lambda: len(published()[0]) == len(published()[1]), LATE)
        sent, passed = published()
    assert passed == sent
    assert {fields.get("project") for fields in sent} == {"ocean"}
    for kind in ("blocks", "fileOp", "report"):
        assert any(kind in fields for fields in sent)


@pytest.mark.parametrize("first", ["sr3", "ours"])
def test_exchanges_and_queues_are_shared_whoever_declares_them_first(
    site: Site, sr3: Sr3, first: str
) -> None:
    post, sender = sr3.configure("post"), sr3.configure("sender")
    sr3.ours("post")
    sr3.ours("sender")

    def theirs() -> str:
        return sr3.declare(post) + sr3.declare(sender)

    def ours() -> str:
        site.run("sr_post", "--remove", site.source / "nothing")
        return site.run("sr_sender", "--declare").stderr

    said = theirs() + ours() if first == "sr3" else ours() + theirs()
    assert f"queue declared {site.queue}" in said
    assert f"binding {site.queue}" in said
    for complaint in ("PRECONDITION_FAILED", "failed queue declare", "failed connection"):
        assert complaint not in said


def test_a_queue_that_sr3_made_is_taken_whatever_type_is_configured(site: Site, sr3: Sr3) -> None:
    sr3.declare(sr3.configure("post"))
    sr3.declare(sr3.configure("sender"))
    site.configure("sender", OURS.format(topic="v03"))  # quorum, by default
    site.run("sr_sender", "--declare")
    assert "PRECONDITION_FAILED" not in sr3.declare("sender/earnest")


def test_sr3_refuses_a_quorum_queue_so_there_is_an_option(site: Site, sr3: Sr3) -> None:
    site.configure("sender", OURS.format(topic="v03"))
    site.run("sr_sender", "--declare")
    said = sr3.declare(sr3.configure("sender"))
    assert "failed queue declare" in said
    assert "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'" in said


def test_a_credentials_conf_of_sr3_serves_our_programs_unchanged(site: Site, sr3: Sr3) -> None:
    post = sr3.configure("post")
    sr3.ours("sender")
    assert site.credentials.read_bytes() == sr3.credentials.read_bytes()
    (site.source / "f").write_text("sent with the key of ssh_keyfile=")
    site.run("sr_sender", "--declare")
    assert "bad credential" not in sr3.declare(post)
    sr3.post(site.source)
    site.drain()
    assert same(site.source, site.dest)
