"""Ansible module that compares a broker's objects with the wanted ones and applies changes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import tempfile
from datetime import UTC, datetime
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: rabbitmq_objects
short_description: Apply users, permissions, exchanges, queues, bindings and policies to a broker
description:
  - Compares the wanted definitions with those that the broker exports, imports the differences in
    one step, and deletes users, exchanges and queues of grants that it has made before but are not
    wanted any more.  Connections of a user whose password was changed are closed.
    All other objects, such as users' own queues and what others have made, are left alone.
options:
  wanted: {description: Definitions in RabbitMQ's export format., type: dict, required: true}
  passwords: {description: Passwords by user., type: dict, required: true}
  ends: {description: "Times in UTC from which users are not wanted, by user.", type: dict}
  user_prefix: {description: Prefix of the names of users., type: str, required: true}
  exchange_prefix: {description: Prefix of the names of their exchanges., type: str, required: true}
"""
# The fields that identify an object of each kind.
KEYS: Final = {
    "vhosts": ("name",),
    "users": ("name",),
    "permissions": ("user", "vhost"),
    "policies": ("vhost", "name"),
    "parameters": ("vhost", "component", "name"),
    "exchanges": ("vhost", "name"),
    "queues": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination", "destination_type", "routing_key"),
}
SALT: Final = 4  # bytes
# Marks of what this module has made, which users cannot set: the tag of a user, and the binding of
# an exchange to this queue, on which users have no permission.
TAG: Final = "scope"
REPORTS: Final = "q_src2log"
# The binding of a queue of grants to this exchange, and the prefix of its and its policy's name.
GRANTS, GRANT, POLICY = "xgrant", "grant_", "operator_policy"
DELETE = {"users": "delete_user", "queues": "delete_queue", "parameters": "clear_operator_policy"}


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


def without_ended(wanted: dict[str, Any], ends: dict[str, str], now: datetime) -> dict[str, Any]:
    """Return the wanted objects without users, and their permissions, whose time has come."""
    time = now.strftime("%Y-%m-%dT%H:%MZ")
    ended = {user for user, when in ends.items() if when <= time}
    return wanted | {
        "users": [user for user in wanted["users"] if user["name"] not in ended],
        "permissions": [one for one in wanted["permissions"] if one["user"] not in ended],
    }


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
        """Delete an object; the broker closes the connections of a deleted user."""
        if kind in DELETE:
            self.ctl(DELETE[kind], name)
        else:
            exchange = f'rabbit_misc:r(<<"/">>, exchange, <<"{name}">>)'
            self.ctl("eval", f'rabbit_exchange:delete({exchange}, false, <<"ansible">>).')


def with_new_password(changes: dict[str, list[Any]], live: dict[str, Any]) -> list[str]:
    """Return the names of users that were there with another password."""
    return [
        user["name"]
        for user in changes.get("users", [])
        if live.get(user["name"], user)["password_hash"] != user["password_hash"]
    ]


def unwanted(wanted: dict[str, Any], live: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the names to delete, by kind: made by this module and not wanted; and guest."""
    users = {user["name"] for user in live.get("users", []) if made_here(user, live, given)}
    users |= {"guest"} & {user["name"] for user in live.get("users", [])}
    bound = {item["source"] for item in live.get("bindings", []) if item["destination"] == REPORTS}
    exchanges = {name for name in bound if name.startswith(given["exchange_prefix"])}
    queues = {item["destination"] for item in live.get("bindings", []) if item["source"] == GRANTS}
    rows = [item for item in live.get("parameters", []) if item["component"] == POLICY]
    found = {"users": users, "exchanges": exchanges}
    for kind, names in (("queues", queues), ("parameters", _names(rows))):
        found[kind] = {name for name in names if name.startswith(GRANT)}
    return {kind: sorted(names - _names(wanted.get(kind, []))) for kind, names in found.items()}


def made_here(user: dict[str, Any], live: dict[str, Any], given: dict[str, Any]) -> bool:
    """Return whether this module has made a user: by its tag, or as it did without tags."""
    tags = user.get("tags") or []
    if tags:
        return TAG in tags
    name, prefix = user["name"], given["user_prefix"]
    exchange = given["exchange_prefix"] + name.removeprefix(prefix)
    before = f"^(q_{name}[._].*|{exchange})$"
    rows = [row for row in live.get("permissions", []) if row["user"] == name]
    kinds = ("vhost", "configure", "write", "read")
    allowed = [tuple(row[kind] for kind in kinds) for row in rows]
    return name.startswith(prefix) and allowed == [("/", before, before, before)]


def without_others(wanted: dict[str, Any], live: dict[str, Any]) -> list[str]:
    """Return the wanted exchanges that exist with another type, and take them out of ``live``.

    An import does not change the type of an exchange, so they are deleted before it.
    """
    types = {item["name"]: item["type"] for item in wanted["exchanges"]}
    others = {
        item["name"]
        for item in live.get("exchanges", [])
        if types.get(item["name"], item["type"]) != item["type"]
    }
    for kind, key in (("exchanges", "name"), ("bindings", "source")):
        live[kind] = [item for item in live.get(kind, []) if item[key] not in others]
    return sorted(others)


def _names(items: list[dict[str, Any]]) -> set[str]:
    return {item["name"] for item in items}


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
            "ends": {"type": "dict", "default": {}},
            "user_prefix": {"type": "str", "required": True},
            "exchange_prefix": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    if module.check_mode and module.get_bin_path("rabbitmqctl") is None:
        module.exit_json(changed=True, done=["all of it: RabbitMQ is not installed yet"])
    broker = Broker(module)
    live = json.loads(broker.ctl("export_definitions", "-"))
    wanted = without_ended(given["wanted"], given["ends"], datetime.now(UTC))
    users = {user["name"]: user for user in live.get("users", [])}
    passwords = given["passwords"]
    wanted["users"] = [
        with_hash(user, passwords[user["name"]], users.get(user["name"]))
        for user in wanted["users"]
    ]
    others = without_others(wanted, live)
    changes = compare(wanted, live)
    gone = unwanted(wanted, live, given)
    if not module.check_mode:
        for name in others:
            broker.remove("exchanges", name)
        if changes:
            broker.load(changes)
        for name in with_new_password(changes, users):
            broker.ctl("close_all_user_connections", name, "the password was changed")
        for kind, names in gone.items():
            for name in names:
                broker.remove(kind, name)
    done = summary(changes, gone)
    module.exit_json(changed=bool(done), done=done)


if __name__ == "__main__":
    main()
