"""Ansible filters that return the files that the accounts file expects of users and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def accounts_expected(
    accounts: dict[str, list[dict[str, Any]]], prefix: str
) -> list[dict[str, Any]]:
    """Return a table for each expectation, with the options of ``expectFile`` of sr_monitor.

    ``prefix`` is that of broker users.
    """
    return [
        {kind: prefix + entry["name"] if kind == "user" else entry["name"], **wanted}
        for kind, entry, wanted in _expectations(accounts)
    ]


def accounts_expected_mistakes(accounts: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return a line for each time zone that does not exist, and for names that are used twice."""
    lines = []
    seen: set[tuple[str, str, str]] = set()
    for kind, entry, wanted in _expectations(accounts):
        where = f"accounts.{kind}s: expect of {entry['name']}"
        try:
            ZoneInfo(wanted.get("timezone", "UTC"))
        except (ValueError, OSError, KeyError):
            lines.append(f"{where}: no time zone like America/Toronto: {wanted['timezone']}")
        title = wanted.get("name", wanted["match"])
        if (kind, entry["name"], title) in seen:
            lines.append(f"{where}: two are called {title}; give each a name")
        seen.add((kind, entry["name"], title))
    return lines


def _expectations(
    accounts: dict[str, list[dict[str, Any]]],
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for kind in ("user", "group"):
        for entry in accounts[f"{kind}s"]:
            if "revoked" not in entry:
                yield from ((kind, entry, wanted) for wanted in entry.get("expect", []))


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "accounts_expected": accounts_expected,
            "accounts_expected_mistakes": accounts_expected_mistakes,
        }
