"""What playbooks have changed is in xlog, in its chain, and no user can write such an entry."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pika
import pytest

from sarra_lite.messages import change
from sarra_lite.monitor.store import Batch, Store
from tests.lab.monitor import Monitor
from tests.lab.page import Page, cells
from tests.lab.rabbitmq import User
from tests.lab.scope import Scope
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from tests.lab.authority import Authority
    from tests.lab.site import Site

NONE = {"group": "", "user": ""}
ENTRY: dict[str, Any] = {
    "id": "7",
    "who": "anna",
    "host": "svrctl",
    "began": time.time() - 60,
    "ended": time.time(),
    "playbook": "site.yml",
    "tags": ["accounts"],
    "changed": [{"task": "accounts : Write users", "hosts": ["svrsftp1"]}],
    "accounts": {"users": {"added": ["<b>bob</b>"]}},
}


@pytest.fixture
def scope(site: Site) -> Scope:
    site.run("sr_sender", "--declare")
    return Scope(site)


def record(site: Site, status: int = 0, **changed: Any) -> str:
    text = json.dumps({**ENTRY, **changed})
    return site.run("sr_src2log", "--record", input=text, status=status).stderr


def changes(site: Site) -> list[dict[str, Any]]:
    done = site.run("sr_monitor", "--changes", "--json", status=None)
    return [json.loads(line) for line in done.stdout.splitlines()]


def log(scope: Scope, *flags: str) -> str:
    return scope.site.run("sr_log", "-c", "xlog", "--since", "1h", *flags).stdout


def test_what_a_playbook_has_changed_is_told_by_log_and_monitor(scope: Scope) -> None:
    site = scope.site
    monitor = Monitor(site)
    (site.source / "f").write_text("x")
    record(site)  # before any sr_src2log runs
    with site.running("sr_src2log"), site.running("sr_monitor"):
        site.run("sr_post", site.source / "f")
        site.drain()
        wait_until(lambda: changes(site) and monitor.files())
        record(site)  # the same entry again
        record(site, id="8", playbook="drain.yml", arguments=["node=svrsftp1"], accounts={})
        wait_until(lambda: len(changes(site)) == 2)
        for kind in ("changed", "missing", "unlinked"):
            assert monitor.metric("sarra_chain_breaks_total", **NONE, kind=kind) == 0
    assert {entry["who"] for entry in changes(site)} == {"anna"}
    told = site.run("sr_monitor", "--changes").stdout
    assert "anna@svrctl" in told
    assert (
        "drain.yml --tags accounts -e node=svrsftp1: changed 1 task on svrsftp1 (accounts)" in told
    )
    lines = [line for line in log(scope).splitlines() if "anna" in line]
    assert "svrctl" in lines[0]
    assert lines[0].endswith("on svrsftp1 (accounts); users added: <b>bob</b>")
    assert "anna" not in log(scope, "--failed")
    assert '"change"' not in log(scope, "--json")  # objects of reports only


def test_netops_see_on_the_page_what_was_changed(site: Site, authority: Authority) -> None:
    page = Page(site, authority)
    with closing(Store(page.history, 90, {})) as store:
        store.take(Batch(changes=[change.parse(ENTRY)]))
    with page.running(), page.client(page.netops) as client:
        _, row = cells(client.get("/health").text, "What playbooks have changed")
        assert row[1] == "anna@svrctl"
        assert row[2] == change.sentence(change.parse(ENTRY))


def test_no_user_can_write_what_looks_like_a_change(scope: Scope) -> None:
    site = scope.site
    Monitor(site)
    forged = {"pubTime": "20260101T000000", "baseUrl": "", "relPath": "", "change": ENTRY}
    report = {"code": 201, "message": "sent", "timeCompleted": "20260101T000001"}
    eve = f"eve_{site.name}"
    site.rabbit.add_users(User(eve, "pw", write=".*"))
    with site.running("sr_src2log") as copier, site.running("sr_monitor"):
        wait_until(scope.is_consumed)
        for body in (forged, forged | {"report": report, "relPath": "f"}):
            scope.publish(json.dumps(body).encode(), site.user, site.password)
        # Who might publish on xlog itself is still not sr_src2log.
        properties = pika.BasicProperties(user_id=eve, content_type="application/json")
        with site.rabbit.channel(eve, "pw") as channel:
            channel.basic_publish(scope.xlog, "v03.record", json.dumps(forged).encode(), properties)
        copier.wait_for(f"author {eve} is not {scope.user}")
        wait_until(lambda: len(scope.copied()) == 2)
        record(site, id="real")
        wait_until(lambda: changes(site))
    assert [entry["id"] for entry in changes(site)] == ["real"]
    assert log(scope).count("anna") == 1
    assert [report["code"] for report in scope.copied()] == [417, 201]


def test_what_is_no_change_is_refused_in_one_line(scope: Scope) -> None:
    said = record(scope.site, status=1, began="now")
    assert "not a change" in said
    assert "Traceback" not in said
