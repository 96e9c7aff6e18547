"""Ansible module that creates a GlusterFS volume: joins servers, creates, sets and starts it."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: gluster_volume
short_description: Create a replicated GlusterFS volume
description:
  - Joins the servers into a pool, creates the volume, sets its options and starts it.  Runs on the
    first server.  A volume whose bricks are not those wanted is left as it is, and fails the
    module, also in check mode, since its data would have to be moved.
options:
  name: {description: Name of the volume., type: str, required: true}
  servers: {description: Host names of the servers., type: list, elements: str, required: true}
  brick: {description: Directory of the brick on each server., type: path, required: true}
  arbiter: {description: Whether the last of three holds names only., type: bool, default: true}
  force: {description: Allow bricks on the root file system., type: bool, default: false}
  settings: {description: Options of the volume., type: dict, default: {}}
"""
REPLICAS = 3
PATIENCE = 30  # seconds to wait until probed servers have joined


class Gluster:
    """Runs the gluster command, and records in ``done`` what it changed."""

    def __init__(self, module: AnsibleModule) -> None:
        """``module`` runs the commands and reports failures."""
        self.module = module
        self.done: list[str] = []

    def ask(self, *command: str) -> ET.Element:
        """Run a gluster command and return its XML output; other output fails the module."""
        _, out, _ = self.module.run_command(["gluster", "--mode=script", "--xml", *command])
        try:
            return ET.fromstring(out)  # noqa: S314  our own program's output
        except ET.ParseError:
            self.module.fail_json(msg=f"gluster {' '.join(command)}: {out.strip()}")
            raise

    def do(self, *command: str) -> None:
        """Run a command that changes something; only record it in check mode."""
        self.done.append(" ".join(command))
        if self.module.check_mode:
            return
        answer = self.ask(*command)
        if answer.findtext("opRet") != "0":
            self.module.fail_json(
                msg=f"gluster {' '.join(command)}: {answer.findtext('opErrstr')}", done=self.done
            )

    def join(self, servers: list[str]) -> None:
        """Join all servers into one pool, and wait until they are connected."""
        joined = self.peers()
        for server in servers[1:]:
            if server not in joined:
                self.do("peer", "probe", server)
        deadline = time.monotonic() + PATIENCE
        while not self.module.check_mode and not set(servers[1:]) <= self.peers(connected=True):
            if time.monotonic() > deadline:
                self.module.fail_json(msg=f"servers do not join: {servers}, see glusterd's log")
            time.sleep(1)

    def peers(self, *, connected: bool = False) -> set[str]:
        """Return the names of the other servers of the pool, or of the connected ones only."""
        peers = self.ask("peer", "status").iter("peer")
        return {
            name.text or ""
            for peer in peers
            if not connected or (peer.findtext("connected"), peer.findtext("state")) == ("1", "3")
            for name in [*peer.iter("hostname")]
        }

    def volume(self, name: str) -> ET.Element | None:
        """Return what is known of a volume; None if it does not exist."""
        volumes = self.ask("volume", "info").iter("volume")
        return next((each for each in volumes if each.findtext("name") == name), None)


def bricks(given: dict[str, Any]) -> list[str]:
    """Return the bricks that are wanted, as gluster names them."""
    return [f"{server}:{given['brick']}" for server in given["servers"]]


def mistake(volume: ET.Element, given: dict[str, Any]) -> str:
    """Return how the bricks of a volume differ from those wanted, and what to do; else ''."""
    there = {brick.findtext("name") or "" for brick in volume.iter("brick")}
    arbiter = volume.findtext("arbiterCount", "0") != "0"
    if there != set(bricks(given)):
        found = f"has its bricks at {', '.join(sorted(there))}, not {', '.join(bricks(given))}"
    elif len(there) == REPLICAS and arbiter != given["arbiter"]:
        found = "has an arbiter" if arbiter else "has three copies, and no arbiter"
    else:
        return ""
    return (
        f"the volume {given['name']} {found}: its data would have to be moved, which no playbook"
        " does. Put the inventory back, or change the volume by hand as roles/shared_fs/README.md"
        " says, and run the playbook again"
    )


def reconcile(gluster: Gluster, given: dict[str, Any]) -> None:
    """Join the servers, then create, set and start the volume, each where needed."""
    servers: list[str] = given["servers"]
    volume = gluster.volume(given["name"])
    if volume is not None and (found := mistake(volume, given)):
        gluster.module.fail_json(msg=found)
    gluster.join(servers)
    options = [] if volume is None else volume.iter("option")
    settings = {each.findtext("name"): each.findtext("value") for each in options}
    if volume is None:
        kind = ["replica", str(REPLICAS)] if len(servers) == REPLICAS else []
        if kind and given["arbiter"]:
            kind = ["replica", "2", "arbiter", "1"]
        last = ["force"] if given["force"] else []
        gluster.do("volume", "create", given["name"], *kind, *bricks(given), *last)
    for key, value in given["settings"].items():
        if settings.get(key) != str(value):
            gluster.do("volume", "set", given["name"], key, str(value))
    if volume is None or volume.findtext("statusStr") != "Started":
        gluster.do("volume", "start", given["name"])


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "servers": {"type": "list", "elements": "str", "required": True},
            "brick": {"type": "path", "required": True},
            "arbiter": {"type": "bool", "default": True},
            "force": {"type": "bool", "default": False},
            "settings": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    gluster = Gluster(module)
    if module.get_bin_path("gluster") is None and module.check_mode:
        module.exit_json(changed=True, done=["all of it: gluster is not installed yet"])
    reconcile(gluster, module.params)
    module.exit_json(changed=bool(gluster.done), done=gluster.done)


if __name__ == "__main__":
    main()
