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
  - Creates missing homes and groups' directories, and corrects owner and mode.  Those of removed
    accounts and groups are kept.
  - Root owns them, so that no user can open them to others by chmod.  A home is open to the group
    that has the user's number; only the user is in it.
options:
  directory: {description: Directory of the homes., type: path, required: true}
  users: {description: Accounts with login and uid., type: list, elements: dict, required: true}
  groups: {description: Groups with name and gid., type: list, elements: dict, required: true}
"""
HOME, SHARED = 0o770, 0o2770  # files in a group's directory get its group


def mend(directory: Path, gid: int, mode: int, *, check: bool) -> bool:
    """Create a directory, or correct its owner and mode; return whether it differed."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        if not check:
            directory.mkdir(mode=0o700)
            os.chown(directory, 0, gid)
            directory.chmod(mode)
        return True
    if (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, gid, mode):
        return False
    if not check:
        os.chown(directory, 0, gid, follow_symlinks=False)
        directory.chmod(mode)
    return True


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "users": {"type": "list", "elements": "dict", "required": True},
            "groups": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    directory = Path(given["directory"])
    if not directory.is_dir() and not module.check_mode:
        module.fail_json(msg=f"{directory} is not there: is the shared file system mounted?")
    wanted = [(user["login"], int(user["uid"]), HOME) for user in given["users"]]
    wanted += [(group["name"], int(group["gid"]), SHARED) for group in given["groups"]]
    made = [
        name
        for name, gid, mode in wanted
        if mend(directory / name, gid, mode, check=module.check_mode)
    ]
    module.exit_json(changed=bool(made), homes=made)


if __name__ == "__main__":
    main()
