"""The shared file system, whatever its backend."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.scope.test_balancers import seen_by
from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope


def test_it_is_mounted_by_a_unit(scope: Scope) -> None:
    if scope.var("scope_shared_fs") == "local":
        return
    mount = scope.var("scope_homes")
    unit = mount[1:].replace("/", "-") + ".mount"
    for name in scope.group("sftp_nodes"):
        assert scope.host(name).service(unit).is_running, name
        assert scope.host(name).mount_point(mount).exists, name


def test_what_one_node_writes_every_node_reads_at_once(scope: Scope) -> None:
    nodes = [scope.host(name) for name in scope.group("sftp_nodes")]
    path = f"{scope.var('scope_homes')}/.spec-{secrets.token_hex(4)}"
    try:
        for writer in nodes:
            # Writes in place, as senders write blocks: caches must not return the previous content.
            text = secrets.token_hex(8)
            writer.check_output(f"[ -e {path} ] || touch {path}; printf {text} 1<>{path}")
            for reader in nodes:
                assert reader.check_output(f"cat {path}") == text
    finally:
        nodes[0].run(f"rm -f {path}")


def test_a_rename_replaces_a_file_for_every_node(scope: Scope) -> None:
    nodes = [scope.host(name) for name in scope.group("sftp_nodes")]
    path = f"{scope.var('scope_homes')}/.spec-{secrets.token_hex(4)}"
    try:
        nodes[0].check_output(f"echo old > {path}; echo new > {path}.inflight")
        for node in nodes:
            assert node.check_output(f"cat {path}") == "old"
        nodes[-1].check_output(f"mv {path}.inflight {path}")
        for node in nodes:
            assert node.check_output(f"cat {path}; ls {path}*").split() == ["new", path]
    finally:
        nodes[0].run(f"rm -f {path} {path}.inflight")


def test_accounts_have_the_same_numbers_on_every_node(scope: Scope) -> None:
    for user in scope.var("accounts")["users"]:
        for name in scope.group("sftp_nodes"):
            assert scope.host(name).user(user["login"]).uid == user["uid"], name


def test_homes_are_their_users_own(scope: Scope) -> None:
    """The user is the only member of the group; root owns it, so that no chmod opens it."""
    for user in scope.var("accounts")["users"]:
        for name in scope.group("sftp_nodes"):
            home = scope.host(name).file(f"{scope.var('scope_homes')}/{user['login']}")
            assert (home.uid, home.gid, home.mode) == (0, user["uid"], 0o770), name


def mounting(scope: Scope) -> str:
    """Return words of a shell for the process of GlusterFS that has mounted the homes."""
    return f"$(pgrep --full '^/usr/sbin/glusterfs .*{scope.var('scope_homes')}$')"


@pytest.mark.destructive
@pytest.mark.several_hosts
def test_a_node_whose_mount_hangs_gets_no_users_until_it_answers(
    scope: Scope, client: Client
) -> None:
    if scope.var("scope_shared_fs") != "glusterfs":
        pytest.skip("stops GlusterFS's client")
    name, balancers = scope.group("sftp_nodes")[-1], scope.group("load_balancers")
    host, found = scope.host(name), mounting(scope)

    def all_see(state: str) -> bool:
        return all(f"ssh,{name},{state}" in seen_by(scope, balancer) for balancer in balancers)

    host.check_output(f"kill -STOP {found}")
    try:
        assert until(lambda: all_see("DOWN"), 60)
        for _ in range(len(scope.group("sftp_nodes"))):
            client.ok(f"echo ls | sftp -q -b - {client.login}@{client.sftp_name}")
    finally:
        host.check_output(f"kill -CONT {found}")
    assert until(lambda: all_see("UP"), 60)


@pytest.mark.destructive
@pytest.mark.several_hosts
def test_what_a_server_has_missed_is_healed_also_directories_that_were_removed(
    scope: Scope,
) -> None:
    if scope.var("scope_shared_fs") != "glusterfs":
        pytest.skip("kills a brick of GlusterFS")
    node, server = (scope.host(name) for name in scope.group("shared_fs_servers")[:2])
    login = scope.var("accounts")["users"][0]["login"]
    directory = f"{scope.var('scope_homes')}/{login}/spec-heal"
    node.check_output(f"mkdir -p {directory}/old && touch {directory}/old/1 {directory}/changed")
    server.check_output("kill -KILL $(pgrep --exact glusterfsd)")
    node.check_output(f"rm -r {directory}/old; mkdir {directory}/new; echo 1 > {directory}/changed")
    server.check_output("gluster --mode=script volume start homes force")

    def left() -> str:
        listed = node.check_output("gluster volume heal homes info summary")
        return "".join(re.findall(r"Total Number of entries: (?!0$).*", listed, re.MULTILINE))

    assert until(lambda: left() == "", 120), left()
    node.check_output(f"rm -r {directory}")


@pytest.mark.destructive
@pytest.mark.several_hosts
def test_a_mount_whose_program_has_ended_is_mounted_again(scope: Scope, client: Client) -> None:
    if scope.var("scope_shared_fs") != "glusterfs":
        pytest.skip("ends GlusterFS's client")
    name, balancer = scope.group("sftp_nodes")[-1], scope.group("load_balancers")[0]
    host, homes = scope.host(name), scope.var("scope_homes")
    host.check_output(f"kill -KILL {mounting(scope)}")
    assert until(lambda: host.run(f"stat {homes}/{client.login}").rc == 0, 60)
    assert until(lambda: host.service("sshd-transfer").is_running, 30)
    assert until(lambda: f"ssh,{name},UP" in seen_by(scope, balancer), 60)


@pytest.mark.destructive
@pytest.mark.several_hosts
def test_the_service_for_transfers_stops_and_starts_with_the_mount(scope: Scope) -> None:
    if scope.var("scope_shared_fs") == "local":
        pytest.skip("nothing is mounted")
    host = scope.host(scope.group("sftp_nodes")[-1])
    unit = scope.var("scope_homes")[1:].replace("/", "-") + ".mount"
    host.check_output(f"systemctl stop {unit}")
    try:
        assert not host.service("sshd-transfer").is_running
    finally:
        host.check_output(f"systemctl start {unit}")
    assert until(lambda: host.service("sshd-transfer").is_running, 30)
