"""The report of ``make faults``: each destructive test, its outcome, and how long it took."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from tests.scope.audit import markdown

if TYPE_CHECKING:
    import pytest

_OUTCOMES: Final = ("passed", "failed", "error")


def report(terminalreporter: pytest.TerminalReporter) -> str:
    """Return a page with a row for each test that was run and is destructive."""
    seconds: dict[str, float] = {}
    outcomes: dict[str, str] = {}
    for outcome in _OUTCOMES:
        for each in terminalreporter.getreports(outcome):
            if "destructive" in each.keywords:
                outcomes[each.nodeid] = outcome
    for reports in terminalreporter.stats.values():
        for each in reports:
            if getattr(each, "nodeid", "") in outcomes and hasattr(each, "duration"):
                seconds[each.nodeid] = seconds.get(each.nodeid, 0) + each.duration
    rows = [("what is done", "outcome", "s"), ("---", "---", "---")]
    tests = sorted(outcomes, key=_name)
    rows += [(_name(test), outcomes[test], f"{seconds[test]:.0f}") for test in tests]
    today = dt.datetime.now(tz=dt.UTC).date()
    return (
        f"# Last result of make faults\n\n{today}; seconds on two cores, with the test's"
        f" preparation and end.\n\n{markdown(rows)}"
    )


def _name(test: str) -> str:
    """Return a test's name as words."""
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")
