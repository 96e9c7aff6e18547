"""A scope that was lost and restored: a user, whose machine was left alone, goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.restored, pytest.mark.timeout(300)]
USER, LOGIN = "bob", "bob001"


def on_nodes(scope: Scope, command: str) -> set[str]:
    """Return what a command prints on the nodes, in the home of the user."""
    home = f"{scope.var('scope_homes')}/{LOGIN}/incoming"
    nodes = scope.group("sftp_nodes")
    return {scope.host(name).check_output(f"cd {home} && {command}") for name in nodes}


def test_a_user_sends_with_the_key_password_and_known_hosts_of_before(
    scope: Scope, client: Client
) -> None:
    client.ok("./send after.txt", user=USER)
    assert on_nodes(scope, "cat after.txt") == {"after.txt"}


def test_users_files_are_back_with_their_owners_and_times(scope: Scope, client: Client) -> None:
    uid = next(u["uid"] for u in scope.var("accounts")["users"] if u["login"] == LOGIN)
    sent = client.ok("stat --format %Y before.txt", user=USER).strip()
    assert on_nodes(scope, "stat --format '%u %Y' before.txt && cat before.txt") == {
        f"{uid} {sent}\nbefore.txt"
    }


def test_the_history_of_before_is_back(scope: Scope) -> None:
    for name in scope.group("monitoring"):
        shown = scope.host(name).check_output("sr_monitor --show --user ubob")
        assert "before.txt" in shown
