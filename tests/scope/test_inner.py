"""Connections between hosts: encrypted, and only for hosts of the scope."""

from __future__ import annotations

import base64
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.scope.test_failover import several, until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

KNOCK: Final = base64.b64encode(Path(__file__).with_name("knock.py").read_bytes()).decode()
# What a group's hosts serve each other: the kind of their protocol, and where ``ss`` shows it.
SERVED: Final = {
    "load_balancers": ("peers", r":1024 "),
    "broker_members": ("erlang", r":(25672|6[0-4]\d\d) "),  # the second replicates streams
    "shared_fs_servers": ("gluster", r"users:.*glusterf?s?d"),
}


def ports(scope: Scope, name: str, served: str) -> list[int]:
    """Return the ports on which a host serves others, as ``served`` finds them in ``ss``."""
    lines = scope.host(name).check_output("ss -Hltnp").splitlines()
    found = [line.split()[3] for line in lines if re.search(served, line)]
    return sorted({int(each.rpartition(":")[2]) for each in found if not each.startswith("127.")})


def knock(scope: Scope, name: str, *words: str) -> str:
    """Run knock.py on a host; return what it prints."""
    words = (*words, scope.var("scope_inner_pki", name))
    script = f"echo {KNOCK} | base64 -d | python3 - {shlex.join(words)}"
    return str(scope.host(name).check_output(script)).strip()


@pytest.mark.parametrize("group", SERVED)
def test_a_port_between_hosts_serves_only_who_has_a_certificate_of_the_scope(
    scope: Scope, group: str
) -> None:
    """From a host that the firewall lets in: so would be a neighbour that took its address."""
    neighbour, target, *_ = several(scope, group)
    kind, served = SERVED[group]
    address = scope.var("scope_address", target)
    found = ports(scope, target, served)
    assert found, served
    for port in found:
        said = {
            who: knock(scope, neighbour, who, kind, address, str(port))
            for who in ("plain", "stranger", "member")
        }
        opened = [who for who, word in said.items() if word == "open"]
        assert opened == ["member"], f"{port}: {said}"


def test_the_volume_takes_only_servers_and_nodes_and_only_with_tls(scope: Scope) -> None:
    if scope.var("scope_shared_fs") != "glusterfs":
        pytest.skip("the shared file system is not GlusterFS")
    clients = scope.addresses("shared_fs_servers") | scope.addresses("sftp_nodes")
    server = scope.host(scope.group("shared_fs_servers")[0])
    info = server.check_output("gluster volume info homes").splitlines()
    options = dict(line.split(": ", 1) for line in info if ": " in line)
    assert (options["client.ssl"], options["server.ssl"]) == ("on", "on")
    assert set(options["auth.allow"].split(",")) == set(clients.values())
    assert set(options["auth.ssl-allow"].split(",")) == set(clients)


def test_balancers_share_their_tables(scope: Scope) -> None:
    for name in several(scope, "load_balancers"):
        show = "echo 'show peers' | socat /run/haproxy/admin.sock -"
        others = [each for each in scope.group("load_balancers") if each != name]
        states = scope.host(name).check_output(show)
        for other in others:
            found = re.search(rf"id={other}\(.*?last_status=(\w+)", states, re.DOTALL)
            assert found, states
            assert found[1] == "ESTA", states


def served_to_hosts(scope: Scope, name: str) -> set[tuple[str, int]]:
    """Return this host and the ports on which other hosts of the scope are connected to it."""
    listening = ports(scope, name, "")
    found = set()
    for line in scope.host(name).check_output("ss -Htn state established").splitlines():
        local, peer = (each.rpartition(":")[::2] for each in line.split()[2:4])
        if int(local[1]) in listening:
            found.add((peer[0].strip("[]").removeprefix("::ffff:"), int(local[1])))
    others = set(scope.addresses("scope").values()) - {scope.var("scope_address", name)}
    return {(name, port) for peer, port in found if peer in others}


@pytest.mark.security
def test_what_goes_between_hosts_while_a_file_crosses_is_encrypted_or_named(
    scope: Scope, client: Client
) -> None:
    """Ports of SERVED are tried above; the threat model says what is plain, and why."""
    several(scope, "load_balancers")
    encrypted = {
        group: {(name, port) for name in scope.group(group) for port in ports(scope, name, served)}
        for group, (_, served) in SERVED.items()
    }
    # epmd, checks of SFTP, and metrics: HAProxy's, hosts', RabbitMQ's, Alertmanager and its peers'.
    plain = {4369, scope.var("scope_check_port"), 8405, 9100, 15692, 9093, 9094}
    own_ssh_or_tls = {22, scope.var("scope_amqps_port"), scope.var("scope_page_port")} | {
        scope.var("scope_transfer_port") + number for number in range(10)
    }
    client.ok("head -c 200M /dev/urandom > seen; rm -f seen.rc")
    client.ok("{ sr_post --quiet --wait seen; echo $? > seen.rc; } > seen.log 2>&1 &")
    seen: set[tuple[str, int]] = set()
    while client.run("test -s seen.rc").rc != 0:
        for name in scope.group("scope"):
            seen |= served_to_hosts(scope, name)
    assert client.ok("cat seen.rc").strip() == "0", client.ok("cat seen.log")
    for group, served in encrypted.items():
        assert seen & served, group
    others = {each for each in seen.difference(*encrypted.values()) if each[1] not in plain}
    assert {each for each in others if each[1] not in own_ssh_or_tls} == set()


# The deployed checks; with another authority; for another name.
TRIALS: Final = {
    "deployed": ("", ""),
    "authority": (r"ca-file \S+", "ca-file /tmp/inner-other.pem"),
    "name": (r"verifyhost \S+", "verifyhost other.example"),
}
TRIAL: Final = """global
    stats socket /tmp/inner-trial.sock
defaults
    mode tcp
    timeout connect 5s
    timeout check 5s
    timeout client 5s
    timeout server 5s
"""
START: Final = """set -e
openssl req -x509 -newkey ed25519 -nodes -subj /CN=other -keyout /dev/null -out /tmp/inner-other.pem
cat > /tmp/inner-trial.cfg
haproxy -D -p /tmp/inner-trial.pid -f /tmp/inner-trial.cfg
"""
END: Final = "kill $(cat /tmp/inner-trial.pid); rm -f /tmp/inner-*"


def test_a_broker_is_down_unless_its_certificate_is_of_the_authority_and_for_its_name(
    scope: Scope,
) -> None:
    """What HAProxy is configured to check, in a HAProxy beside the one that runs."""
    balancer = scope.group("load_balancers")[0]
    host = scope.host(balancer)
    deployed = host.file("/etc/haproxy/haproxy.cfg").content_string
    section = deployed.split("\nlisten amqps\n", 1)[1].split("\n\n", 1)[0]
    words = ("option tcp-check", "tcp-check", "default-server", "server")
    checks = "\n".join(line for line in section.splitlines() if line.strip().startswith(words))
    trials = [
        f"listen {name}\n    bind unix@/tmp/inner-{name}\n{re.sub(*change, checks)}\n"
        for name, change in TRIALS.items()
    ]

    def states() -> set[str]:
        show = "echo 'show stat' | socat /tmp/inner-trial.sock - | cut -d, -f1,2,18"
        return set(host.check_output(show).splitlines())

    wanted = {
        f"{name},{broker},{'UP' if name == 'deployed' else 'DOWN'}"
        for name in TRIALS
        for broker in scope.group("brokers")
    }
    try:
        scope.feed(balancer, START, TRIAL + "".join(trials))
        assert until(lambda: wanted <= states(), 20), states()
    finally:
        host.run(END)
