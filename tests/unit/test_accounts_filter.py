"""The filter that limits how many accounts a run removes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.plugins import load

OTHERS = {"prefix": "u", "taken": ["unetops", "usrc2log", "guest"]}


def removals(hosts: list[dict[str, Any]], kept: list[str], **limits: float) -> dict[str, Any]:
    plugin = load("roles/accounts/filter_plugins/accounts.py")
    users = [{"name": name} for name in kept]
    given = {"number": 10, "share": 0.2} | limits
    found: dict[str, Any] = plugin.accounts_removals(
        hosts, {"users": users}, OTHERS, given["number"], given["share"]
    )
    return found


def node(*names: str) -> dict[str, Any]:
    lines = [f"{name}01:x:20001:19999:{name}:/home:/usr/sbin/nologin" for name in names]
    return {"__accounts_of_node": {"stdout_lines": lines}}


def broker(*users: str) -> dict[str, Any]:
    return {"__accounts_of_broker": {"stdout_lines": [f"{user}\t[scope]" for user in users]}}


def test_nodes_and_brokers_are_asked_for_accounts_and_others_are_not_counted() -> None:
    hosts = [node("ann", "bob"), broker("uann", "ucy", "unetops", "guest", "admin", "uX"), {}]
    found = removals(hosts, ["ann"])
    assert found == {"known": 3, "removed": ["bob", "cy"], "ceiling": 1}


def test_broker_users_that_others_made_are_no_removals() -> None:
    lines = ["uptimekuma\t[]", "uann\t[scope]", "ubob\t[monitoring]", "ucy\t[monitoring, scope]"]
    lines += ["udan\t[scopes, telescope]"]
    found = removals([{"__accounts_of_broker": {"stdout_lines": lines}}], ["ann"])
    assert (found["known"], found["removed"]) == (2, ["cy"])


@pytest.mark.parametrize(
    ("known", "limits", "ceiling"),
    [
        (0, {}, 0),
        (1, {}, 0),  # the last one
        (2, {}, 1),
        (4, {}, 1),
        (10, {}, 2),
        (1000, {}, 10),
        (1000, {"number": 500}, 200),
        (1000, {"number": 0}, 1),
        (10, {"share": 1.0}, 9),
    ],
)
def test_the_smaller_limit_counts_but_one_may_go_and_never_all(
    known: int, limits: dict[str, float], ceiling: int
) -> None:
    names = [f"user{number}" for number in range(known)]
    assert removals([node(*names)], names, **limits)["ceiling"] == ceiling
