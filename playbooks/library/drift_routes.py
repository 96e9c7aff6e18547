"""Ansible module that compares rules and routes of ip(8) with those in files of keep-routes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: drift_routes
short_description: Tell how rules and routes differ from files
description:
  - Each line of a file is C(rule PRIORITY WORDS) or C(route TABLE WORDS), as keep-routes reads it.
options:
  files:
    description: The files.  Those that do not exist are left out.
    type: list
    elements: path
    required: true
"""
OF_THE_KERNEL: Final = {0, 32766, 32767}  # priorities of the rules that every host has
Found = list[dict[str, str]]
Row = dict[str, Any]


def parsed(kind: str, words: list[str]) -> Row:
    """Return what a line says, by the keys of ip's JSON."""
    row: Row = {}
    if kind == "route":
        row["type"] = words.pop(0) if words[0] == "local" else "unicast"
        row["dst"] = words.pop(0)
    names = {"lookup": "table", "via": "gateway"}
    row |= {names.get(key, key): value for key, value in zip(words[::2], words[1::2], strict=False)}
    return number_of_mark(row)


def number_of_mark(row: Row) -> Row:
    """Return a row with its mark as a number: ip writes 1 as 0x1."""
    return row | {"fwmark": int(str(row["fwmark"]), 0)} if "fwmark" in row else row


def differences(lines: list[str], rules: list[Row], routes: dict[str, list[Row]]) -> Found:
    """Return what lines of files want and is not there, and rules that no line wants.

    ``routes``: those of each table that a line names.
    """
    found = []
    priorities = set(OF_THE_KERNEL)
    for line in lines:
        kind, number, *words = line.split()
        wanted = parsed(kind, words)
        if kind == "rule":
            priorities.add(int(number))
            there = [row for row in rules if row["priority"] == int(number)]
        else:
            there = routes.get(number, [])
        if len(there) != 1 or not _has(there[0], wanted):
            live = " and ".join(map(shown, there)) or "gone"
            found.append(
                {"what": f"ip {kind} {number}", "is": live, "should": " ".join(line.split()[2:])}
            )
    for row in rules:
        if row["priority"] not in priorities:
            what = f"ip rule {row['priority']}"
            found.append({"what": what, "is": shown(row), "should": "not there"})
    return found


def _has(row: Row, wanted: Row) -> bool:
    row = number_of_mark({"type": "unicast", **row})
    return all(str(row.get(key)) == str(value) for key, value in wanted.items())


def shown(row: Row) -> str:
    """Return a rule or a route for people."""
    hidden = ("priority", "flags", "src", "srclen", "type", "scope", "protocol")
    return " ".join(f"{key} {value}" for key, value in row.items() if key not in hidden)


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "path", "required": True}},
        supports_check_mode=True,
    )

    def ip(*words: str) -> list[Row]:
        code, out, err = module.run_command(["ip", "-4", "-json", *words])
        # A table that nobody has used yet does not exist.
        if code and "does not exist" not in err:
            module.fail_json(msg=f"ip {' '.join(words)}: {err.strip()}")
        return [] if code else list(json.loads(out or "[]"))

    paths = [Path(path) for path in module.params["files"] if Path(path).exists()]
    texts = [line for path in paths for line in path.read_text().splitlines()]
    lines = [line for line in texts if line.startswith(("rule ", "route "))]
    named = {line.split()[1] for line in lines if line.startswith("route ")}
    routes = {table: ip("route", "show", "table", table) for table in named}
    module.exit_json(found=differences(lines, ip("rule", "show"), routes))


if __name__ == "__main__":
    main()
