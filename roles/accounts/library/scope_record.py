"""Ansible module that remembers every name and number that a transfer account or group ever had."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = """
module: scope_record
short_description: Remember the names and numbers of transfer accounts
description:
  - Adds names with their numbers to a record beside the homes, from which nothing is removed.  If
    there is none, it is made from the owners of the homes.  Fails without a change if a name had
    another number, if a number had another name, or if the host itself has an account or group
    with the name or number, because files would belong to somebody else.
options:
  homes: {description: Directory of the homes., type: path, required: true}
  wanted: {description: Numbers by name of login or group., type: dict, required: true}
  copy: {description: The host's copy of the record., type: path}
"""
RECORD = ".accounts.json"
FIRST, LAST = 20000, 59999  # numbers of transfer accounts, as in accounts.schema.json


def read(path: Path) -> dict[str, int]:
    """Return a record, empty if there is none.  Raises ``ValueError`` if it cannot be read."""
    if not path.exists():
        return {}
    try:
        return {str(name): int(number) for name, number in json.loads(path.read_text()).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a record of names and numbers: {error}") from error


def owners(homes: Path) -> Iterator[tuple[str, int]]:
    """Yield name and number of each home: root owns it, or, if it is older, its user does."""
    for entry in os.scandir(homes) if homes.is_dir() else ():
        found = entry.stat(follow_symlinks=False)
        number = found.st_uid or found.st_gid
        if entry.is_dir(follow_symlinks=False) and FIRST <= number <= LAST:
            yield entry.name, number


def conflicts(record: dict[str, int], wanted: dict[str, int]) -> Iterator[str]:
    """Yield a line for each name or number that was another's, with the two ways out."""
    names = {number: name for name, number in record.items()}
    for name, number in wanted.items():
        if record.get(name, number) != number:
            old = record[name]
            yield (
                f"{name} was number {old}, which still owns its files: give it {old} again,"
                " or take a name that was never used"
            )
        elif names.get(number, name) != name:
            old_name = names[number]
            yield (
                f"{name} has the number {number} of {old_name}, whose files it would own:"
                f" take a number that was never used, or the name {old_name} again"
            )


def of_host(wanted: dict[str, int]) -> Iterator[str]:
    """Yield a line for each name or number that an account or group of this host has."""
    for file in ("/etc/passwd", "/etc/group"):
        for line in Path(file).read_text().splitlines():
            name, _, number, *_ = [*line.split(":"), "", ""]
            for ours, its in wanted.items():
                if name == ours or number == str(its):
                    yield f"{ours} ({its}): {file} of this host has {name} ({number}); take another"


def save(path: Path, record: dict[str, int]) -> None:
    """Replace a record in one step."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as new:
        json.dump(record, new, indent=1, sort_keys=True)
        new.flush()
        os.fsync(new.fileno())
    Path(new.name).replace(path)


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "homes": {"type": "path", "required": True},
            "wanted": {"type": "dict", "required": True},
            "copy": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    homes = Path(given["homes"])
    wanted = {str(name): int(number) for name, number in given["wanted"].items()}
    if not homes.is_dir() and not module.check_mode:
        module.fail_json(msg=f"{homes} is not there: is the shared file system mounted?")
    paths = [homes / RECORD, *([Path(given["copy"])] if given["copy"] else [])]
    try:
        before = [read(path) for path in paths]
    except ValueError as error:
        module.fail_json(msg=str(error))
    known = before[0] or dict(owners(homes))
    if found := [*conflicts(known, wanted), *of_host(wanted)]:
        module.fail_json(msg="; ".join(found))
    # The copy keeps what was deleted from the record beside the homes.
    after = [known | wanted, *(copy | known | wanted for copy in before[1:])]
    if not module.check_mode:
        for path, old, new in zip(paths, before, after, strict=True):
            if old != new:
                save(path, new)
    module.exit_json(changed=before != after)


if __name__ == "__main__":
    main()
