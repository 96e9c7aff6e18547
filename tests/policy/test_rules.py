"""Each rule of alerts fires when it must, is silent when it must, and tells what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted(ROOT.glob("roles/prometheus/files/rules/*.yml"))
CASES = sorted(ROOT.glob("tests/policy/rules/*.yml"))
PAGES = sorted(ROOT.glob("docs/runbooks/*.md"))
PARTS = ("What users see.", "How to look", "What to do.", "When to wake somebody.")


def rules() -> list[dict[str, Any]]:
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def expected(alert: str) -> set[bool]:
    """Return whether there are cases in which an alert fires, and in which it does not."""
    return {
        bool(case["exp_alerts"])
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_has_cases_of_both_kinds_and_a_page(rule: dict[str, Any]) -> None:
    always = rule["expr"] == "vector(1)"
    assert expected(rule["alert"]) == ({True} if always else {True, False})
    assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert ROOT / rule["annotations"]["runbook"] in PAGES


def test_no_alert_has_two_rules_and_no_page_is_without_one() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert {ROOT / rule["annotations"]["runbook"] for rule in rules()} == set(PAGES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_short_and_says_what_to_do(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 30
    assert tuple(re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE)) == PARTS
    assert "```sh\n" in text


def test_promtool_finds_that_each_case_is_as_expected() -> None:
    if not (promtool := shutil.which("promtool")):
        pytest.skip("needs promtool")
    assert [path.name for path in CASES] == [path.name for path in FILES]
    done = subprocess.run(
        [promtool, "test", "rules", *map(str, CASES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
