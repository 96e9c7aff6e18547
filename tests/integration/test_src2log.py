"""Every user's reports come to xlog, checked; a bad one comes as a rejected report."""

from __future__ import annotations

import json
import signal
from typing import Any

import pika
import pytest

from tests.lab.demo_checks import queue_state
from tests.lab.rabbitmq import User
from tests.lab.site import Site, wait_until

REPORT = {
    "pubTime": "20260101T000000",
    "baseUrl": "file:/",
    "relPath": "a/f",
    "size": 3,
    "report": {"code": 201, "message": "file sent", "timeCompleted": "20260101T000001"},
}


class Scope:
    """The operators' side: the copier's account and configuration, and what is in xlog."""

    def __init__(self, site: Site) -> None:
        """Make names of its own, since the broker is shared with other tests."""
        self.site = site
        self.xlog = f"xlog_{site.name}"
        self.stream = f"q_xlog_{site.name}"
        self.queue = f"q_src2log_{site.name}"
        self.user = f"src2log_{site.name}"
        site.rabbit.add_users(User(self.user, "pw", ".*", ".*", ".*"))
        url = site.rabbit.url(self.user)
        with site.credentials.open("a") as file:
            file.write(site.rabbit.url(self.user, "pw") + "\n")
        (site.config / "src2log").mkdir()
        (site.config / "log").mkdir()
        (site.config / "log" / "xlog.toml").write_text(
            f'broker = "{url}"\nqueueName = "{self.stream}"\n'
        )
        (site.config / "src2log" / "default.toml").write_text(
            f'broker = "{url}"\nqueueName = "{self.queue}"\nexchanges = ["{site.exchange}"]\n'
            f'xlog = "{self.xlog}"\nxlogStream = "{self.stream}"\n'
        )

    def served(self) -> bool:
        """Whether the copier reads its queue, which it does when all is bound."""
        return queue_state(self.site.rabbit, self.queue).consumers > 0

    def seen(self) -> list[dict[str, Any]]:
        """Return the reports in xlog."""
        done = self.site.run("sr_log", "-c", "xlog", "--json", "--since", "9999d", "--blocks")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def publish(self, body: bytes, user: str, password: str, *, prove: bool = True) -> None:
        """Publish on the user's exchange."""
        properties = pika.BasicProperties(
            user_id=user if prove else None, content_type="application/json"
        )
        with self.site.rabbit.channel(user, password) as channel:
            channel.basic_publish(self.site.exchange, "v03.report.a", body, properties)


@pytest.fixture
def scope(site: Site) -> Scope:
    site.run("sr_sender", "--declare")
    return Scope(site)


def test_a_users_reports_are_copied_and_stamped_with_his_name(scope: Scope) -> None:
    site = scope.site
    (site.source / "f").write_text("x")
    with site.running("sr_src2log"), site.running("sr_sender"):
        site.run("sr_post", "--wait", site.source / "f")
        wait_until(scope.seen)
    [report] = scope.seen()
    assert (report["relPath"], report["code"], report["source"]) == ("f", 201, site.user)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"garbage", "not JSON"),
        (json.dumps({**REPORT, "report": None}).encode(), "no report"),
        (json.dumps({**REPORT, "report": {"code": "x"}}).encode(), "unusable"),
    ],
)
def test_what_is_no_report_comes_as_a_rejected_one(scope: Scope, body: bytes, reason: str) -> None:
    with scope.site.running("sr_src2log"):
        wait_until(scope.served)
        scope.publish(body, scope.site.user, scope.site.password)
        wait_until(scope.seen)
    [report] = scope.seen()
    assert report["code"] == 417
    assert reason in report["rejected"]
    assert report["source"] == scope.site.user


@pytest.mark.parametrize("proven", [True, False], ids=["by another", "not proven"])
def test_a_report_that_its_owner_did_not_write_is_rejected(scope: Scope, *, proven: bool) -> None:
    mallory = f"mallory_{scope.site.name}"
    scope.site.rabbit.add_users(User(mallory, "pw", write=".*"))
    with scope.site.running("sr_src2log"):
        wait_until(scope.served)
        scope.publish(json.dumps(REPORT).encode(), mallory, "pw", prove=proven)
        wait_until(scope.seen)
    [report] = scope.seen()
    assert report["code"] == 403
    assert (mallory if proven else "not proven") in report["rejected"]


def test_the_exchange_of_a_new_user_is_served_without_a_restart(scope: Scope) -> None:
    site, new = scope.site, f"xac_{scope.site.name}2"
    with site.running("sr_src2log"):
        wait_until(scope.served)
        user = f"u{site.name}2"
        site.rabbit.add_users(User(user, "pw", write=".*"))
        with site.rabbit.channel() as admin:
            admin.exchange_declare(new, "topic", durable=True)
            admin.queue_bind(scope.queue, new, "v03.report.#")
        properties = pika.BasicProperties(user_id=user, content_type="application/json")
        with site.rabbit.channel(user, "pw") as channel:
            channel.basic_publish(new, "v03.report", json.dumps(REPORT).encode(), properties)
        wait_until(scope.seen)
    [report] = scope.seen()
    assert (report["code"], report["source"]) == (201, user)


def test_an_exchange_that_is_not_there_does_not_hold_up_the_others(scope: Scope) -> None:
    with scope.site.running("sr_src2log", "--exchanges", "xac_none") as copier:
        copier.wait_for("exchange xac_none is not bound")
        assert copier.poll() is None


def test_several_copiers_killed_and_cut_off_copy_each_report_once(scope: Scope) -> None:
    site, count = scope.site, 3000
    bodies = [json.dumps({**REPORT, "relPath": f"{n}"}).encode() for n in range(count)]
    with site.running("sr_src2log") as first, site.running("sr_src2log"):
        wait_until(scope.served)
        properties = pika.BasicProperties(user_id=site.user, content_type="application/json")
        with site.rabbit.channel(site.user, site.password) as channel:
            for number, body in enumerate(bodies):
                channel.basic_publish(site.exchange, "v03.report", body, properties)
                if number == count // 3:
                    first.send_signal(signal.SIGKILL)
        site.rabbit.close_all_connections()
        with site.running("sr_src2log") as third:
            wait_until(lambda: len(scope.seen()) >= count, 60)
            third.terminate()
            assert third.wait(5) == 0
    names = [report["relPath"] for report in scope.seen()]
    assert len(set(names)) == count
    assert len(names) == count
