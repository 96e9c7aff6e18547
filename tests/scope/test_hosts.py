"""Hosts that come and go while files are under way: a node, a witness, a broker without data."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.scope.conftest import Scope
from tests.scope.lab_hosts import Lab
from tests.scope.traffic import under_way

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scope.conftest import Client

pytestmark = [pytest.mark.destructive, pytest.mark.faults, pytest.mark.timeout(3600)]

NEW = "svrsftp4"
GO = ("-e", "go=true")


# As a host that was set up anew, or has a new disk.
LOSE_FILES = """
systemctl stop sshd-transfer srv-sftp-home.mount glusterd
kill $(pgrep --exact glusterfsd) $(pgrep --full 'glusterfs .*glustershd'); sleep 1
rm -rf /srv/gluster/homes /var/lib/glusterd/* && apt-get --yes purge glusterfs-server
"""


@pytest.fixture
def lab(scope: Scope) -> Lab:
    """A lab of several hosts that is well."""
    if not scope.var("lab_networks") or len(scope.group("broker_members")) < 3:
        pytest.skip("only a lab of several hosts gets another one")
    lab = Lab(scope)
    lab.wait_until_well(180)
    return lab


@pytest.fixture
def inventory(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A copy of the inventory that has one more SFTP node, whose container runs."""
    path = tmp_path / "scope"
    shutil.copytree(lab.scope.inventory, path)
    hosts = yaml.safe_load((path / "hosts.yml").read_text())
    hosts["sftp_nodes"]["hosts"][NEW] = {"ansible_host": "10.89.77.34"}
    (path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    grown = Scope(path, tmp_path)
    for step in ("create", "prepare"):
        grown.ran(f"molecule/shared/{step}.yml")
    yield path
    lab.podman("rm", "--force", f"sarra-{NEW}")
    lab.scope.ran("site")


def set_witness(inventory: Path, name: str) -> None:
    """Write the witness of the broker's cluster into an inventory."""
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    hosts["broker_witness"]["hosts"] = {name: None}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))


def replicas(lab: Lab) -> dict[str, set[str]]:
    """Return the hosts that have a replica of each queue and stream."""
    listed = "rabbitmqctl -q list_queues name type members --formatter json"
    found = json.loads(lab.ok(lab.scope.group("brokers")[0], listed))
    return {
        each["name"]: {node.removeprefix("rabbit@") for node in each["members"]}
        for each in found
        if each["type"] != "classic"
    }


def test_a_node_comes_becomes_the_witness_and_goes_again(
    lab: Lab, client: Client, inventory: Path, tmp_path: Path
) -> None:
    (old,) = lab.scope.group("broker_witness")
    with under_way(lab, client) as traffic:
        Scope(inventory, tmp_path).ran("node_add", "-e", f"node={NEW}", *GO)
        show = "echo 'show stat' | socat /run/haproxy/admin.sock - | cut -d, -f1,2,18"
        for name in lab.scope.group("load_balancers"):
            assert f"ssh,{NEW},UP" in lab.ok(name, show)

        set_witness(inventory, NEW)
        grown = Scope(inventory, tmp_path)
        refused = grown.playbook("member_remove", "-e", f"member={old}")
        assert f"rabbit@{NEW}: not online" in refused.stdout
        grown.ran("member_add", "-e", f"member={NEW}", *GO)
        assert all(len(hosts) == 4 for hosts in replicas(lab).values())
        grown.ran("member_remove", "-e", f"member={old}", *GO)
        members = set(grown.group("broker_members"))
        assert all(hosts == members for hosts in replicas(lab).values())
        refused = grown.playbook("node_remove", "-e", f"node={NEW}", *GO)
        assert f"{NEW} is also in broker_members" in " ".join(refused.stdout.split())

        set_witness(inventory, old)
        back = Scope(inventory, tmp_path)
        back.ran("member_add", "-e", f"member={old}", *GO)
        back.ran("member_remove", "-e", f"member={NEW}", *GO)
        wait = ("-e", "node_wait=20")
        back.ran("node_remove", "-e", f"node={NEW}", *GO, *wait)
        assert lab.run(NEW, "systemctl is-active sshd-transfer")[1].strip() == "inactive"
        lab.scope.ran("site")
    account = traffic.account(300)
    assert (account.lost, account.leftovers, account.unreported) == ([], [], [])
    assert lab.missing() == []
    traffic.clean()


def test_a_broker_that_has_lost_its_data_gets_it_from_the_others(lab: Lab, client: Client) -> None:
    serving = lab.serving()
    (other,) = {*lab.scope.group("brokers")} - {serving}
    replace = ("-e", f"member={other}")
    refused = lab.scope.playbook("broker_replace", *replace, *GO)
    assert f"{other} is online, with its data" in refused.stdout
    with under_way(lab, client) as traffic:
        time.sleep(5)
        lab.ok(other, "systemctl stop rabbitmq-server && rm -r /var/lib/rabbitmq/mnesia")
        plan = lab.scope.playbook("broker_replace", *replace)
        assert "nothing was changed: say -e go=true" in plan.stdout
        assert "changed=0" in plan.stdout
        lab.scope.ran("broker_replace", *replace, *GO)
        assert lab.serving() == serving
    members = set(lab.scope.group("broker_members"))
    assert all(hosts == members for hosts in replicas(lab).values())
    account = traffic.account(300)
    assert (account.lost, account.leftovers, account.unreported) == ([], [], [])
    assert lab.missing() == []
    traffic.clean()


def test_a_file_server_that_has_lost_its_data_gets_it_from_the_others(
    lab: Lab, client: Client
) -> None:
    """The second one has all data, not only names."""
    node = lab.scope.group("shared_fs_servers")[1]
    home = f"/srv/gluster/homes/{client.login}/{client.directory}"
    client.ok("seq 100000 > replaced; sr_post --quiet --wait replaced")
    refused = lab.scope.playbook("storage_replace", "-e", f"node={node}", *GO)
    assert "there is nothing to replace" in refused.stdout
    with under_way(lab, client) as traffic:
        time.sleep(5)
        lab.ok(node, LOSE_FILES)
        lab.scope.ran("storage_replace", "-e", f"node={node}", *GO)
    account = traffic.account(300)
    assert (account.lost, account.leftovers, account.unreported) == ([], [], [])
    assert lab.ok(node, f"cat {home}/replaced") == client.ok("cat replaced")
    assert lab.missing() == []
    traffic.clean()


def test_addresses_are_moved_when_an_operator_says_so(lab: Lab, client: Client) -> None:
    for to in reversed(lab.scope.group("load_balancers")):
        moved = lab.scope.playbook("balancer_move", "-e", f"to={to}", *GO)
        assert moved.returncode == 0, moved.stdout
        assert lab.holders() == [to, to]
        client.ok(f"echo {to} > moved; sr_post --quiet --wait moved")
