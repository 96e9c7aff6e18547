"""The log of transfers has every file, however many there are in a second."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

READS = 400  # files that a session opens and closes
# journald's own limit for a service is at most 60000 lines in 30 seconds, on a disk of a terabyte.
LINES = 80000


def journal(scope: Scope, node: str) -> str:
    """Return words of a shell that show the journal in which sessions of a node are logged."""
    show = "systemctl show --property LogNamespace --value sshd-transfer"
    name = scope.host(node).check_output(show).strip()
    return f"journalctl --namespace={name} --no-pager --output=cat" if name else "journalctl -o cat"


def test_every_file_of_a_session_is_in_the_log(scope: Scope, client: Client) -> None:
    name = f"spec-{secrets.token_hex(4)}"
    address = f"{client.login}@{client.sftp_name}"
    client.ok(
        f"echo x > {name}; {{ echo put {name}; yes 'get {name} {name}.got' | head -n {READS};"
        f" echo rm {name}; }} > {name}.batch; sftp -q -b {name}.batch {address} > {name}.out"
    )
    nodes = scope.group("sftp_nodes")

    def logged() -> int:
        search = f"--since -180s | grep --count 'close .*{name}.* bytes read 2 ' || true"
        return sum(int(scope.host(n).check_output(f"{journal(scope, n)} {search}")) for n in nodes)

    assert until(lambda: logged() == READS, 20), logged()


@pytest.mark.timeout(200)
def test_no_line_is_dropped_however_many_there_are_in_a_second(scope: Scope) -> None:
    node = scope.group("sftp_nodes")[-1]
    host, show = scope.host(node), journal(scope, node)
    found = re.search("namespace=([^ ]+)", show)
    unit, where = f"spec-{secrets.token_hex(4)}", f"-p LogNamespace={found[1]}" if found else ""
    host.check_output(f"systemd-run --quiet --wait --collect -u {unit} {where} seq {LINES}")
    host.check_output(f"{show} --sync")
    count = f"{show} --unit={unit} | grep --count '^[0-9]*$'"
    assert until(lambda: host.check_output(count) == str(LINES), 30), host.check_output(count)
    assert host.run(f"{show} --since -180s | grep '^{unit}.*: Suppressed '").rc == 1


def test_the_log_is_kept_as_long_as_the_inventory_says(scope: Scope) -> None:
    for name in scope.group("sftp_nodes"):
        said = scope.host(name).file("/etc/systemd/journald@transfer.conf").content_string
        assert f"MaxRetentionSec={scope.var('sftp_server_log_days') or 90}day\n" in said
        stored = scope.host(name).check_output("ls -d /var/log/journal/*.transfer")
        assert len(stored.split()) == 1
