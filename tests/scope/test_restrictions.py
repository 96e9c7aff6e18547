"""A transfer account can transfer, and nothing else: each thing tried, each refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

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
def tried(client: Client) -> dict[str, str]:
    """What came of each try, by its name."""
    printed = client.python(client.sftp_name, client.login, ".ssh/id_ed25519")
    found: dict[str, str] = json.loads(printed)
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_is_refused(tried: dict[str, str], what: str) -> None:
    assert tried[what].startswith("refused"), tried[what]


def test_nothing_is_tried_that_is_not_listed(tried: dict[str, str]) -> None:
    assert sorted(tried) == sorted(FORBIDDEN)


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
