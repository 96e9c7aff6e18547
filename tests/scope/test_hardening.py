"""Services may do only what they need; other tools than ours judge it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from ssh_audit.builtin_policies import BUILTIN_POLICIES

from tests.scope.audit import mismatches

if TYPE_CHECKING:
    from tests.scope.audit import Findings
    from tests.scope.conftest import Scope

# Highest exposure that systemd-analyze may find: of other packages' services, and of our own.
OTHERS, OURS = 5.0, 3.0
OTHER_UNITS = ["sshd-transfer", "haproxy", "keepalived", "rabbitmq-server"]
MONITORS = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter"]


def own_units(host: Any) -> list[str]:
    """Return the loaded services whose unit files Ansible wrote."""
    found = host.check_output(
        "cd /etc/systemd/system && grep -l '^# Ansible managed' ./*.service || true"
    )
    loaded = host.check_output("systemctl list-units --plain --no-legend --all '*.service'")
    names = {
        re.sub(r"@.*", "@", line.split()[0].removesuffix(".service")): line.split()[0]
        for line in loaded.splitlines()
    }
    ours = [path.removeprefix("./").removesuffix(".service") for path in found.split()]
    return [names[name] for name in ours if name in names]


def exposure(host: Any, unit: str) -> float:
    printed = host.run(f"systemd-analyze security --no-pager {unit}").stdout
    match = re.search(r"exposure level for \S+: ([0-9.]+)", printed)
    assert match, f"{unit}: {printed}"
    return float(match[1])


def test_services_may_do_little_on_the_host(scope: Scope, findings: Findings) -> None:
    found = {}
    for name in [*scope.group("scope"), *scope.group("sources")]:
        host = scope.host(name)
        for unit in own_units(host):
            limit = OTHERS if unit.removesuffix(".service") in OTHER_UNITS else OURS
            found[name, unit] = (exposure(host, unit), limit)
        for unit in [*OTHER_UNITS, *MONITORS]:
            if host.service(unit).is_running:
                limit = OTHERS if unit in OTHER_UNITS else OURS
                found[name, unit] = (exposure(host, unit), limit)
    assert {unit for _, unit in found} >= {*OTHER_UNITS, *MONITORS}
    high = [
        f"{unit} on {host}: exposure {value}, at most {limit}"
        for (host, unit), (value, limit) in found.items()
        if value > limit
    ]
    systemd = scope.host(scope.group("scope")[0]).check_output("systemd-analyze --version")
    assert findings.add("systemd-analyze security", high, systemd.split()[1]) == []


def test_services_have_limits_of_memory_and_descriptors(scope: Scope) -> None:
    for name in [*scope.group("scope"), *scope.group("sources")]:
        host = scope.host(name)
        running = [unit for unit in [*OTHER_UNITS, *MONITORS] if host.service(unit).is_running]
        for unit in [*own_units(host), *running]:
            shown = host.check_output(
                f"systemctl show -p MemoryMax -p TasksMax -p LimitNOFILE {unit}"
            )
            assert "infinity" not in shown, f"{name} {unit}: {shown}"


def algorithms(address: str, port: int, version: str) -> tuple[list[str], str]:
    """Return how a server differs from ssh-audit's policy for a version of OpenSSH, and its name.

    The rate test is left out: it would use up what load balancers allow the address, which is
    tested elsewhere.
    """
    known = [key for key in BUILTIN_POLICIES if f"Hardened OpenSSH Server v{version} " in key]
    assert known, f"ssh-audit has no policy for OpenSSH {version}"
    options = ["--json", "--skip-rate-test", "--policy", known[-1]]
    result = subprocess.run(
        [sys.executable, "-m", "ssh_audit.ssh_audit", *options, f"{address}:{port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        found = json.loads(result.stdout)
    except ValueError:
        pytest.fail(f"{address}: {result.stdout}{result.stderr}")
    assert found["passed"] == (not found["errors"])
    return list(mismatches(found["errors"])), f"{metadata.version('ssh-audit')}, {known[-1]}"


@pytest.fixture
def version(scope: Scope) -> str:
    printed = scope.host(scope.group("sftp_nodes")[0]).run("ssh -V").stderr
    match = re.search(r"OpenSSH_(\d+\.\d+)", printed)
    assert match, printed
    return match[1]


def test_ssh_audit_finds_nothing_at_administrators_sshd(
    scope: Scope, version: str, findings: Findings
) -> None:
    found, tool = [], ""
    for address in scope.addresses("scope").values():
        differences, tool = algorithms(address, 22, version)
        found += differences
    assert findings.add("ssh-audit of administrators' sshd", found, tool) == []


def test_ssh_audit_finds_nothing_at_users_sshd(
    scope: Scope, version: str, findings: Findings
) -> None:
    address, port = scope.var("scope_sftp_vip"), scope.var("scope_sftp_port")
    # Not from a users' host: sshd refuses an address for a while after connections without login.
    # The control machine may not be connected to the network of the virtual addresses.
    via = scope.group("monitoring")[0]
    if via in scope.group("load_balancers"):
        found, tool = algorithms(address, port, version)
    else:
        with scope.forwarded(via, address, port) as local:
            found, tool = algorithms("127.0.0.1", local, version)
    assert findings.add("ssh-audit of users' sshd", found, tool) == []
