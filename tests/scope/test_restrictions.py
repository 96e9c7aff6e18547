"""A transfer account can only transfer files: every other action is attempted and refused."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

pytestmark = pytest.mark.several_hosts

FORBIDDEN = [
    "shell",
    "exec",
    "scp -O",
    "terminal",
    "agent forwarding",
    "environment",
    "port forwarding",
    "reverse port forwarding",
    "X11 forwarding",
    "tunnel",
    "escape by ..",
    "escape by a link",
    "escape by an absolute link",
    "writing into the root",
    "writing among the homes",
    "overwriting authorized_keys",
    "a key of one's own",
]


@pytest.fixture(scope="module")
def tried(scope: Scope, client: Client) -> dict[str, dict[str, str]]:
    """Result of each attempt by login and name, for accounts with a user on the client's host."""
    found: dict[str, dict[str, str]] = {}
    for user in scope.var("accounts")["users"]:
        name, login = user["name"], user["login"]
        if client.host.run(f"test -f ~{name}/.ssh/id_ed25519").rc == 0:
            # A failed login counts against an address for five seconds; sshd blocks it after three.
            time.sleep(6 if found else 0)
            printed = client.python(client.sftp_name, login, ".ssh/id_ed25519", user=name)
            found[login] = json.loads(printed)
    assert client.login in found
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_is_refused(tried: dict[str, dict[str, str]], what: str) -> None:
    for login, attempts in tried.items():
        assert attempts[what].startswith("refused"), (login, attempts[what])


def test_nothing_is_tried_that_is_not_listed(tried: dict[str, dict[str, str]]) -> None:
    assert all(sorted(attempts) == sorted(FORBIDDEN) for attempts in tried.values())


def test_sftp_works_and_begins_at_home(client: Client) -> None:
    printed = client.ok(f"echo pwd | sftp -q -b - {client.login}@{client.sftp_name}")
    assert f"/home/{client.login}" in printed


def test_a_password_is_not_asked_for(client: Client) -> None:
    result = client.run(
        "ssh -o PreferredAuthentications=password,keyboard-interactive -o BatchMode=yes"
        f" {client.login}@{client.sftp_name}"
    )
    assert "Permission denied (publickey)" in result.stderr


def test_administrators_accounts_cannot_log_in_there(client: Client) -> None:
    result = client.run(f"ssh -o BatchMode=yes root@{client.sftp_name} true")
    assert "Permission denied" in result.stderr


def test_the_host_key_is_certified(scope: Scope, client: Client) -> None:
    keys = client.ok(f"ssh-keyscan -c -t ed25519 {client.sftp_name} 2>/dev/null")
    assert "ssh-ed25519-cert-v01@openssh.com" in keys, scope.var("scope_sftp_name")
