"""Ansible module that ends the sessions of removed transfer accounts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: scope_sessions
short_description: End the sessions of removed transfer accounts
description:
  - Sends SIGTERM to processes of transfer sessions that have the uid of an account in the record of
    scope_record, but not the uid of a given account.
options:
  uids: {description: Uids of the existing accounts., type: list, elements: int, required: true}
  record: {description: The host's record., type: path, required: true}
  root: {description: Root directory of sessions (chroot)., type: path, required: true}
"""
UNIT = "/sshd-transfer.service"


def sessions(uids: set[int], root: Path) -> dict[int, int]:
    """Return uids by process id: those in ``uids`` whose process is a transfer session."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            uid = process.stat().st_uid
            if uid in uids and is_transfer(process, root):
                found[int(process.name)] = uid
    return found


def is_transfer(process: Path, root: Path) -> bool:
    """Return whether sshd-transfer started a process: by its unit, or its root directory."""
    units = (line.rpartition(":")[2] for line in (process / "cgroup").read_text().splitlines())
    if any(unit.endswith(UNIT) for unit in units):
        return True
    # pam_systemd moves sessions out of the unit.
    with contextlib.suppress(PermissionError):
        return (process / "root").samefile(root)
    return False


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "uids": {"type": "list", "elements": "int", "required": True},
            "record": {"type": "path", "required": True},
            "root": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    record, root = Path(given["record"]), Path(given["root"])
    known = set(json.loads(record.read_text()).values()) if record.exists() else set()
    found = sessions(known - set(given["uids"]), root) if root.exists() else {}
    if not module.check_mode:
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
    module.exit_json(changed=bool(found), ended=sorted(set(found.values())))


if __name__ == "__main__":
    main()
