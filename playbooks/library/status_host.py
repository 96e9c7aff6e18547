"""Ansible module that tells how a host is: room on its disks, units, packages that are held."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: status_host
short_description: Tell how full a host's disks are, which units failed, and which packages are held
options: {}
"""
NO_DISKS: Final = ("tmpfs", "devtmpfs", "overlay", "squashfs", "efivarfs", "ramfs", "shm")
HUNG: Final = 124  # exit status of timeout(1)
ROW: Final = re.compile(r"(\S+)\s+(\d+|-)%?\s+(\d+|-)%?\s+(.+)")


def disks(table: str) -> list[dict[str, Any]]:
    """Return how full file systems are, of df --output=fstype,pcent,ipcent,target.

    The root of a container is no disk of a kind of its own, but counts.
    """
    found = []
    for line in table.splitlines()[1:]:
        match = ROW.fullmatch(line.strip())
        if match and (match[1] not in NO_DISKS or match[4] == "/"):
            used, names = (int(part) if part != "-" else 0 for part in (match[2], match[3]))
            found.append({"mount": match[4], "percent": used, "names_percent": names})
    return found


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)

    def run(*command: str) -> tuple[int, str]:
        code, out, _ = module.run_command(["timeout", "10", *command])
        return int(code), str(out)

    code, table = run("df", "--output=fstype,pcent,ipcent,target")
    _, units = run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager")
    _, held = run("apt-mark", "showhold")
    module.exit_json(
        disks=disks(table),
        disks_hang=code == HUNG,
        failed_units=[line.split()[0] for line in units.splitlines() if line.split()],
        held=held.split(),
        restart_needed=Path("/run/reboot-required").exists(),
    )


if __name__ == "__main__":
    main()
