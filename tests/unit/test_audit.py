"""Findings of audit tools are accepted by waivers with a date only."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from tests.scope.audit import Findings, Waiver, mismatches, waivers

if TYPE_CHECKING:
    from pathlib import Path

TODAY = dt.date(2026, 6, 1)


def waiver(until: dt.date) -> Waiver:
    return Waiver("lynis", "SSH-.*", "seen", until)


def test_a_finding_without_a_waiver_is_open() -> None:
    assert Findings([], TODAY).add("lynis", ["SSH-1 x"]) == ["SSH-1 x"]


def test_a_waiver_holds_until_its_date_for_its_tool_and_the_whole_finding() -> None:
    findings = Findings([waiver(TODAY)], TODAY)
    assert findings.add("lynis", ["SSH-1 x"]) == []
    assert findings.add("nmap", ["SSH-1 x"]) == ["SSH-1 x"]
    assert findings.add("lynis", ["a SSH-1 x"]) == ["a SSH-1 x"]
    late = Findings([waiver(TODAY - dt.timedelta(days=1))], TODAY)
    assert late.add("lynis", ["SSH-1 x"]) == ["SSH-1 x"]


def test_the_table_names_tools_that_find_nothing() -> None:
    findings = Findings([waiver(TODAY)], TODAY)
    findings.add("nmap", [])
    findings.add("lynis", ["SSH-1 a|b"])
    assert findings.table().splitlines()[2:] == [
        "| nmap | nothing |  |",
        "| lynis | SSH-1 a/b | seen (until 2026-06-01) |",
    ]


def test_the_waivers_of_the_project_can_be_read(tmp_path: Path) -> None:
    assert all(found.reason for found in waivers())
    path = tmp_path / "waivers.toml"
    path.write_text("[[waiver]]\ntool = 'x'\nfinding = 'y'\nreason = 'z'\nuntil = 2026-01-01\n")
    assert waivers(path) == [Waiver("x", "y", "z", dt.date(2026, 1, 1))]


def test_each_difference_from_a_policy_of_ssh_audit_is_a_finding() -> None:
    def error(required: list[str], optional: list[str], actual: list[str]) -> list[str]:
        keys = ("mismatched_field", "expected_required", "expected_optional", "actual")
        return list(
            mismatches([dict(zip(keys, ("Keys", required, optional, actual), strict=True))])
        )

    assert error(["a", "b"], [""], ["a", "x"]) == ["Keys: x is not in the policy", "Keys: lacks b"]
    assert error(["a", "b"], ["x"], ["b", "x", "a"]) == ["Keys: the order is b, x, a"]


def test_the_report_has_the_date_the_tests_the_table_and_the_tools_versions() -> None:
    findings = Findings([], TODAY)
    findings.add("nmap", [], "7.95")
    text = findings.report("make security", {"passed": 3, "failed": 0})
    assert "2026-06-01; tests: 3 passed, 0 failed." in text
    assert "| nmap | nothing |  |\n" in text
    assert "| nmap | 7.95 |\n" in text
