"""Files are sent from a user's host, through the virtual addresses, to the user's home."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

JOURNAL = "journalctl --namespace=transfer"
GET = """import urllib.request as r; print(r.urlopen("http://127.0.0.1:9411/metrics").read())"""


@pytest.fixture(scope="module")
def crossed(client: Client, file_size: str) -> str:
    """Name of a directory that was sent and reported: a large file in blocks, a few small ones."""
    name = f"spec-{int(time.time())}"
    client.ok(
        f"mkdir -p {name}; cd {name}; truncate -s {file_size} large.bin;"
        " head -c 64M /dev/urandom | dd of=large.bin conv=notrunc status=none;"
        " head -c 1M /dev/urandom | dd of=large.bin seek=1000 bs=1M conv=notrunc status=none;"
        " touch empty; echo x > 'with blank #1'"
    )
    client.ok(f"sr_post --quiet --wait --block-size 128Mi {name}")
    return name


@pytest.mark.timeout(600)
def test_a_file_of_several_gb_arrives_and_every_node_has_it(
    scope: Scope, client: Client, crossed: str
) -> None:
    sent = client.ok(f"cd {crossed} && sha256sum * | sort")
    home = f"{scope.var('scope_homes')}/{client.login}/{client.directory}"
    for name in scope.group("sftp_nodes"):
        got = scope.host(name).check_output(f"cd '{home}/{crossed}' && sha256sum * | sort")
        assert got.strip() == sent.strip(), name


def test_its_reports_are_in_xlog(scope: Scope, client: Client, crossed: str) -> None:
    watcher = scope.host(scope.group("monitoring")[0])
    deadline = time.monotonic() + 60
    wanted = {f"{crossed}/{name}" for name in ("large.bin", "empty", "with blank #1")}
    while True:
        lines = watcher.check_output("sr_log --json --since 1h").splitlines()
        reports = [json.loads(line) for line in lines]
        arrived = {
            report["relPath"]
            for report in reports
            if report["code"] == 201 and report["source"] == client.broker_user
        }
        if wanted <= arrived or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert wanted <= arrived


def test_its_user_sees_at_the_source_that_all_of_it_arrived(client: Client, crossed: str) -> None:
    assert "arrived" in client.ok(f"sr_status {crossed}")


def test_connections_of_the_senders_land_on_different_nodes(
    scope: Scope, client: Client, crossed: str
) -> None:
    logins = re.compile(rf"Accepted publickey for {client.login} ")
    used = [
        name
        for name in scope.group("sftp_nodes")
        if logins.search(scope.host(name).run(JOURNAL).stdout)
    ]
    assert len(used) >= min(2, len(scope.group("sftp_nodes"))), crossed


def test_the_nodes_log_the_clients_own_address(scope: Scope, client: Client, crossed: str) -> None:
    own = client.host.check_output("hostname -I").split()
    balancers = set(scope.addresses("load_balancers").values())
    seen: set[str] = set()
    for name in scope.group("sftp_nodes"):
        log = scope.host(name).run(JOURNAL).stdout
        seen |= set(re.findall(rf"Accepted publickey for {client.login} from (\S+) ", log))
    assert seen, crossed
    assert seen <= set(own)
    assert not seen & balancers


def test_the_nodes_log_what_is_written(scope: Scope, client: Client, crossed: str) -> None:
    logs = "".join(
        scope.host(name).run(f"{JOURNAL} -t internal-sftp -t sftp-server").stdout
        for name in scope.group("sftp_nodes")
    )
    assert f'open "{client.directory}/{crossed}/' in logs


def test_one_host_identity_through_fifty_connections(client: Client) -> None:
    arguments = (client.sftp_name, client.login, ".ssh/id_ed25519", "identities", "50")
    assert len(json.loads(client.python(*arguments))) == 1


def test_operators_find_the_file_in_the_history_of_each_monitoring_host(
    scope: Scope, client: Client, crossed: str
) -> None:
    path = f"{crossed}/large.bin"
    show = f"sr_monitor --show --json --user {client.broker_user} --path {path}"
    for host in map(scope.host, scope.group("monitoring")):
        assert until(partial(_succeeds, host, show), 20), host.run(show)
        (line,) = host.check_output(show).splitlines()
        entry = json.loads(line)
        assert entry["code"] == 201
        assert entry["size"] == int(client.ok(f"stat -c %s {path}"))
        metrics = host.check_output(f"python3 -c '{GET}'")
        assert f'user="{client.broker_user}"' in metrics


def _succeeds(host: Any, command: str) -> bool:
    return bool(host.run(command).rc == 0)
