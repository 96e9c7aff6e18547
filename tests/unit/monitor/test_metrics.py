"""What Prometheus gets has few labels, whatever is in the reports."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from prometheus_client import generate_latest

from sarra_lite.config.expected import Expected
from sarra_lite.config.monitor import MonitorConfig
from sarra_lite.config.schema import build
from sarra_lite.errors import ConfigError
from sarra_lite.monitor.anomalies import Event
from sarra_lite.monitor.due import Due
from sarra_lite.monitor.expected import State
from sarra_lite.monitor.files import RETRYING, WAITING
from sarra_lite.monitor.history import Figures, Unreported
from sarra_lite.monitor.metrics import Metrics
from sarra_lite.monitor.records import DAY, Outcome, Record

NOW = 1_795_834_000_000


def config(**values: Any) -> MonitorConfig:
    broker = {"broker": "amqp://umonitor@127.0.0.1/"}
    return build(MonitorConfig, broker | values, "monitor.toml")


def sent(user: str, code: int = 201, waited: int = 3000) -> Record:
    outcome = Outcome(NOW, 1, code, "", 1, "", "", 0, final=True, arrived=code == 201)
    return Record(user, b"f", NOW - waited, 10, block=False, outcome=outcome)


def shown(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_files_are_counted_by_group_user_and_class_of_code() -> None:
    metrics = Metrics(config(member={"ua": "g"}))
    metrics.count([sent("ua"), sent("ua"), sent("ua", 410), sent("ub", 507)])
    found = shown(metrics)
    assert found['sarra_files_total{class="2xx",group="g",user="ua"}'] == 2
    assert found['sarra_files_total{class="4xx",group="g",user="ua"}'] == 1
    assert found['sarra_files_total{class="5xx",group="",user="ub"}'] == 1
    assert found['sarra_bytes_total{group="g",user="ua"}'] == 20
    assert found['sarra_delivery_seconds_bucket{group="g",le="5.0"}'] == 2


def test_a_time_of_announcement_that_cannot_be_does_not_spoil_the_sum() -> None:
    metrics = Metrics(config(retention=1))
    metrics.count([sent("ua", waited=-(10**12)), sent("ua", waited=10**12)])
    assert shown(metrics)['sarra_delivery_seconds_sum{group=""}'] == DAY / 1000


def test_more_users_than_the_maximum_add_no_labels() -> None:
    metrics = Metrics(config(maxUsers=3))
    metrics.count([sent(f"u{number}") for number in range(100)])
    found = {name: value for name, value in shown(metrics).items() if "files_total" in name}
    assert len(found) == 4
    assert found['sarra_files_total{class="2xx",group="",user="other"}'] == 97


def test_what_the_store_has_is_shown_by_state() -> None:
    metrics = Metrics(config(maxUsers=1))
    rows = [Unreported("ua", WAITING, 2, 0), Unreported("ua", RETRYING, 1, 0)]
    rows += [Unreported("ub", WAITING, 3, 0), Unreported("uc", WAITING, 4, NOW * 10)]
    metrics.shown.figures = Figures(rows, {"ua": 5})
    metrics.shown.lag = {"q_xlog": 7}
    found = shown(metrics)
    assert found['sarra_files_now{group="",state="waiting",user="ua"}'] == 2
    assert found['sarra_files_now{group="",state="retrying",user="ua"}'] == 1
    assert found['sarra_files_now{group="",state="failed",user="ua"}'] == 5
    assert found['sarra_files_now{group="",state="waiting",user="other"}'] == 7
    assert found['sarra_stream_lag_messages{stream="q_xlog"}'] == 7
    assert found["sarra_store_full"] == 0
    assert found['sarra_oldest_unreported_seconds{group="",user="other"}'] > 0


def test_anomalies_are_shown_by_kind_of_users_and_of_groups() -> None:
    metrics = Metrics(config(maxUsers=1))
    events = [Event("g", "ua", "rate"), Event("g", "", "rate"), Event("g", "ub", "count")]
    metrics.shown.anomalies = [*events, Event("g", "uc", "count")]
    found = {name: value for name, value in shown(metrics).items() if "anomalies" in name}
    assert found == {
        'sarra_anomalies{group="",kind="rate",user="ua"}': 1,
        'sarra_anomalies{group="g",kind="rate",user=""}': 1,
        'sarra_anomalies{group="",kind="count",user="other"}': 2,
    }


def test_of_expectations_the_last_and_the_next_are_shown_by_owner_and_name() -> None:
    metrics = Metrics(config())
    obs = Expected(user="ua", match="obs/*", by="06:00", name="obs", least=4)
    group = Expected(group="g", match="all/*", by="06:00")
    over, running = Due(date(2020, 1, 1), 0, 3, 4), Due(date(2099, 1, 1), 0, 3, 10**14)
    metrics.shown.expected = [State(obs, over, "missed", 1), State(obs, running, "warning", 2)]
    metrics.shown.expected += [State(group, over, "kept", 1), State(group, running, "kept", 1)]
    found = {name: value for name, value in shown(metrics).items() if "expected" in name}
    of_obs, of_group = 'expected="obs",group="",user="ua"', 'expected="all/*",group="g",user=""'
    assert found == {
        f"sarra_expected_missed{{{of_obs}}}": 1,
        f"sarra_expected_missed{{{of_group}}}": 0,
        f"sarra_expected_warning{{{of_obs}}}": 1,
        f"sarra_expected_warning{{{of_group}}}": 0,
        f"sarra_expected_files{{{of_obs}}}": 2,
        f"sarra_expected_files{{{of_group}}}": 1,
        f"sarra_expected_least_files{{{of_obs}}}": 4,
        f"sarra_expected_least_files{{{of_group}}}": 1,
    }


@pytest.mark.parametrize("address", ["9411", "host", "host:", ":9411", "host:0", "h:99999", "h:x"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"metricsAddress: not a host and port"):
        config(metricsAddress=address)


def test_an_address_may_be_of_ipv6_or_none() -> None:
    assert config(metricsAddress="[::1]:9411").metrics_endpoint == ("::1", 9411)
    assert config(metricsAddress="").metrics_endpoint is None
