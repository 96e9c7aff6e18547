"""Disk quotas of users and groups, from users' clients, and what tells their use."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope

MIB = 1024 * 1024
UNITS = {"MiB": MIB, "GiB": 1024 * MIB, "TiB": 1024 * 1024 * MIB}
USAGE = "/usr/local/libexec/sftp-disk-usage /etc/ssh/transfer/disk-limits.json --json"
TRUNCATE = """
import paramiko, sys
transport = paramiko.Transport((sys.argv[1], 22))
key = paramiko.Ed25519Key.from_private_key_file(".ssh/id_ed25519")
transport.connect(username=sys.argv[2], pkey=key)
sftp = paramiko.SFTPClient.from_transport(transport)
with sftp.open("holes", "w") as file:
    for size in (1024, 2**40):
        try:
            file.truncate(size)
            print("accepted", size)
        except OSError as error:
            print("refused", size, error)
print(sorted(sftp.listdir()))
"""


def size(text: str) -> int:
    number, unit = text.split()
    return int(float(number) * UNITS[unit])


@pytest.fixture(scope="module")
def limited(scope: Scope, client: Client) -> Iterator[dict[str, Any]]:
    """The account with the smallest limit and a user on the client's host; its home is emptied."""
    users = [
        user
        for user in scope.var("accounts")["users"]
        if "disk" in user and client.host.run(f"test -f ~{user['name']}/.ssh/id_ed25519").rc == 0
    ]
    if not users:
        pytest.skip("no account has a limit of disk space")
    user = min(users, key=lambda each: size(each["disk"]))
    if size(user["disk"]) > 1024 * MIB:
        pytest.skip("the limits are too large to be reached in a test")
    node = scope.host(scope.group("sftp_nodes")[0])
    yield user
    client.run("rm -f big", user=user["name"])
    node.check_output(f"find {scope.var('scope_homes')}/{user['login']} -type f -delete")


def sftp(client: Client, user: dict[str, Any], commands: str, options: str = "") -> Any:
    command = f"echo '{commands}' | sftp -q {options} -b - {user['login']}@{client.sftp_name}"
    return client.run(command, user=user["name"])


def usage(scope: Scope, name: str) -> dict[str, Any]:
    printed = scope.host(scope.group("sftp_nodes")[0]).run(USAGE).stdout
    found: dict[str, Any] = next(each for each in json.loads(printed) if each["name"] == name)
    return found


def test_the_server_tells_a_client_its_quota(
    scope: Scope, client: Client, limited: dict[str, Any]
) -> None:
    total_kib = int(sftp(client, limited, "df").stdout.splitlines()[-1].split()[0])
    assert abs(total_kib * 1024 - size(limited["disk"])) < MIB, scope.var("scope_shared_fs")


def test_a_file_that_is_larger_only_by_its_holes_is_refused(
    client: Client, limited: dict[str, Any]
) -> None:
    """The session goes on: the limit of sizes must not end it."""
    command = f"/opt/sarra_lite/current/bin/python -c {shlex.quote(TRUNCATE)}"
    printed = client.ok(f"{command} {client.sftp_name} {limited['login']}", user=limited["name"])
    assert [line.split()[:2] for line in printed.splitlines()[:2]] == [
        ["accepted", "1024"],
        ["refused", f"{2**40}"],
    ]
    assert "holes" in printed.splitlines()[-1]


def test_a_user_can_fill_only_the_quota_and_nobody_else_notices(
    scope: Scope, client: Client, limited: dict[str, Any]
) -> None:
    """What is written in the two seconds for which GlusterFS trusts what it knows may be more."""
    limit = size(limited["disk"])
    client.ok(f"fallocate -l {limit * 2} big", user=limited["name"])
    ten_mb_a_second = f"-l {10 * 8000}"
    assert sftp(client, limited, "put big one", ten_mb_a_second).rc
    assert sftp(client, limited, "put big two").rc
    node = scope.host(scope.group("sftp_nodes")[0])
    home = f"{scope.var('scope_homes')}/{limited['login']}"
    used = int(node.check_output(f"du -s --block-size=1 {home}").split()[0])
    assert used < limit * 1.1 + 20 * MIB
    client.ok(f"echo x > f; echo put f | sftp -q -b - {client.login}@{client.sftp_name}")


def test_the_use_is_told_with_the_threshold_in_one_place(
    scope: Scope, limited: dict[str, Any]
) -> None:
    found = usage(scope, limited["name"])
    assert found["in_effect"]
    assert found["above"] == 95
    node = scope.host(scope.group("sftp_nodes")[0])
    node.check_output("systemctl start sftp-disk-usage.service")
    metrics = node.file("/run/sftp-disk-usage/usage.prom").content_string
    labels = f'{{kind="user",name="{limited["name"]}"}}'
    assert f"sftp_disk_limit_bytes{labels} {size(limited['disk'])}\n" in metrics
    assert f"sftp_disk_quota_in_effect{labels} 1\n" in metrics
    logged = node.check_output("journalctl -u sftp-disk-usage --since -5min -p warning")
    assert f"user {limited['name']}: " in logged
    shown = scope.playbook("status", "--limit", scope.group("sftp_nodes")[0])
    assert f"user {limited['name']}: " in shown.stdout
    assert "above 95 %" in shown.stdout


def test_every_limit_is_in_effect(scope: Scope) -> None:
    accounts = scope.var("accounts")
    for entry in [*accounts["groups"], *accounts["users"]]:
        if "disk" in entry:
            assert usage(scope, entry["name"])["in_effect"], entry["name"]


def test_a_sender_learns_before_it_sends_which_quota_is_too_small(
    scope: Scope, client: Client
) -> None:
    user = next(each for each in scope.var("accounts")["users"] if each["login"] == client.login)
    if "disk" not in user or size(user["disk"]) > 8 * 1024 * MIB:
        pytest.skip("the client's user has no quota, or one too large for a test")
    name = f"large-{int(time.time())}"
    client.ok(f"fallocate -l {size(user['disk']) + MIB} {name} && sr_post --quiet {name}")
    try:
        deadline = time.monotonic() + 60
        found: list[str] = []
        while not found and time.monotonic() < deadline:
            lines = client.ok("sr_log --json --since 5m").splitlines()
            reports = [json.loads(line) for line in lines]
            found = [r["message"] for r in reports if (r["relPath"], r["code"]) == (name, 507)]
        assert f"left, quota of /home/{client.login}" in found[0]
    finally:
        client.ok(f"rm {name}")  # the next attempt gives it up


def test_users_files_are_not_on_the_disk_that_the_host_needs(scope: Scope) -> None:
    bricks, homes = ("/srv/gluster", "shared_fs_servers"), (scope.var("scope_homes"), "sftp_nodes")
    path, group = bricks if scope.var("scope_shared_fs") == "glusterfs" else homes
    for name in scope.group(group):
        root, data = scope.host(name).check_output(f"stat --format=%d / {path}").split()
        assert root != data, name
