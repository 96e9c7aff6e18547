"""One message costs one report: hundreds of hostile ones, a good one after each gets through."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import pika
import pytest

from sarra_lite.broker.properties import accept_any_headers
from sarra_lite.errors import MessageError
from sarra_lite.messages import v03
from tests.lab import hostile
from tests.lab.hostile import Message, Properties
from tests.lab.scope import Scope
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.site import Running, Site

_STALL = 5.0  # seconds within which a good message is through, whatever was before it


def publish(site: Site, topic: str, messages: list[Message], good: list[Message]) -> None:
    """Publish the messages, a good one after each."""
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.confirm_delivery()
        for pair in zip(messages, good, strict=True):
            for message in pair:
                properties = Properties(message, site.user)
                channel.basic_publish(site.exchange, topic, message.body, properties)


def taken(site: Site, topic: str, messages: Iterator[Message]) -> list[Message]:
    """Return the messages that the broker takes at all: it cannot convert some headers itself."""
    site.run("sr_sender", "--declare")
    kept = []
    for message in messages:
        try:
            if message.table is not None:
                publish(site, topic, [message], [message])
        except pika.exceptions.AMQPError:
            continue
        kept.append(message)
    with site.rabbit.channel() as channel:
        channel.queue_purge(site.queue)
    return kept


def have_redelivered(rabbit: Rabbit, queue: str, count: int) -> None:
    """Take all messages from a queue and lose the connection before one is acknowledged."""
    accept_any_headers()
    with rabbit.channel() as channel:
        channel.basic_qos(prefetch_count=count)  # else a quorum queue gives 2000
        for _ in itertools.islice(channel.consume(queue, inactivity_timeout=10), count):
            pass
    wait_until(lambda: rabbit.queues()[queue] == count)


def wait_for_good(program: Running, through: Callable[[], set[str]], names: set[str]) -> None:
    """Return when all names are through; fail when none is for 5 s, or the program has ended."""
    done: set[str] = set()
    moved = time.monotonic()
    while not names <= done:
        now = through()
        if len(now) > len(done):
            done, moved = now, time.monotonic()
        assert time.monotonic() < moved + _STALL, f"stands still\n{program.said()[-3000:]}"
        assert program.poll() is None, program.said()[-3000:]


def refused(messages: list[Message]) -> Counter[str]:
    """Return how many of some messages are refused with each path, or without any."""
    paths: Counter[str] = Counter()
    for message in messages:
        try:
            if not v03.decode(message.body, message.content_type).rel_path:
                paths[""] += 1
        except MessageError as error:
            paths[error.rel_path] += 1
    return paths


def twins(messages: list[Message]) -> int:
    """Return how many messages without a path have the time of another one."""
    times: list[str] = []
    for message in messages:
        with contextlib.suppress(MessageError):
            announcement = v03.decode(message.body, message.content_type)
            times += [] if announcement.rel_path else [announcement.pub_time]
    return len(times) - len(set(times))


def check_log(program: Running) -> None:
    """Fail when a program met a bug, had to connect again, or logged what a stranger wrote raw."""
    said = program.said()
    assert "Traceback" not in said
    assert "bug" not in said
    assert "trying again" not in said
    assert all(line.isprintable() for line in said.split("\n"))


@pytest.mark.parametrize("again", [False, True], ids=["once", "redelivered"])
def test_a_sender_reports_each_hostile_announcement_and_sends_the_file_after_it(
    site: Site, *, again: bool
) -> None:
    messages = taken(site, "v03.post", hostile.announcements())
    names = [f"good-{number}" for number in range(len(messages))]
    for name in names:
        (site.source / name).write_text("x")
    fields = {"pubTime": v03.now(), "baseUrl": f"file:{site.source}", "size": 1}
    good = [Message(json.dumps({**fields, "relPath": name}).encode()) for name in names]

    def arrived() -> set[str]:
        return {path.name for path in site.dest.glob("good-*")}

    if again:
        publish(site, "v03.post", messages, good)
        have_redelivered(site.rabbit, site.queue, 2 * len(messages))
    with site.running("sr_sender") as sender:
        if not again:
            publish(site, "v03.post", messages, good)
        wait_for_good(sender, arrived, set(names))
        wait_until(lambda: site.rabbit.queues()[site.queue] == 0, 20, sender.said)
        check_log(sender)
        sender.terminate()
        assert sender.wait(10) == 0
    codes = site.codes()
    expected = refused(messages)
    # Without a path, two announcements of the same time are one; redelivered, it is reported once
    # if the first report is there when the second one is looked up.
    least = expected[""] - (twins(messages) if again else 0)
    assert least <= codes[""].count(417) == len(codes[""]) <= expected[""]
    named = {path: count for path, count in expected.items() if path}
    assert all(codes[path].count(417) >= count for path, count in named.items())
    assert sum(expected.values()) > 400
    assert all(codes[name] == [201] for name in names)
    assert site.leftovers() == []
    assert len(messages) > 400


@pytest.mark.parametrize("again", [False, True], ids=["once", "redelivered"])
def test_each_hostile_report_is_copied_or_rejected_once_and_so_is_the_one_after_it(
    site: Site, *, again: bool
) -> None:
    scope = Scope(site)
    messages = taken(site, "v03.report", hostile.reports())
    report = {"code": 201, "message": "file sent", "timeCompleted": v03.now()}
    fields = {"pubTime": v03.now(), "baseUrl": "file:/", "report": report}
    names = [f"good-{number}" for number in range(len(messages))]
    good = [Message(json.dumps({**fields, "relPath": name}).encode()) for name in names]
    with site.running("sr_src2log") as first:  # declares and binds
        wait_until(scope.is_consumed)
        if again:
            first.terminate()
            first.wait(10)
            publish(site, "v03.report", messages, good)
            have_redelivered(site.rabbit, scope.queue, 2 * len(messages))
    with site.running("sr_src2log") as copier:
        if not again:
            publish(site, "v03.report", messages, good)
        wait_for_good(copier, lambda: {one["relPath"] for one in scope.copied()}, set(names))
        wait_until(lambda: site.rabbit.queues()[scope.queue] == 0, 20, copier.said)
        check_log(copier)
        copier.terminate()
        assert copier.wait(10) == 0
    copies = scope.copied()
    if again:  # one that says the same as another that was copied before is the same
        assert len(copies) <= 2 * len(messages)
    else:
        assert len(copies) == 2 * len(messages)
    assert {copy["code"] for copy in copies if "rejected" in copy} == {417}
    assert len(messages) > 400
