"""Ansible module that tells which accounts of an SFTP node a run has added, changed and removed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: accounts_changes
short_description: Tell which accounts have changed
description:
  - Reads the files of accounts.  With what an earlier task has read, it returns the names of users
    and groups that were added, changed and removed since, for the log of the scope.
options:
  passwd: {description: "Users, as in passwd(5).", type: path, required: true}
  group: {description: "Groups, as in group(5).", type: path, required: true}
  more: {description: Other files whose lines begin with a login., type: list, elements: path}
  before: {description: C(accounts) of an earlier result., type: dict}
"""
LETTERS: Final = 16  # of a hash
LOGIN, NAME = 0, 4  # fields of passwd(5)
Accounts = dict[str, dict[str, str]]


def accounts(passwd: str, group: str, more: list[str]) -> Accounts:
    """Return a hash of what the files say of each user, by name, and of each group."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    names = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        names[fields[LOGIN]] = (
            fields[NAME] if len(fields) > NAME and fields[NAME] else fields[LOGIN]
        )
        lines[fields[LOGIN]].append(line)
    for text in more:
        for line in text.splitlines():
            login = line.replace(":", " ", 1).partition(" ")[0]
            lines[login].append(line)
    groups = {line.partition(":")[0]: line for line in group.splitlines()}
    return {
        "users": {name: _hash("\n".join(lines[login])) for login, name in names.items()},
        # Each login has a group of its own.
        "groups": {name: _hash(line) for name, line in groups.items() if name not in names},
    }


def changes(before: Accounts, after: Accounts) -> dict[str, dict[str, list[str]]]:
    """Return the names that were added, changed and removed, of each kind that has any."""
    found = {}
    for kind, now in after.items():
        old = before.get(kind, {})
        names = {
            "added": sorted(now.keys() - old.keys()),
            "changed": sorted(name for name in now.keys() & old.keys() if now[name] != old[name]),
            "removed": sorted(old.keys() - now.keys()),
        }
        if any(names.values()):
            found[kind] = {what: those for what, those in names.items() if those}
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:LETTERS]


def _text(path: str) -> str:
    file = Path(path)
    return file.read_text(errors="replace") if file.exists() else ""


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "passwd": {"type": "path", "required": True, "no_log": False},
            "group": {"type": "path", "required": True},
            "more": {"type": "list", "elements": "path", "default": []},
            "before": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    more = [_text(path) for path in given["more"]]
    now = accounts(_text(given["passwd"]), _text(given["group"]), more)
    if given["before"] is None:
        module.exit_json(accounts=now)
    module.exit_json(accounts_changes=changes(given["before"], now))


if __name__ == "__main__":
    main()
