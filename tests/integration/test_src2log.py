"""sr_src2log copies every user's reports to xlog, and replaces invalid ones by rejections."""

from __future__ import annotations

import json
import signal

import pika
import pytest

from tests.lab.demo_checks import queue_state
from tests.lab.rabbitmq import User
from tests.lab.scope import Scope
from tests.lab.site import Site, wait_until

REPORT = {
    "pubTime": "20260101T000000",
    "baseUrl": "file:/",
    "relPath": "a/f",
    "size": 3,
    "report": {"code": 201, "message": "file sent", "timeCompleted": "20260101T000001"},
}


@pytest.fixture
def scope(site: Site) -> Scope:
    site.run("sr_sender", "--declare")
    return Scope(site)


def test_a_users_reports_are_copied_with_his_name_added(scope: Scope) -> None:
    site = scope.site
    (site.source / "f").write_text("x")
    with site.running("sr_src2log"), site.running("sr_sender"):
        site.run("sr_post", "--wait", site.source / "f")
        wait_until(scope.copied)
    [report] = scope.copied()
    assert (report["relPath"], report["code"], report["source"]) == ("f", 201, site.user)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"garbage", "not JSON"),
        (json.dumps({**REPORT, "report": None}).encode(), "no report"),
        (json.dumps({**REPORT, "report": {"code": "x"}}).encode(), "unusable"),
    ],
)
def test_an_invalid_report_is_copied_as_a_rejection(scope: Scope, body: bytes, reason: str) -> None:
    with scope.site.running("sr_src2log"):
        wait_until(scope.is_consumed)
        scope.publish(body, scope.site.user, scope.site.password)
        wait_until(scope.copied)
    [report] = scope.copied()
    assert report["code"] == 417
    assert reason in report["rejected"]
    assert report["source"] == scope.site.user


@pytest.mark.parametrize("proven", [True, False], ids=["by another", "not proven"])
def test_a_report_not_proven_to_be_of_the_exchanges_owner_is_rejected(
    scope: Scope, *, proven: bool
) -> None:
    mallory = f"mallory_{scope.site.name}"
    scope.site.rabbit.add_users(User(mallory, "pw", write=".*"))
    with scope.site.running("sr_src2log"):
        wait_until(scope.is_consumed)
        scope.publish(json.dumps(REPORT).encode(), mallory, "pw", set_user_id=proven)
        wait_until(scope.copied)
    [report] = scope.copied()
    assert report["code"] == 403
    assert (mallory if proven else "not proven") in report["rejected"]


def test_the_exchange_of_a_new_user_is_copied_without_a_restart(scope: Scope) -> None:
    site, exchange = scope.site, f"xac_{scope.site.name}2"
    with site.running("sr_src2log"):
        wait_until(scope.is_consumed)
        user = f"u{site.name}2"
        site.rabbit.add_users(User(user, "pw", write=".*"))
        with site.rabbit.channel() as admin:
            admin.exchange_declare(exchange, "topic", durable=True)
            admin.queue_bind(scope.queue, exchange, "v03.report.#")
        properties = pika.BasicProperties(user_id=user, content_type="application/json")
        with site.rabbit.channel(user, "pw") as channel:
            channel.basic_publish(exchange, "v03.report", json.dumps(REPORT).encode(), properties)
        wait_until(scope.copied)
    [report] = scope.copied()
    assert (report["code"], report["source"]) == (201, user)


def test_a_report_is_not_lost_when_the_stream_is_not_bound_to_xlog_any_more(scope: Scope) -> None:
    with scope.site.running("sr_src2log") as copier:
        wait_until(scope.is_consumed)
        with scope.site.rabbit.channel() as admin:
            admin.queue_unbind(scope.stream, scope.xlog, "v03.report.#")
        scope.publish(json.dumps(REPORT).encode(), scope.site.user, scope.site.password)
        wait_until(scope.copied)
        copier.wait_for(f"no queue is bound to exchange {scope.xlog}")


def test_a_missing_exchange_does_not_stop_the_copier(scope: Scope) -> None:
    with scope.site.running("sr_src2log", "--exchanges", "xac_none") as copier:
        copier.wait_for("exchange xac_none is not bound")
        assert copier.poll() is None


def test_copiers_that_are_killed_or_disconnected_copy_each_report_once(scope: Scope) -> None:
    site, count = scope.site, 2000
    bodies = [json.dumps({**REPORT, "relPath": f"{n}"}).encode() for n in range(count)]
    with site.running("sr_src2log") as first, site.running("sr_src2log") as second:
        wait_until(scope.is_consumed)
        properties = pika.BasicProperties(user_id=site.user, content_type="application/json")
        with site.rabbit.channel(site.user, site.password) as channel:
            # RabbitMQ may lose the last messages of a channel that closes without their confirms.
            channel.confirm_delivery()
            for number, body in enumerate(bodies):
                channel.basic_publish(site.exchange, "v03.report", body, properties)
                if number == count // 3:
                    first.send_signal(signal.SIGKILL)
        site.rabbit.close_all_connections()
        with site.running("sr_src2log") as third:
            wait_until(lambda: len(scope.copied()) >= count, 60, second.said)
            third.terminate()
            assert third.wait(5) == 0
    names = [report["relPath"] for report in scope.copied()]
    assert len(set(names)) == count
    assert len(names) == count


def test_one_users_reports_leave_room_for_those_of_others(scope: Scope) -> None:
    site, count = scope.site, 300
    body = json.dumps({**REPORT, "text": "x" * 10_000}).encode()
    properties = pika.BasicProperties(user_id=site.user, content_type="application/json")
    for _ in range(2):  # the second process knows what the first has copied
        with site.running("sr_src2log", "--report-max-bytes", "10Mi") as copier:
            wait_until(scope.is_consumed)
            with site.rabbit.channel(site.user, site.password) as channel:
                for _ in range(count):
                    channel.basic_publish(site.exchange, "v03.report", body, properties)
            copier.wait_for(f"reports of {site.user}")
            wait_until(lambda: queue_state(site.rabbit, scope.queue).ready == 0)
            copier.terminate()
            assert copier.wait(5) == 0, copier.said()
    reports = scope.copied()
    assert len([report for report in reports if report["code"] == 201]) < 110
    summaries = [report for report in reports if report["code"] == 429]
    assert len(summaries) == 2
    assert "beyond 1.0 MiB a day (maxUserShare)" in summaries[0]["rejected"]
