"""Ansible module that tells what a GlusterFS volume has to heal, and which bricks are off."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: status_gluster
short_description: Tell the heal backlog of a volume, and bricks that are not online
options:
  volume: {description: Its name., type: str, required: true}
"""


def backlog(text: str) -> dict[str, int]:
    """Return how many entries wait for healing on each brick, of volume heal ... info.

    A brick that does not answer has -1.
    """
    found = {}
    for brick in ET.fromstring(text).iter("brick"):  # noqa: S314  our own program's output
        number = brick.findtext("numberOfEntries", "-")
        found[brick.findtext("name", "?")] = int(number) if number.isdigit() else -1
    return found


def offline(text: str) -> list[str]:
    """Return the bricks that are not online, of volume status."""
    nodes = ET.fromstring(text).iter("node")  # noqa: S314  our own program's output
    return sorted(
        f"{node.findtext('hostname')}:{node.findtext('path')}"
        for node in nodes
        if node.findtext("path", "").startswith("/") and node.findtext("status") != "1"
    )


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"volume": {"type": "str", "required": True}}, supports_check_mode=True
    )
    given: dict[str, Any] = module.params

    def ask(*command: str) -> str:
        words = ["timeout", "60", "gluster", "--mode=script", "--xml", "volume", *command]
        code, out, err = module.run_command(words)
        if code or not out.startswith("<?xml"):
            module.fail_json(
                msg=f"gluster volume {' '.join(command)}: {(err or out).strip()[:300]}"
            )
        return str(out)

    volume = given["volume"]
    try:
        result = {
            "heal": backlog(ask("heal", volume, "info")),
            "offline": offline(ask("status", volume)),
        }
    except ET.ParseError as error:
        module.fail_json(msg=f"gluster: not XML: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
