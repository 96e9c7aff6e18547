"""Ansible module that creates the homes of all transfer accounts in one task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: scope_homes
short_description: Create the homes of transfer accounts
description:
  - Creates missing homes and corrects owner and mode.  Homes of removed accounts are kept.
options:
  directory: {description: Directory of the homes., type: path, required: true}
  users: {description: Accounts with login and uid., type: list, elements: dict, required: true}
  group: {description: Number of the homes' group., type: int, required: true}
"""
MODE = 0o700


def mend(home: Path, uid: int, gid: int, *, check: bool) -> bool:
    """Create a home, or correct its owner and mode; return whether it differed."""
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
