"""The page of ``make faults``: what users see of each fault, for how long, and what was lost."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from tests.scope.audit import markdown

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

_OUTCOMES: Final = ("passed", "failed", "error")
_COLUMNS: Final = {
    "event": "what fails",
    "users": "users see",
    "operator": "the operator does",
    "gap": "no file arrives for (s)",
    "wait": "a file waits for (s)",
    "back": "all is back after (s)",
    "files": "files",
    "lost": "lost",
    "twice": "sent twice",
}


def report(terminalreporter: pytest.TerminalReporter) -> str:
    """Return a page with each fault that was measured, and each other destructive test."""
    reports = [
        each
        for outcome in _OUTCOMES
        for each in terminalreporter.getreports(outcome)
        if "destructive" in each.keywords
    ]
    measured = [dict(each.user_properties) | {"outcome": each.outcome} for each in reports]
    rows = [_row(each) for each in measured if "event" in each]
    today = dt.datetime.now(tz=dt.UTC).date()
    return (
        f"# What fails, and what happens then\n\nLast result of `make faults`, {today}, of a scope"
        " in containers on two cores: times are upper bounds.\n\n"
        f"{_faults(rows)}## Other tests that break something\n\n"
        f"{_others(terminalreporter, reports)}"
    )


def _faults(rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = [(*_COLUMNS.values(), "outcome"), ("---",) * (len(_COLUMNS) + 1)]
    return (
        "Meanwhile a user's files were written, announced and sent, four a second, each fortieth in"
        " blocks. An account outside the product compared every file, and looked for the report of"
        " each and for what was left over. Times are from one arrival to the next, from the end of"
        " writing to the arrival, and, after the fault is over, until brokers, mounts, copies,"
        " balancers and addresses are all as before, without anybody's help.\n\n"
        f"{markdown([*head, *rows])}\n"
    )


def _row(measured: dict[str, Any]) -> tuple[str, ...]:
    return (*(str(measured[key]) for key in _COLUMNS), measured["outcome"])


def _others(terminalreporter: pytest.TerminalReporter, reports: Iterable[Any]) -> str:
    outcomes = {each.nodeid: each.outcome for each in reports if not dict(each.user_properties)}
    seconds: dict[str, float] = {}
    for phases in terminalreporter.stats.values():
        for each in phases:
            if getattr(each, "nodeid", "") in outcomes and hasattr(each, "duration"):
                seconds[each.nodeid] = seconds.get(each.nodeid, 0) + each.duration
    rows = [("what is done", "outcome", "s"), ("---", "---", "---")]
    rows += [
        (_name(test), outcomes[test], f"{seconds[test]:.0f}")
        for test in sorted(outcomes, key=_name)
    ]
    return markdown(rows)


def _name(test: str) -> str:
    """Return a test's name as words."""
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")
