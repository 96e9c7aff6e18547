"""Measures how long ``site.yml`` takes to set up a scope, and to run again without a change.

``python -m bench.provisioning`` starts a scope in containers for each number of SFTP nodes and runs
``site.yml`` twice.  On the last scope it runs it twice for each number of accounts, and then twice
with one more SFTP node.  It uses the names and addresses of ``make scope``, so run ``make
scope-down`` first.  With ``--nodes 0`` it measures accounts on the scope on one host instead.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
RECAP: Final = re.compile(r"^\S+ +: ok=(\d+) +changed=(\d+)", re.MULTILINE)
SERVERS: Final = 3  # nodes with data of the shared file system, if there are that many


@dataclass(frozen=True)
class Run:
    """One run of the playbook: seconds, tasks, tasks executed on all hosts, and changed tasks."""

    seconds: float
    tasks: int
    executed: int
    changed: int

    def __str__(self) -> str:
        """Return the run as a cell of the table."""
        return (
            f"{self.seconds:6.1f} s  {self.tasks:3} tasks  {self.executed:4} on all hosts"
            f"  {self.changed:3} changed"
        )


def playbook(inventory: Path, *arguments: str) -> Run:
    """Run playbooks, with options, on an inventory.

    If they fail, print the output and raise CalledProcessError.
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CONTAINERS_CONF": str(ROOT / "molecule/containers.conf"),
    }
    command = ["ansible-playbook", "--inventory", str(inventory), *arguments]
    start = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - start
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr)
        done.check_returncode()
    recap = [(int(ok), int(changed)) for ok, changed in RECAP.findall(done.stdout)]
    return Run(
        seconds,
        done.stdout.count("\nTASK ["),
        sum(ok for ok, _ in recap),
        sum(changed for _, changed in recap),
    )


def make_inventory(inventory: Path, nodes: int) -> None:
    """Copy the lab's inventory, and set its number of SFTP nodes; 0: the scope on one host."""
    shutil.copytree(
        ROOT / ("inventories/lab" if nodes else "inventories/single"),
        inventory,
        ignore=shutil.ignore_patterns("secrets", "secrets.yml"),
    )
    # The disk of this machine does not hold what a thousand users could put into queues, and
    # fewer accounts follow more.
    settings = {"rabbitmq_disk_needed": 0, "accounts_removals_confirmed": 10_000}
    (inventory / "group_vars/all/90-bench.yml").write_text(yaml.safe_dump(settings))
    if not nodes:
        return
    servers = SERVERS if nodes >= SERVERS else 1
    set_nodes(inventory, nodes, servers)


def set_nodes(inventory: Path, nodes: int, servers: int) -> None:
    """Set the number of SFTP nodes; the first ``servers`` have data of the shared file system."""
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    names = [f"svrsftp{number}" for number in range(1, nodes + 1)]
    hosts["sftp_nodes"]["hosts"] = {
        name: {"ansible_host": f"10.89.77.{30 + number}"} for number, name in enumerate(names, 1)
    }
    hosts["shared_fs_servers"]["hosts"] = dict.fromkeys(names[:servers])
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))


def write_accounts(inventory: Path, count: int) -> None:
    """Add users to those of the lab until there are ``count``, one group for every 20 of them."""
    path = inventory / "group_vars/all/accounts.yml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    users, groups = document["accounts"]["users"], document["accounts"]["groups"]
    names = {group["name"] for group in groups}
    for number in range(len(users), count):
        group = f"group{number // 20:04}"
        if group not in names:
            groups.append({"name": group, "gid": 50000 + number // 20})
            names.add(group)
        user = {"name": f"user{number:04}", "login": f"usr{number:04}", "uid": 30000 + number}
        users.append(user | {"group": group, "keys": [public_key(number)]})
    path.write_text(yaml.safe_dump(document))


def public_key(number: int) -> str:
    """Return the line of a public key that nobody has the private key of."""
    kind = b"ssh-ed25519"
    point = hashlib.sha256(str(number).encode()).digest()
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(point)) + point
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def measure_nodes(counts: list[int], accounts: list[int]) -> None:
    """Print a line for each number of nodes; with the last number measure accounts and growth."""
    for nodes in counts:
        with tempfile.TemporaryDirectory(prefix="sarra-bench-") as directory:
            inventory = Path(directory) / "scope"
            make_inventory(inventory, nodes)
            try:
                playbook(inventory, "molecule/shared/create.yml")
                playbook(inventory, "molecule/shared/prepare.yml")
                which = f"{nodes} nodes" if nodes else "one host"
                show(f"{which}, first run", playbook(inventory, "playbooks/site.yml"))
                show(f"{which}, no change", playbook(inventory, "playbooks/site.yml"))
                if nodes == counts[-1]:
                    measure_accounts(inventory, accounts)
                if nodes and nodes == counts[-1]:
                    measure_growth(inventory, nodes + 1)
            finally:
                playbook(inventory, "molecule/shared/destroy.yml")


def measure_accounts(inventory: Path, counts: list[int]) -> None:
    """Print four lines for each number of accounts: applied, and three without a change."""
    for count in counts:
        write_accounts(inventory, count)
        playbook(inventory, "playbooks/secrets.yml")
        show(f"{count} accounts, applied", playbook(inventory, "playbooks/site.yml"))
        show(f"{count} accounts, no change", playbook(inventory, "playbooks/site.yml"))
        alone = ("playbooks/site.yml", "--tags", "accounts,broker_objects")
        show(f"{count} accounts, tags", playbook(inventory, *alone))
        show(f"{count} accounts, validate", playbook(inventory, "playbooks/validate.yml"))


def measure_growth(inventory: Path, nodes: int) -> None:
    """Print two lines for one more SFTP node on a running scope."""
    set_nodes(inventory, nodes, SERVERS if nodes > SERVERS else 1)
    playbook(inventory, "molecule/shared/create.yml")
    playbook(inventory, "molecule/shared/prepare.yml")
    show(f"{nodes}th node, applied", playbook(inventory, "playbooks/site.yml"))
    show(f"{nodes}th node, no change", playbook(inventory, "playbooks/site.yml"))


def show(what: str, run: Run) -> None:
    """Print a line of the table."""
    print(f"{what:26} {run}", flush=True)


def main() -> None:
    """Measure what the command line selects."""
    parser = argparse.ArgumentParser(description="Measure how long the scope takes to stand up.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 6, 3], metavar="N")
    parser.add_argument("--accounts", type=int, nargs="*", default=[10, 100, 1000], metavar="N")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} processors; site.yml from the control machine on the same host")
    measure_nodes(arguments.nodes, arguments.accounts)


if __name__ == "__main__":
    main()
