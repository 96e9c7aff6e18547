"""The dashboard for Grafana, and the page of health, ask for metrics that the scope has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from sarra_lite.config.credentials import parse_url
from sarra_lite.config.monitor import MonitorConfig
from sarra_lite.monitor.metrics import Metrics
from sarra_lite.quota import disks
from sarra_lite.web import health

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs/grafana/scope.json").read_text())
EXPRESSIONS = [
    target["expr"].replace("$__rate_interval", "5m")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
PAGE = [*health.EXPRESSIONS.values(), *disks.DISK.values()]
RULES = "".join(path.read_text() for path in ROOT.glob("roles/prometheus/files/rules/*.yml"))
CANARY = (ROOT / "roles/canary/files/canary.py").read_text()
OURS = re.compile(r"\bsarra_[a-z_]+")
OTHERS = re.compile(r"\b(?:node|haproxy|rabbitmq|scope|sftp)_[a-z_]+")
SAMPLES = ("_bucket", "_sum", "_count")  # of a histogram


def test_each_metric_of_sr_monitor_is_one_that_it_has() -> None:
    metrics = Metrics(MonitorConfig(broker=parse_url("amqps://u:p@h/", ["amqps"])))
    text = generate_latest(metrics.registry).decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    known = {
        f"{name}{end}"
        for name, kind in types.items()
        for end in (SAMPLES if kind == "histogram" else ("",))
    }
    assert {name for expr in EXPRESSIONS for name in OURS.findall(expr)} <= known


def test_promtool_reads_each_expression(tmp_path: Path) -> None:
    if not (promtool := shutil.which("promtool")):
        pytest.skip("needs promtool")
    expressions = enumerate(EXPRESSIONS + PAGE)
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in expressions]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [promtool, "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("expression", PAGE)
def test_the_page_asks_for_metrics_and_labels_that_rules_know(expression: str) -> None:
    # Each rule has a case of promtool, so these are names that exporters use; or the canary's own.
    names = set(OTHERS.findall(expression)) | set(re.findall(r"[{,] ?(\w+)!?[=~]", expression))
    assert not {name for name in names if name not in RULES + CANARY}


def test_panels_have_a_title_and_do_not_overlap() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24  # Grafana's grid
                assert (x, y) not in places
                places.add((x, y))
