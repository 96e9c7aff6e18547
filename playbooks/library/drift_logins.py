"""Ansible module that tells which users of a host may log in, and with which keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: drift_logins
short_description: Tell which users of a host are unknown, and which keys let anybody in
description:
  - Looks at local users (C(/etc/passwd)), not at transfer accounts, which have other files.
options:
  users: {description: Names of users that are known., type: list, elements: str, required: true}
"""
FIRST, NOBODY = 1000, 65534  # numbers of people's users in Debian
KEY: Final = re.compile(r"(?:^|\s)(?:sk-)?(?:ssh|ecdsa)-\S+\s+([A-Za-z0-9+/=]{20,})(?:\s+(.*))?$")
FILES: Final = (".ssh/authorized_keys", ".ssh/authorized_keys2")
Found = list[dict[str, str]]


class User(NamedTuple):
    """A line of /etc/passwd."""

    name: str
    uid: int
    home: str


def users(passwd: str) -> list[User]:
    """Return the users in the text of /etc/passwd."""
    rows = (line.split(":") for line in passwd.splitlines())
    return [User(row[0], int(row[2]), row[5]) for row in rows if len(row) == 7]  # noqa: PLR2004


def unknown(there: list[User], known: list[str]) -> Found:
    """Return users of people that nobody knows, and users other than root with root's number."""
    found = []
    for user in there:
        if user.uid == 0 and user.name != "root":
            found.append(
                {"what": f"user {user.name}", "is": "root by number", "should": "not there"}
            )
        elif user.uid >= FIRST and user.uid != NOBODY and user.name not in known:
            found.append(
                {"what": f"user {user.name}", "is": f"uid {user.uid}", "should": "not there"}
            )
    return found


def keys(text: str) -> dict[str, str]:
    """Return the comment of each key of an authorized_keys, by its fingerprint."""
    found = {}
    for line in text.splitlines():
        match = None if line.lstrip().startswith("#") else KEY.search(line)
        if match:
            found[fingerprint(match[1])] = (match[2] or "").strip()
    return found


def fingerprint(key: str) -> str:
    """Return the fingerprint of a key in base64, as ssh-keygen prints it."""
    try:
        raw = base64.b64decode(key)
    except binascii.Error:
        raw = key.encode()
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"users": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    there = users(Path("/etc/passwd").read_text())
    keys_of: dict[str, dict[str, str]] = {}
    for user in there:
        for name in FILES:
            path = Path(user.home, name)
            if path.is_file():
                keys_of.setdefault(user.name, {}).update(keys(path.read_text(errors="replace")))
    module.exit_json(found=unknown(there, given["users"]), keys=keys_of)


if __name__ == "__main__":
    main()
