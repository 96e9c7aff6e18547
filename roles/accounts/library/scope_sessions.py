"""Ansible module that ends the sessions of removed transfer accounts."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: scope_sessions
short_description: End the sessions of removed transfer accounts
description:
  - Sends SIGTERM to processes whose uid is in the range of transfer accounts, but is not the uid
    of a given account.
options:
  uids: {description: Uids of the existing accounts., type: list, elements: int, required: true}
"""
FIRST, LAST = 20000, 59999  # uids of transfer accounts, as in accounts.schema.json


def strangers(uids: set[int]) -> dict[int, int]:
    """Return uids by process id: those in the range of transfer accounts, but not in ``uids``."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError):
            uid = process.stat().st_uid
            if FIRST <= uid <= LAST and uid not in uids:
                found[int(process.name)] = uid
    return found


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"uids": {"type": "list", "elements": "int", "required": True}},
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    found = strangers(set(given["uids"]))
    if not module.check_mode:
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
    module.exit_json(changed=bool(found), ended=sorted(set(found.values())))


if __name__ == "__main__":
    main()
