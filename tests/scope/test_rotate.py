"""Certificates, passwords and the host key are replaced while users go on, who use the new."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.faults, pytest.mark.timeout(1800)]


def serials(scope: Scope) -> dict[str, str]:
    """Return the serial number of the certificate at each port that a client or host sees."""
    balancer = scope.host(scope.group("load_balancers")[0])
    ports = {f"{scope.var('scope_broker_vip')}:{scope.var('scope_amqps_port')}": balancer}
    for group, port in (("broker_members", 25672), ("load_balancers", 1024)):
        for name, address in scope.addresses(group).items():
            ports[f"{address}:{port}"] = scope.host(name)
    number = "2>/dev/null | openssl x509 -noout -serial"
    return {
        where: host.check_output(f"openssl s_client -connect {where} </dev/null {number}")
        for where, host in ports.items()
    }


@pytest.fixture
def passwords(scope: Scope) -> Iterator[dict[str, str]]:
    """The passwords as they are, and as they are again after the test."""
    file = Path(scope.var("scope_passwords_file"))
    text = file.read_text()
    yield dict(scope.var("scope_broker_passwords"))
    file.write_text(text)
    back = scope.playbook("site", "--tags", "broker_objects,sarra_lite,canary,source_host")
    assert back.returncode == 0, back.stdout


def file_crosses(client: Client, name: str) -> None:
    client.ok(f"echo {name} > {name}; sr_post --quiet --wait {name}")


def test_certificates_are_replaced_and_connections_go_on(scope: Scope, client: Client) -> None:
    broker = scope.host(scope.group("brokers")[0])

    def connections() -> set[str]:
        printed = broker.check_output("rabbitmqctl -q list_connections pid user")
        return {line for line in printed.splitlines() if line.endswith(f"\t{client.broker_user}")}

    before, connected = serials(scope), connections()
    plan = scope.playbook("rotate", "-e", "what=certificates")
    assert plan.returncode == 0, plan.stdout
    assert "nothing was changed" in plan.stdout
    assert serials(scope) == before
    done = scope.playbook("rotate", "-e", "what=certificates", "-e", "go=true")
    assert done.returncode == 0, done.stdout
    after = serials(scope)
    assert not set(before.values()) & set(after.values())
    assert connected
    assert connected <= connections()
    file_crosses(client, "after-certificates")


def test_passwords_of_the_scope_are_replaced_and_no_report_is_lost(
    scope: Scope, client: Client, passwords: dict[str, str]
) -> None:
    broker = scope.host(scope.group("brokers")[0])
    name = scope.var("scope_src2log_user")
    old = passwords[name]
    done = scope.playbook("rotate", "-e", "what=passwords", "-e", "go=true")
    assert done.returncode == 0, done.stdout
    assert old not in done.stdout
    assert broker.run(f"rabbitmqctl --quiet authenticate_user {name} {old}").rc != 0
    file_crosses(client, "after-passwords")

    def consumed() -> bool:
        printed = broker.check_output("rabbitmqctl -q list_queues name messages consumers")
        rows = {line.split("\t")[0]: line.split("\t")[1:] for line in printed.splitlines()}
        return rows["q_src2log"][0] == "0" and int(rows["q_src2log"][1]) > 0

    assert until(consumed)


@pytest.mark.usefixtures("passwords")
def test_the_password_of_a_user_is_replaced_also_where_senders_run(
    scope: Scope, client: Client
) -> None:
    user = client.broker_user.removeprefix(scope.var("scope_user_prefix"))
    arguments = ("-e", "what=passwords", "-e", f"user={user}", "-e", "go=true")
    done = scope.playbook("rotate", *arguments)
    assert done.returncode == 0, done.stdout
    file_crosses(client, "after-the-users-password")
    again = scope.playbook("site", "--tags", "broker_objects,source_host", "--check")
    assert again.returncode == 0, again.stdout


def test_the_host_key_is_replaced_and_clients_know_the_next_one_before(
    scope: Scope, client: Client
) -> None:
    def offered() -> set[str]:
        found = set()
        for name in scope.group("sftp_nodes"):
            host = scope.host(name)
            for port in host.check_output(
                "sed -n 's/^Port //p' /etc/ssh/transfer/sshd_config"
            ).split():
                line = host.check_output(f"ssh-keyscan -t ed25519 -p {port} 127.0.0.1 2>/dev/null")
                found.add(line.split()[-1])
        return found

    before = offered()
    assert len(before) == 1
    what = ("-e", "what=host_key", "-e", "go=true")
    skipped = scope.playbook("rotate", *what, "-e", "phase=switch")
    assert skipped.returncode != 0
    assert "say -e phase=add" in skipped.stdout
    for phase, same in (("add", True), ("switch", False), ("remove", False)):
        done = scope.playbook("rotate", *what, "-e", f"phase={phase}")
        assert done.returncode == 0, done.stdout
        assert (offered() == before) is same
        assert len(offered()) == 1
        # Also by the key alone, without the host authority.
        client.ok(
            "grep -v cert-authority /etc/ssh/ssh_known_hosts > keys-only;"
            " echo pwd | sftp -q -b - -o GlobalKnownHostsFile=none"
            " -o UserKnownHostsFile=$PWD/keys-only -o StrictHostKeyChecking=yes"
            f" {client.login}@{client.sftp_name}"
        )
        file_crosses(client, f"after-{phase}")
