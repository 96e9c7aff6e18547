"""Monitoring: what is collected, which rules hold, and that an alert arrives as mail."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope
    from tests.scope.mailbox import Mailbox

ROOT = Path(__file__).parents[2]
RULES = ROOT / "roles/prometheus/files/rules"
DASHBOARD = ROOT / "docs/grafana/scope.json"
JOBS = {
    "node": "scope",
    "rabbitmq": "broker_members",
    "rabbitmq_queues": "broker_members",
    "haproxy": "load_balancers",
}
# Asked by the Prometheus on the same host only.
LOCAL_JOB = "sr_monitor"
# They have no value before the first event; Prometheus knows that they may come.
EVENTS = (
    "sarra_anomalies",
    "sarra_bytes",
    "sarra_delivery_seconds",
    "sarra_expected_missed",
    "sarra_files",
    "sarra_oldest_unreported_seconds",
    "sarra_rejected_reports",
    "sarra_stream_gaps",
)


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in RULES.glob("*.yml")]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


class Prometheus:
    """Prometheus on the first monitoring host, by a local port."""

    def __init__(self, port: int) -> None:
        """``port`` leads to Prometheus."""
        self._port = port

    def get(self, path: str, **words: str) -> Any:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(words)}")
            return json.load(connection.getresponse())["data"]

    def count(self, metric: str) -> int:
        found = self.get("query", query=f"count({metric})")["result"]
        return int(found[0]["value"][1]) if found else 0


@pytest.fixture
def prometheus(scope: Scope) -> Iterator[Prometheus]:
    with scope.forwarded(scope.group("monitoring")[0], "127.0.0.1", 9090) as port:
        yield Prometheus(port)


def test_each_host_is_asked_for_its_metrics_and_answers(
    scope: Scope, prometheus: Prometheus
) -> None:
    wanted = {(job, name): "up" for job, group in JOBS.items() for name in scope.group(group)}
    wanted[LOCAL_JOB, scope.group("monitoring")[0]] = "up"

    def found() -> dict[tuple[str, str], str]:
        targets = prometheus.get("targets", state="active")["activeTargets"]
        return {
            (target["labels"]["job"], target["labels"]["instance"]): target["health"]
            for target in targets
        }

    assert until(lambda: found() == wanted, 60), prometheus.get("targets", state="active")


def test_the_rules_are_those_of_the_role(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert loaded.keys() == {rule["alert"] for rule in rules()}
    assert [rule["name"] for rule in loaded.values() if rule["health"] != "ok"] == []
    for rule in rules():
        assert loaded[rule["alert"]]["annotations"] == rule["annotations"]


def test_the_metrics_of_rules_and_of_the_dashboard_are_collected(
    scope: Scope, prometheus: Prometheus
) -> None:
    """A rule about a metric that nobody has would never fire."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    expressions = " ".join([*(rule["expr"] for rule in rules()), *shown])
    names = set(re.findall(r"\b(?:node|haproxy|rabbitmq|scope|sftp|sarra)_[a-z_]+", expressions))
    entries = scope.var("accounts")["users"] + scope.var("accounts")["groups"]
    if not any("disk" in entry for entry in entries):
        names = {name for name in names if not name.startswith("sftp_disk_")}
    assert len(names) > 10
    lacking: list[str] = []

    def complete() -> bool:
        events = tuple(prometheus.get("metadata").keys() & set(EVENTS))
        lacking[:] = [
            name
            for name in sorted(names)
            if not name.startswith(events) and not prometheus.count(name)
        ]
        return not lacking

    assert until(complete, 90), lacking


def test_labels_mark_the_virtual_addresses_and_the_homes(
    scope: Scope, prometheus: Prometheus
) -> None:
    for vip in ("sftp", "broker"):
        assert prometheus.count(f'node_network_address_info{{vip="{vip}"}}') == 1
    homes = prometheus.count('node_filesystem_size_bytes{shared="yes"}')
    if scope.var("scope_shared_fs") != "local":
        assert homes == len(scope.group("sftp_nodes"))
    assert prometheus.count('node_filesystem_readonly{shared="yes"} == 0') == homes


def test_metrics_that_programs_write_can_be_read(prometheus: Prometheus) -> None:
    assert until(lambda: prometheus.count("node_textfile_scrape_error == 1") == 0, 60)


@pytest.mark.destructive
def test_a_file_that_no_sender_sends_is_seen_waiting_until_it_is_reported(
    client: Client, prometheus: Prometheus
) -> None:
    waiting = f'sarra_oldest_unreported_seconds{{user="{client.broker_user}"}}'
    listed = f"systemctl list-units --plain --no-legend 'sr_sender-{client.user}@*'"
    senders = client.host.check_output(f"{listed} | cut -d ' ' -f 1 | xargs")
    client.host.check_output(f"systemctl stop {senders}")
    try:
        client.ok("date > unsent; sr_post --quiet unsent")
        assert until(lambda: prometheus.count(waiting) == 1, 60)
    finally:
        client.host.check_output(f"systemctl start {senders}")
    assert until(lambda: prometheus.count(waiting) == 0, 60)


@pytest.mark.destructive
def test_an_alert_about_an_account_is_mailed_to_its_contact(scope: Scope, mailbox: Mailbox) -> None:
    users = [user for user in scope.var("accounts")["users"] if "contact" in user]
    if not users:
        pytest.skip("no user of the inventory has a contact")
    user = users[0]
    monitor = scope.group("monitoring")[0]
    alert = f"Spec{int(time.time())}"  # another one than at an earlier run, which was told already
    labels = f"alertname={alert} severity=warning kind=user name={user['name']}"
    scope.host(monitor).check_output(
        f"amtool --alertmanager.url=http://{scope.var('scope_address', monitor)}:9093"
        f" alert add {labels} --annotation=summary=spec --annotation=runbook=docs/runbooks/x.md"
    )
    assert until(lambda: alert in mailbox.texts(user["contact"]), 60), mailbox.mail
    for address in scope.var("alertmanager_netops"):
        assert alert not in mailbox.texts(address)


@pytest.mark.destructive
@pytest.mark.faults
@pytest.mark.timeout(240)
def test_a_service_that_stops_is_mailed_to_netops_with_what_to_do(
    scope: Scope, mailbox: Mailbox
) -> None:
    name = scope.group("monitoring")[0]
    netops, page = scope.var("alertmanager_netops")[0], "docs/runbooks/service-down.md"
    wanted = (
        f"CRITICAL: ServiceDown {name} sr_quota.service\n",
        f"sr_quota.service does not run on {name}\n",
        f"What to do: {scope.var('scope_runbooks')}{page}\n",
    )
    host = scope.host(name)
    try:
        host.check_output("systemctl stop sr_quota")
        assert until(lambda: all(text in mailbox.texts(netops) for text in wanted)), mailbox.texts(
            netops
        )
    finally:
        host.check_output("systemctl start sr_quota")
    over = f"over: ServiceDown {name} sr_quota.service\n"
    assert until(lambda: over in mailbox.texts(netops), 60), mailbox.texts(netops)
