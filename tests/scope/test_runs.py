"""Runs of the playbooks: check mode, killed, a host down, an account removed, purge."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.timeout(500)]

RECAP = re.compile(
    r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE
)


def changed(output: str) -> dict[str, int]:
    """Return the number of changed tasks by host."""
    return {host: int(number) for host, number, _, _ in RECAP.findall(output)}


def test_check_mode_on_hosts_that_are_as_they_should_be_finds_nothing(scope: Scope) -> None:
    done = scope.playbook("site", "--check")
    assert done.returncode == 0, done.stdout
    assert set(changed(done.stdout).values()) == {0}, done.stdout


def test_check_mode_shows_what_would_change_and_changes_nothing(scope: Scope) -> None:
    arguments = ("--tags", "haproxy", "--limit", "localhost:load_balancers")
    done = scope.playbook("site", *arguments, "--check", "--diff", "-e", "haproxy_ssh_timeout=2h")
    assert done.returncode == 0, done.stdout
    assert "+    timeout client 2h" in done.stdout
    for name in scope.group("load_balancers"):
        assert changed(done.stdout)[name] > 0
        assert "client 2h" not in scope.host(name).file("/etc/haproxy/haproxy.cfg").content_string


def test_a_run_that_was_killed_is_completed_by_the_next(scope: Scope) -> None:
    """HAProxy still runs with the old file, and no handler of the killed run will reload it."""
    arguments = ("--tags", "haproxy", "--limit", "localhost:load_balancers")
    different = ("-e", "haproxy_maxconn=3999")
    killed = subprocess.Popen(
        [*scope.command("site"), *arguments, *different],
        env=scope.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert killed.stdout is not None
    for line in killed.stdout:
        if "haproxy : Write the unit that routes replies to clients' addresses" in line:
            break
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    name = scope.group("load_balancers")[0]
    limit = "echo 'show info' | socat /run/haproxy/admin.sock - | sed -n 's/^Maxconn: //p'"
    assert "maxconn 3999" in scope.host(name).file("/etc/haproxy/haproxy.cfg").content_string
    assert scope.host(name).check_output(limit) == "8000"

    def loaded(value: str) -> bool:
        return bool(scope.host(name).check_output(limit).strip() == value)

    try:
        done = scope.playbook("site", *arguments, *different)
        assert done.returncode == 0, done.stdout
        assert until(lambda: loaded("7998"))
    finally:
        back = scope.playbook("site", *arguments)
    assert back.returncode == 0, back.stdout
    assert until(lambda: loaded("8000"))
    assert set(changed(scope.playbook("site", *arguments).stdout).values()) == {0}


@pytest.fixture
def without_bobby(scope: Scope, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Arguments that omit the last user from the accounts; the user is restored afterwards."""
    accounts = scope.var("accounts")
    left = {**accounts, "users": accounts["users"][:-1]}
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps({"accounts": left}))
    tags = ("--tags", "accounts,broker_objects")
    yield (*tags, "-e", f"@{path}")
    back = scope.playbook("site", *tags)
    assert back.returncode == 0, back.stdout


def test_an_account_that_is_taken_out_is_shut_out_at_once_and_its_files_stay(
    scope: Scope, client: Client, without_bobby: tuple[str, ...]
) -> None:
    user = scope.var("accounts")["users"][-1]
    name, login = user["name"], user["login"]
    address = f"{login}@{client.sftp_name}"
    client.ok(
        f"echo kept > kept; echo put kept | sftp -q -b - {address}; rm -f session session.rc;"
        f" (sleep 300 | sftp -q {address}; echo $? > session.rc) > session 2>&1 & sleep 3",
        user=name,
    )
    assert client.run("cat ~/session.rc", user=name).rc != 0
    done = scope.playbook("site", *without_bobby)
    assert done.returncode == 0, done.stdout
    refused = client.run(f"echo pwd | sftp -b - {address}", user=name)
    assert "Permission denied" in refused.stderr
    # The playbook ended the session, which would have lasted 300 seconds.
    processes = f"pgrep -u {user['uid']} || true"
    for node in scope.group("sftp_nodes"):
        assert scope.host(node).check_output(processes) == "", node
        kept = scope.host(node).file(f"{scope.var('scope_homes')}/{login}/kept")
        assert kept.content_string == "kept\n"
    broker = scope.host(scope.group("brokers")[0])
    users = broker.check_output("rabbitmqctl -q list_users").splitlines()
    assert not [line for line in users if line.split()[0] == f"u{name}"]


@pytest.fixture
def away(scope: Scope) -> Iterator[str]:
    """An SFTP node that does not answer during the test."""
    if not scope.var("lab_networks"):
        pytest.skip("only a lab can take a host away")
    name = scope.group("sftp_nodes")[-1]
    container = f"sarra-{name}"
    subprocess.run(["podman", "pause", container], check=True, env=scope.environment)
    yield name
    subprocess.run(["podman", "unpause", container], check=True, env=scope.environment)


def test_a_host_that_does_not_answer_stops_the_run_before_anything_is_touched(
    scope: Scope, away: str
) -> None:
    done = scope.playbook("site", "--timeout", "5", "--ssh-extra-args", "-o ControlPath=none")
    assert done.returncode != 0
    assert f"fatal: [{away}]: UNREACHABLE!" in done.stdout
    assert "Set up what every host has" not in done.stdout
    assert set(changed(done.stdout).values()) == {0}


def test_a_purge_leaves_users_files_and_site_brings_all_back(scope: Scope, client: Client) -> None:
    if len(scope.group("scope")) > 1:
        pytest.skip("a scope of many hosts is not purged to see how it goes")
    (host,) = scope.group("scope")
    client.ok("echo before > before; sr_post --quiet --wait before")
    unsure = scope.playbook("purge", "-e", "purge_confirmed=maybe")
    assert unsure.returncode != 0
    assert "nothing was touched" in unsure.stdout
    purged = scope.playbook("purge", "-e", "purge_confirmed=yes")
    assert purged.returncode == 0, purged.stdout
    for service in ("haproxy", "keepalived", "rabbitmq-server", "sshd-transfer", "sr_src2log@1"):
        assert not scope.host(host).service(service).is_running, service
    home = f"{scope.var('scope_homes')}/{client.login}/{client.directory}"
    assert scope.host(host).file(f"{home}/before").content_string == "before\n"
    again = scope.playbook("purge", "-e", "purge_confirmed=yes")
    assert set(changed(again.stdout).values()) == {0}, again.stdout
    checked = scope.playbook("site", "--check")
    assert checked.returncode == 0, checked.stdout
    back = scope.playbook("site")
    assert back.returncode == 0, back.stdout
    client.ok("echo after > after; sr_post --quiet --wait after")
    assert scope.host(host).file(f"{home}/before").content_string == "before\n"
    time.sleep(1)
    assert scope.host(host).file(f"{home}/after").content_string == "after\n"
