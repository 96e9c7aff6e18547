"""Ansible module that compares a broker's objects with the wanted ones and applies changes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import re
import tempfile
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: rabbitmq_objects
short_description: Apply users, permissions, exchanges, queues, bindings and policies to a broker
description:
  - Compares the wanted definitions with those that the broker exports, imports the differences in
    one step, and deletes users and exchanges that match the patterns but are not wanted.
    All other objects, such as users' own queues, are left alone.
options:
  wanted: {description: Definitions in RabbitMQ's export format., type: dict, required: true}
  passwords: {description: Passwords by user., type: dict, required: true}
  user_pattern: {description: Pattern of users to delete if unwanted., type: str, required: true}
  exchange_pattern: {description: The same for exchanges., type: str, required: true}
"""
# The fields that identify an object of each kind.
KEYS: Final = {
    "vhosts": ("name",),
    "users": ("name",),
    "permissions": ("user", "vhost"),
    "policies": ("vhost", "name"),
    "exchanges": ("vhost", "name"),
    "queues": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination", "destination_type", "routing_key"),
}
SALT: Final = 4  # bytes


def hashed(password: str, salt: bytes) -> str:
    """Return the hash of a password as RabbitMQ stores it (rabbit_password_hashing_sha256)."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def with_hash(user: dict[str, Any], password: str, live: dict[str, Any] | None) -> dict[str, Any]:
    """Return the user with a password hash: the live one if it matches, else a new one."""
    known = (live or {}).get("password_hash") or ""
    salt = base64.b64decode(known)[:SALT] if known else os.urandom(SALT)
    fresh = hashed(password, salt)
    if fresh != known:
        fresh = hashed(password, os.urandom(SALT))
    algorithm = "rabbit_password_hashing_sha256"
    return user | {"password_hash": fresh, "hashing_algorithm": algorithm}


def differs(wanted: dict[str, Any], live: dict[str, Any] | None) -> bool:
    """Return whether a live object lacks a value of the wanted one; further values are ignored."""
    if live is None:
        return True
    for key, value in wanted.items():
        have = live.get(key)
        if isinstance(value, dict) and isinstance(have, dict) and key != "arguments":
            if differs(value, have):
                return True
        elif have != value:
            return True
    return False


def compare(wanted: dict[str, Any], live: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the wanted objects that must be imported, by kind."""
    changes: dict[str, list[dict[str, Any]]] = {}
    for kind, keys in KEYS.items():
        there = {tuple(item.get(k) for k in keys): item for item in live.get(kind, [])}
        found = [
            item
            for item in wanted.get(kind, [])
            if differs(item, there.get(tuple(item.get(k) for k in keys)))
        ]
        if found:
            changes[kind] = found
    return changes


class Broker:
    """Runs rabbitmqctl for the broker on this host."""

    def __init__(self, module: AnsibleModule) -> None:
        """``module`` runs the commands and reports failures."""
        self.module = module

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl and return its output; a failure fails the module."""
        command = ["timeout", "180", "rabbitmqctl", "--quiet", "--timeout", "120", *arguments]
        code, out, err = self.module.run_command(command)
        if code:
            said = (err or out).strip()
            self.module.fail_json(msg=f"{' '.join(arguments[:2])}: {said}")
        return str(out)

    def load(self, definitions: dict[str, Any]) -> None:
        """Import definitions through a temporary file that only the user rabbitmq may read."""
        owner = pwd.getpwnam("rabbitmq")
        with tempfile.NamedTemporaryFile("w", dir="/var/lib/rabbitmq") as file:
            os.fchown(file.fileno(), owner.pw_uid, owner.pw_gid)
            json.dump(definitions, file)
            file.flush()
            self.ctl("import_definitions", file.name)

    def remove(self, kind: str, name: str) -> None:
        """Delete an exchange, or a user, whose connections the broker then closes."""
        if kind == "users":
            self.ctl("delete_user", name)
        else:
            code = (
                f'rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<"{name}">>),'
                ' false, <<"ansible">>).'
            )
            self.ctl("eval", code)


def unwanted(wanted: dict[str, Any], live: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the names to delete, by kind: they match the kind's pattern and are not wanted."""
    found = {}
    for kind, pattern in (
        ("users", given["user_pattern"]),
        ("exchanges", given["exchange_pattern"]),
    ):
        keep = {item["name"] for item in wanted[kind]}
        names = [item["name"] for item in live.get(kind, []) if re.match(pattern, item["name"])]
        found[kind] = sorted(set(names) - keep)
    return found


def summary(changes: dict[str, list[dict[str, Any]]], gone: dict[str, list[str]]) -> list[str]:
    """Return the changes as readable lines, without secrets."""
    return [
        f"{kind}: {' '.join(str(item[key]) for key in KEYS[kind])}"
        for kind, items in changes.items()
        for item in items
    ] + [f"removed {kind}: {name}" for kind, names in gone.items() for name in names]


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "wanted": {"type": "dict", "required": True},
            "passwords": {"type": "dict", "required": True, "no_log": True},
            "user_pattern": {"type": "str", "required": True},
            "exchange_pattern": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    if module.check_mode and module.get_bin_path("rabbitmqctl") is None:
        module.exit_json(changed=True, done=["all of it: RabbitMQ is not installed yet"])
    broker = Broker(module)
    live = json.loads(broker.ctl("export_definitions", "-"))
    wanted = given["wanted"]
    users = {user["name"]: user for user in live.get("users", [])}
    passwords = given["passwords"]
    wanted["users"] = [
        with_hash(user, passwords[user["name"]], users.get(user["name"]))
        for user in wanted["users"]
    ]
    changes = compare(wanted, live)
    gone = unwanted(wanted, live, given)
    if not module.check_mode:
        if changes:
            broker.load(changes)
        for kind, names in gone.items():
            for name in names:
                broker.remove(kind, name)
    done = summary(changes, gone)
    module.exit_json(changed=bool(done), done=done)


if __name__ == "__main__":
    main()
