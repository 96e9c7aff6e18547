"""Homes of transfer accounts, all in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: scope_homes
short_description: Make the homes of transfer accounts
description:
  - Makes what is missing and mends owner and mode.  A home whose account is gone is kept.
options:
  directory: {description: Where the homes are., type: path, required: true}
  users: {description: Accounts with login and uid., type: list, elements: dict, required: true}
  group: {description: Number of the group., type: int, required: true}
"""
MODE = 0o700


def mend(home: Path, uid: int, gid: int, *, check: bool) -> bool:
    """Make one home as it should be; return whether anything was to be done."""
    try:
        found = home.lstat()
    except FileNotFoundError:
        if not check:
            home.mkdir(mode=MODE)
            os.chown(home, uid, gid)
        return True
    if (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (uid, gid, MODE):
        return False
    if not check:
        os.chown(home, uid, gid, follow_symlinks=False)
        home.chmod(MODE)
    return True


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "users": {"type": "list", "elements": "dict", "required": True},
            "group": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    directory = Path(given["directory"])
    if not directory.is_dir() and not module.check_mode:
        module.fail_json(msg=f"{directory} is not there: is the shared file system mounted?")
    made = [
        user["login"]
        for user in given["users"]
        if mend(
            directory / user["login"], int(user["uid"]), given["group"], check=module.check_mode
        )
    ]
    module.exit_json(changed=bool(made), homes=made)


if __name__ == "__main__":
    main()
