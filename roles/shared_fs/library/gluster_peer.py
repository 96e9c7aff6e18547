"""Ansible module that tells what a server of a GlusterFS pool must know to be one that others know.

A server is known by its UUID.  One that was set up anew under the name of an old one has another
UUID, and the others reject it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: gluster_peer
short_description: Tell the state of glusterd that another server of the pool needs
description:
  - Runs on a server of the pool, and returns files of the state of another one, by their names
    below C(/var/lib/glusterd).
options:
  name: {description: Name of the other server., type: str, required: true}
  directory: {description: State of glusterd here., type: path, default: /var/lib/glusterd}
  here: {description: Name of this server in the pool., type: str, required: true}
"""


def pairs(text: str) -> dict[str, str]:
    """Return the settings in a file of glusterd."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def state_of(info: str, peers: list[str], name: str, here: str) -> dict[str, str]:
    """Return the files of the server ``name``, by name; empty if the pool does not know it.

    :param info: ``glusterd.info`` of the server ``here``
    :param peers: its files below ``peers``
    """
    mine = pairs(info)
    known = [pairs(text) for text in peers]
    other = next((each for each in known if name in _names(each)), None)
    if other is None:
        return {}
    files = {
        "glusterd.info": f"UUID={other['uuid']}\noperating-version={mine['operating-version']}\n",
        f"peers/{mine['UUID']}": f"uuid={mine['UUID']}\nstate=3\nhostname1={here}\n",
    }
    for each, text in zip(known, peers, strict=True):
        if each is not other:
            files[f"peers/{each['uuid']}"] = text
    return files


def _names(peer: dict[str, str]) -> set[str]:
    return {value for key, value in peer.items() if key.startswith("hostname")}


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "here": {"type": "str", "required": True},
            "directory": {"type": "path", "default": "/var/lib/glusterd"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    directory = Path(given["directory"])
    try:
        info = (directory / "glusterd.info").read_text()
        peers = [path.read_text() for path in sorted((directory / "peers").iterdir())]
    except OSError as error:
        module.fail_json(msg=f"the state of glusterd: {error}")
    files = state_of(info, peers, given["name"], given["here"])
    if not files:
        module.fail_json(msg=f"{given['here']} knows no server {given['name']} of the pool")
    module.exit_json(changed=False, files=files)


if __name__ == "__main__":
    main()
