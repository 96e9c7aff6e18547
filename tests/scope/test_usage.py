"""A user sees from his own host how much of the quotas is used, by his broker account alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.site import wait_until
from tests.scope.test_disk import USAGE

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

pytestmark = pytest.mark.timeout(300)  # what is told may be a minute old

Rows = list[dict[str, Any]]


def counted(scope: Scope, client: Client) -> Rows:
    """Return what sr_quota has counted of the user and the user's group."""
    printed = scope.host(scope.group("monitoring")[0]).check_output("sr_quota --show --json")
    rows = [json.loads(line) for line in printed.splitlines()]
    users = {f"u{user['name']}": user for user in scope.var("accounts")["users"]}
    names = [("user", client.broker_user), ("group", users[client.broker_user].get("group"))]
    return [row for name in names for row in rows if (row["kind"], row["name"]) == name]


def shown(client: Client) -> Rows:
    """Return what the user sees."""
    usage = json.loads(client.ok("sr_status --json"))["usage"]
    return [] if usage is None else list(usage["used"])


def sent(rows: Rows) -> list[tuple[Any, ...]]:
    return [(row["kind"], row["name"], row["day"], row["dayLimit"], row["month"]) for row in rows]


@pytest.mark.one_host
def test_status_on_the_users_host_shows_what_was_counted_of_him_and_his_group(
    scope: Scope, client: Client
) -> None:
    before = (counted(scope, client) or [{"day": 0}])[0]["day"]
    size = 100_000
    client.ok(f"head -c {size} /dev/urandom > spec-usage")
    client.ok("sr_post --wait --timeout 60s spec-usage")
    try:
        wait_until(lambda: (counted(scope, client) or [{"day": 0}])[0]["day"] >= before + size, 30)
        # What the group has sent is told when it is a per cent of a limit, or with the user's.
        wait_until(
            lambda: sent(shown(client))[:1] == sent(counted(scope, client))[:1],
            150,
            lambda: f"{shown(client)}\n{counted(scope, client)}",
        )
        lines = client.ok("sr_status").splitlines()
        assert any(line.startswith(f"user {client.broker_user}: sent ") for line in lines), lines
    finally:
        client.run("rm -f spec-usage")


@pytest.mark.one_host
def test_status_on_the_users_host_shows_disk_space_where_nodes_tell_it(
    scope: Scope, client: Client
) -> None:
    node = scope.host(scope.group("sftp_nodes")[0])
    told = node.run(USAGE).stdout
    if f'"{client.broker_user.removeprefix("u")}"' not in told:
        pytest.skip("the user has no limit of disk space here")
    wait_until(lambda: shown(client) and shown(client)[0]["diskLimit"], 150, lambda: told)
    (user,) = [row for row in shown(client) if row["kind"] == "user"]
    assert 0 <= user["disk"] <= user["diskLimit"] * 1.2
    assert user["diskLimit"] == counted(scope, client)[0]["diskLimit"]
