"""Runs of the playbooks: check mode, killed, a host down, an account removed, purge."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.scope.conftest import LOCAL_UID
from tests.scope.test_failover import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.timeout(500)]

RECAP = re.compile(
    r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE
)
HAPROXY = ("--tags", "haproxy", "--limit", "load_balancers")
LIMIT = "echo 'show info' | socat /run/haproxy/admin.sock - | sed -n 's/^Maxconn: //p'"


def changed(output: str) -> dict[str, int]:
    """Return the number of changed tasks by host."""
    return {host: int(number) for host, number, _, _ in RECAP.findall(output)}


@pytest.mark.faults
@pytest.mark.one_host
def test_check_mode_on_hosts_that_are_as_they_should_be_finds_nothing(scope: Scope) -> None:
    done = scope.playbook("site", "--check")
    assert done.returncode == 0, done.stdout
    assert set(changed(done.stdout).values()) == {0}, done.stdout


@pytest.mark.one_host
def test_check_mode_shows_what_would_change_and_changes_nothing(scope: Scope) -> None:
    done = scope.playbook("site", *HAPROXY, "--check", "--diff", "-e", "haproxy_ssh_timeout=2h")
    assert done.returncode == 0, done.stdout
    assert "+    timeout client 2h" in done.stdout
    for name in scope.group("load_balancers"):
        assert changed(done.stdout)[name] > 0
        assert "client 2h" not in scope.host(name).file("/etc/haproxy/haproxy.cfg").content_string


@pytest.mark.one_host
def test_a_service_that_runs_with_a_hand_edit_is_loaded_again(scope: Scope) -> None:
    host = scope.host(scope.group("load_balancers")[0])
    host.check_output("sed -i 's/maxconn 8000/maxconn 7000/' /etc/haproxy/haproxy.cfg")
    host.check_output("systemctl restart haproxy")
    assert host.check_output(LIMIT) == "7000"
    done = scope.playbook("site", *HAPROXY)
    assert done.returncode == 0, done.stdout
    assert until(lambda: host.check_output(LIMIT) == "8000")


@pytest.mark.faults
def test_a_change_that_keeps_clients_out_stops_after_the_first_load_balancer(scope: Scope) -> None:
    first, *others = scope.group("load_balancers")
    if not others:
        pytest.skip("there is one load balancer")
    command = "echo 'show stat ssh 4 -1' | socat /run/haproxy/admin.sock - | cut -d, -f18"
    try:
        done = scope.playbook("site", *HAPROXY, "-e", "haproxy_sftp_check_port=1")
        assert done.returncode != 0
        assert f"fatal: [{first}]" in done.stdout
        assert "UP" not in scope.host(first).check_output(command)
        for name in others:
            assert f"fatal: [{name}]" not in done.stdout
            assert "DOWN" not in scope.host(name).check_output(command)
    finally:
        back = scope.playbook("site", *HAPROXY)
    assert back.returncode == 0, back.stdout
    assert until(lambda: "DOWN" not in scope.host(first).check_output(command))


@pytest.mark.one_host
def test_a_changed_erlang_cookie_is_not_written_under_a_running_member(scope: Scope) -> None:
    arguments = ("--tags", "rabbitmq", "-e", "rabbitmq_erlang_cookie=another")
    done = scope.playbook("site", *arguments)
    assert done.returncode != 0
    said = "rabbitmq_erlang_cookie is not the cookie with which this member runs"
    assert said in " ".join(done.stdout.split()), done.stdout
    assert set(changed(done.stdout).values()) == {0}


@pytest.mark.faults
@pytest.mark.one_host
def test_a_run_that_was_killed_is_completed_by_the_next(scope: Scope) -> None:
    """HAProxy still runs with the old file, and no handler of the killed run will reload it."""
    different = ("-e", "haproxy_maxconn=3999")
    killed = subprocess.Popen(
        [*scope.command("site"), *HAPROXY, *different],
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
    assert "maxconn 3999" in scope.host(name).file("/etc/haproxy/haproxy.cfg").content_string
    assert scope.host(name).check_output(LIMIT) == "8000"

    def loaded(value: str) -> bool:
        return bool(scope.host(name).check_output(LIMIT).strip() == value)

    try:
        done = scope.playbook("site", *HAPROXY, *different)
        assert done.returncode == 0, done.stdout
        assert until(lambda: loaded("7998"))
    finally:
        back = scope.playbook("site", *HAPROXY)
    assert back.returncode == 0, back.stdout
    assert until(lambda: loaded("8000"))


@pytest.mark.one_host
def test_a_run_that_would_remove_many_accounts_stops_before_anything_is_changed(
    scope: Scope, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps({"accounts": {"groups": [], "users": []}, "scope_canary": ""}))
    names = sorted(user["name"] for user in scope.var("accounts")["users"])
    for part in ("sftp_nodes", "brokers"):
        done = scope.playbook("site", "--limit", part, "--tags", "base", "-e", f"@{path}")
        assert done.returncode != 0
        said = f"would remove {len(names)} of {len(names)} accounts ({', '.join(names)})"
        assert said in " ".join(done.stdout.split()), done.stdout
        assert f"-e accounts_removals_confirmed={len(names)}" in " ".join(done.stdout.split())
        assert "Set up what every host has" not in done.stdout
        assert set(changed(done.stdout).values()) == {0}


@pytest.mark.security
@pytest.mark.one_host
def test_a_firewall_that_shuts_administrators_out_is_undone_by_the_host(scope: Scope) -> None:
    name = scope.group("monitoring")[0]
    rules = "nft list chain inet scope input"
    before = scope.host(name).check_output(rules)
    arguments = ("--tags", "base", "--limit", name)
    shut = {"base_admin_networks": ["192.0.2.0/24"], "base_confirm_within": 20}
    done = scope.playbook("site", *arguments, "--timeout", "3", "-e", json.dumps(shut))
    assert done.returncode != 0
    assert f"fatal: [{name}]: UNREACHABLE!" in done.stdout
    # This connection of the tests was open before the change.
    assert until(lambda: bool(scope.host(name).check_output(rules) == before), 60)
    back = scope.playbook("site", *arguments)
    assert back.returncode == 0, back.stdout
    assert scope.host(name).check_output(rules) == before


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


@pytest.fixture
def user_of_others(scope: Scope) -> Iterator[str]:
    """A broker user that the scope has not made, with a name like those of the scope."""
    name, broker = "uptimekuma", scope.host(scope.group("brokers")[0])
    broker.check_output(f"rabbitmqctl -q add_user {name} not-the-scopes")
    yield name
    broker.check_output(f"rabbitmqctl -q delete_user {name}")


@pytest.mark.one_host
@pytest.mark.usefixtures("local_user")
def test_an_account_that_is_taken_out_is_shut_out_at_once_and_its_files_stay(
    scope: Scope, client: Client, without_bobby: tuple[str, ...], user_of_others: str
) -> None:
    user = scope.var("accounts")["users"][-1]
    name, login = user["name"], user["login"]
    address = f"{login}@{client.sftp_name}"
    client.ok(f"echo kept > kept; echo put kept | sftp -q -b - {address}", user=name)
    session = client.open_session(login, name)
    done = scope.playbook("site", *without_bobby)
    assert done.returncode == 0, done.stdout
    refused = client.run(f"echo pwd | sftp -b - {address}", user=name)
    assert "Permission denied" in refused.stderr
    # The playbook ended the session, which would have lasted 300 seconds, and nothing else that
    # runs with this number or with that of a local user.
    assert until(lambda: client.run(session, user=name).rc != 0)
    for node in map(scope.host, scope.group("sftp_nodes")):
        for uid in (LOCAL_UID, user["uid"]):
            assert node.run(f"systemctl is-active spec-{uid}").rc == 0, (node, uid)
        kept = node.file(f"{scope.var('scope_homes')}/{login}/kept")
        assert kept.content_string == "kept\n"
    broker = scope.host(scope.group("brokers")[0])
    lines = broker.check_output("rabbitmqctl -q list_users").splitlines()
    users = {line.split()[0] for line in lines}
    assert f"u{name}" not in users
    assert user_of_others in users


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
    assert f"{away}: no answer. Nothing was changed" in " ".join(done.stdout.split())
    assert "Set up what every host has" not in done.stdout
    assert set(changed(done.stdout).values()) == {0}


@pytest.fixture
def users_host_away(scope: Scope) -> Iterator[str]:
    """A users' host that does not answer during the test."""
    if not scope.var("lab_networks"):
        pytest.skip("only a lab can take a host away")
    name = scope.group("sources")[-1]
    scope.disconnect(name)
    container = f"sarra-{name}"
    subprocess.run(["podman", "pause", container], check=True, env=scope.environment)
    yield name
    subprocess.run(["podman", "unpause", container], check=True, env=scope.environment)


@pytest.mark.faults
def test_a_host_that_nobody_needs_is_left_as_it_is_and_told_at_the_end(
    scope: Scope, users_host_away: str
) -> None:
    quick = ("--tags", "node_exporter_service", "--timeout", "5")
    done = scope.playbook("site", *quick, "--ssh-extra-args", "-o ControlPath=none")
    assert done.returncode != 0
    assert f"{users_host_away}: no answer, left as they are" in " ".join(done.stdout.split())
    assert "Run the exporter" in done.stdout or "node_exporter :" in done.stdout


@pytest.mark.faults
@pytest.mark.timeout(1200)
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
    back = scope.playbook("site")
    assert back.returncode == 0, back.stdout
    client.ok("echo after > after; sr_post --quiet --wait after")
    assert scope.host(host).file(f"{home}/before").content_string == "before\n"
    time.sleep(1)
    assert scope.host(host).file(f"{home}/after").content_string == "after\n"
