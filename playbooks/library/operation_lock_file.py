"""Ansible module that replaces the content of the file of the scope's lock, if it is as known."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: operation_lock_file
short_description: Compare and replace the lock of a scope
description:
  - Used by the action operation_lock.  Returns what was in the file as found; it was replaced if
    that is what known says.  An absent file is the same as an empty one.
options:
  known: {description: Content that is replaced., type: str, required: true}
  wanted: {description: What it is replaced by., type: str, required: true}
  path: {description: The file., type: path, default: /var/lib/scope-operation.json}
"""


def swap(path: Path, known: str, wanted: str) -> str:
    """Replace the content of a file if it is as known; return what was there."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = file.read()
        if found == known:
            file.seek(0)
            file.truncate()
            file.write(wanted)
            file.flush()
            os.fsync(file.fileno())
    return found


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "known": {"type": "str", "required": True},
            "wanted": {"type": "str", "required": True},
            "path": {"type": "path", "default": "/var/lib/scope-operation.json"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        found = swap(Path(given["path"]), given["known"], given["wanted"])
    except OSError as error:
        module.fail_json(msg=f"{given['path']}: {error}")
    module.exit_json(changed=False, found=found)


if __name__ == "__main__":
    main()
