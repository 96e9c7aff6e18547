"""Ansible module that compares the rules of nft that are loaded with those in files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: drift_nft
short_description: Tell how the loaded rules of nft differ from files
description:
  - Loads the files into a network namespace of its own, lists what nft made of them, and compares
    that with what is loaded.  Elements that programs add to sets at run time do not count.
options:
  files:
    description: Files of rules.  Those that do not exist are left out.
    type: list
    elements: path
    required: true
  tables:
    description: Tables that may be there without a file, such as C(inet site).
    type: list
    elements: str
    required: true
"""
LIST: Final = "nft --stateless list ruleset"
SCRATCH: Final = f'for file in "$@"; do nft --file "$file" || exit; done; {LIST}'
MOST: Final = 5  # differing rules of a table that are told
Found = list[dict[str, str]]


def tables(listing: str) -> dict[str, list[str]]:
    """Return the lines of each table of a listing, without what changes by itself."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    changing = skipping = False
    for line in map(str.strip, listing.splitlines()):
        if match := re.fullmatch(r"table (\w+ \S+) \{.*", line):
            lines = found[match[1]] = []
            continue
        if re.match(r"(set|map) ", line):
            changing = False
        elif line.startswith("flags "):
            changing = bool(re.search(r"timeout|dynamic", line))
        skipping = skipping or (changing and line.startswith("elements ="))
        if line and not skipping:
            lines.append(line)
        skipping = skipping and not line.endswith("}")
    return found


def differences(
    wanted: dict[str, list[str]], live: dict[str, list[str]], known: list[str]
) -> Found:
    """Return what is not loaded, or differs, and tables that are of nobody known."""
    found = []
    for name, lines in wanted.items():
        if name not in live:
            found.append({"what": f"nft table {name}", "is": "not loaded", "should": "loaded"})
        elif live[name] != lines:
            found += _lines(name, lines, live[name])
    found += [
        {"what": f"nft table {name}", "is": "loaded", "should": "not there"}
        for name in live
        if name not in wanted and name not in known
    ]
    return found


def _lines(name: str, wanted: list[str], live: list[str]) -> Found:
    gone = [line for line in wanted if line not in live]
    more = [line for line in live if line not in wanted]
    rows = [(line, "gone", "there") for line in gone] + [
        (line, "there", "not there") for line in more
    ]
    if not rows:
        rows = [("all rules", "in another order, or repeated", "as in the file")]
    told = [
        {"what": f"nft {name}: {line}", "is": now, "should": should}
        for line, now, should in rows[:MOST]
    ]
    if len(rows) > MOST:
        rest = f"{len(rows) - MOST} more differences"
        told.append({"what": f"nft {name}", "is": rest, "should": "none"})
    return told


def main() -> None:
    """Run as a module of Ansible."""
    texts = {"type": "list", "required": True}
    module = AnsibleModule(
        argument_spec={
            "files": texts | {"elements": "path"},
            "tables": texts | {"elements": "str"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    files = [path for path in given["files"] if Path(path).exists()]
    _, wanted, _ = module.run_command(
        ["unshare", "--net", "sh", "-c", SCRATCH, "sh", *files], check_rc=True
    )
    _, live, _ = module.run_command(LIST.split(), check_rc=True)
    module.exit_json(found=differences(tables(wanted), tables(live), given["tables"]))


if __name__ == "__main__":
    main()
