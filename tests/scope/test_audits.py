"""Audit tools that take minutes; ``make security`` runs them and prints a table of what they find.

The tools are the control machine's: they run in the network of a host of the lab, and lynis, which
looks at files and processes, from a copy on each host.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.audit import Findings
    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.security, pytest.mark.timeout(900)]
# Metrics, for the monitoring host.
METRICS = {"scope": 9100, "load_balancers": 8405, "broker_members": 15692}
SEVERE = {"MEDIUM", "HIGH", "CRITICAL"}
NMAP = ["nmap", "-n", "-Pn", "-sS", "-p-", "--open", "-oG", "-"]
NMAP += ["--min-rate", "10000", "--max-retries", "1"]
# Of Debian's package: scripts that run from any directory that has these.
LYNIS = (
    *("-C", "/usr/sbin", "lynis"),
    *("-C", "/usr/share/lynis", "include", "db"),
    *("-C", "/etc/lynis", "default.prf", "plugins"),
)


def version(package: str) -> str:
    """Return the version of a package of the control machine."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inside(scope: Scope, host: str, *command: str) -> str:
    """Run a program of the control machine in the network of a host; return what it prints."""
    if not scope.var("lab_networks"):
        pytest.skip("only a lab's hosts are on this machine")
    inspect = ["podman", "inspect", "--format", "{{.State.Pid}}", f"sarra-{host}"]
    pid = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net", *command]
    done = subprocess.run(enter, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def difference(printed: str, wanted: dict[str, set[int]]) -> list[str]:
    """Return how the open ports that nmap printed differ from those wanted of each address."""
    assert "# Nmap done" in printed, printed
    seen: dict[str, set[int]] = {address: set() for address in wanted}
    for address, ports in re.findall(r"^Host: (\S+) .*Ports: (.*)$", printed, re.MULTILINE):
        seen[address] = {int(port) for port in re.findall(r"(\d+)/open/tcp", ports)}
    return [
        f"{address}:{port} is {'open' if port in seen[address] else 'closed'}"
        for address, ports in wanted.items()
        for port in sorted(seen[address] ^ ports)
    ]


@pytest.mark.parametrize("variable", ["scope_amqps_port", "scope_web_port"])
def test_testssl_finds_nothing_of_medium_severity(
    scope: Scope, client: Client, findings: Findings, tmp_path: Path, variable: str
) -> None:
    ca = Path(scope.var("scope_secrets_dir")) / "pki/ca.pem"
    result = tmp_path / "testssl.json"
    address, port = scope.var("scope_broker_vip"), scope.var(variable)
    options = ["--quiet", "--color", "0", "--add-ca", str(ca), "--jsonfile", str(result)]
    where = ["--ip", address, f"{client.broker_name}:{port}"]
    printed = inside(scope, client.name, "testssl", *options, *where)
    assert result.exists(), printed
    found = json.loads(result.read_text())
    assert any(entry["id"].startswith("cert_") for entry in found), printed
    severe = [f"port {port}: {e['id']}: {e['finding']}" for e in found if e["severity"] in SEVERE]
    assert findings.add("testssl.sh", severe, version("testssl.sh")) == []


def test_nmap_sees_only_the_inventory_from_a_users_host(
    scope: Scope, client: Client, findings: Findings
) -> None:
    wanted = {
        scope.var("scope_public_address", name): set[int]()
        for name in scope.group("load_balancers")
    }
    for address, port in (
        ("scope_sftp_vip", "scope_sftp_port"),
        ("scope_broker_vip", "scope_amqps_port"),
        ("scope_broker_vip", "scope_web_port"),
    ):
        wanted.setdefault(scope.var(address), set()).add(int(scope.var(port)))
    found = difference(inside(scope, client.name, *NMAP, *wanted), wanted)
    assert findings.add("nmap from a user's host", found, version("nmap")) == []


def test_nmap_sees_only_the_inventory_from_a_host_of_the_scope(
    scope: Scope, findings: Findings
) -> None:
    name = scope.group("monitoring")[0]
    wanted = {
        address: {port for group, port in METRICS.items() if other in scope.group(group)}
        for other, address in scope.addresses("scope").items()
        if other != name
    }
    found = difference(inside(scope, name, *NMAP, *wanted), wanted)
    assert findings.add("nmap from a host of the scope", found, version("nmap")) == []


def test_nmap_sees_nothing_from_a_neighbour(
    scope: Scope, neighbour: list[str], findings: Findings
) -> None:
    wanted = {address: set[int]() for address in scope.addresses("scope").values()}
    command = [*neighbour, *NMAP, *wanted]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = difference(done.stdout, wanted)
    assert findings.add("nmap from a neighbour", found, version("nmap")) == []


def lynis(scope: Scope, name: str) -> set[str]:
    """Audit a host; return the warnings."""
    packed = subprocess.run(["tar", "cz", *LYNIS], check=True, capture_output=True).stdout
    directory = "/root/spec-lynis"
    scope.feed(
        name,
        f"mkdir -p {directory}; base64 -d | tar xz --no-same-owner -C {directory}",
        base64.b64encode(packed).decode(),
    )
    run = f"cd {directory}; ./lynis audit system --quick --quiet --no-colors"
    logs = f"--log-file {directory}/log --report-file {directory}/report"
    host = scope.host(name)
    host.run(f"sh -c '{run} {logs} > /dev/null 2>&1'")
    report = host.check_output(f"cat {directory}/report; rm -r {directory}")
    assert "report_datetime_end=" in report, f"{name}: {report[-500:]}"
    warnings = re.findall(r"^warning\[\]=(.*)$", report, re.MULTILINE)
    return {re.sub(r"[|-]+$", "", line) for line in warnings}


def test_lynis_warns_of_nothing(scope: Scope, findings: Findings) -> None:
    names = scope.group("scope")
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = dict(zip(names, pool.map(lambda name: lynis(scope, name), names), strict=True))
    print(found)
    assert findings.add("lynis", set[str]().union(*found.values()), version("lynis")) == []
