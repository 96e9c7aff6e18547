"""The steps of playbooks/backup.yml and playbooks/restore.yml, one command each."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playbooks.scope_backup import broker, directory, inventory, records, sealing

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[[argparse.Namespace], object]


def begin(given: argparse.Namespace) -> None:
    """Print the path of a new directory."""
    sealing.check_recipient(given.recipient)
    _say(directory.begin(given.path))


def seal_inventory(given: argparse.Namespace) -> None:
    """Write the inventory's secrets and accounts file into a backup."""
    content = inventory.packed(_places(given))
    sealing.seal(content, given.recipient, given.path / "inventory.tar.age")


def seal(given: argparse.Namespace) -> None:
    """Write standard input into a backup."""
    sealing.seal(sys.stdin.buffer.read(), given.recipient, given.path / given.name)


def finish(given: argparse.Namespace) -> None:
    """Check what was written, write the manifest with standard input, remove old backups.

    Print what is missing and what was removed: nothing is while something is missing.
    """
    about = json.load(sys.stdin)
    missing = directory.finish(given.path, about["about"], about["expected"])
    directory.manifest(given.path)
    removed = [] if missing else directory.prune(given.path.parent, given.keep)
    _say(json.dumps({"missing": missing, "removed": removed}))


def verify(given: argparse.Namespace) -> None:
    """Print the manifest of a backup that is whole and whose files are as it says."""
    _say(json.dumps(directory.manifest(given.path)))


def plan(given: argparse.Namespace) -> None:
    """Print a line for each difference between a backup and what is on standard input."""
    now = json.load(sys.stdin)
    known = directory.manifest(given.path)
    files = inventory.unpacked(sealing.opened(given.path / "inventory.tar.age", given.identity))
    lines = list(inventory.differences(files, _places(given)))
    if then := _part(given, "accounts.json"):
        accounts = inventory.accounts_of(files["accounts"][0])
        if found := records.conflicts(then, accounts):
            raise sealing.BackupError(f"the backup contradicts itself: {'; '.join(found)}")
        if now["records"] is not None:
            lines += records.differences(then, now["records"])
    if (then := _part(given, "definitions.json")) and now["definitions"] is not None:
        lines += broker.differences(then, now["definitions"], given.exchange_prefix)
    for what in known.get("missing", []):
        lines.append(f"{what}: is not in the backup")
    for line in lines:
        _say(line)


def unpack(given: argparse.Namespace) -> None:
    """Put the inventory's secrets and accounts file back; print what was written."""
    files = inventory.unpacked(sealing.opened(given.path / "inventory.tar.age", given.identity))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for path in inventory.put_back(files, _places(given), stamp):
        _say(path)


def definitions(given: argparse.Namespace) -> None:
    """Print the definitions to import into a broker whose own are on standard input, if any."""
    back = broker.lacking(
        _part(given, "definitions.json") or {}, json.load(sys.stdin), given.exchange_prefix
    )
    if back:
        _say(json.dumps(back))


def accounts(given: argparse.Namespace) -> None:
    """Print what the hosts knew of accounts."""
    empty: dict[str, Any] = {"numbers": {}, "logins": [], "keys": []}
    _say(json.dumps(_part(given, "accounts.json") or empty))


def _part(given: argparse.Namespace, name: str) -> dict[str, Any] | None:
    """Return the first part of a backup with that name; several hosts may have written one."""
    for path in sorted(given.path.glob(f"*{name}.age")):
        return dict(json.loads(sealing.opened(path, given.identity)))
    return None


def _places(given: argparse.Namespace) -> inventory.Places:
    left = tuple(filter(None, given.left.split(",")))
    return inventory.Places(given.secrets, given.passwords, given.accounts, left)


def _say(line: object) -> None:
    sys.stdout.write(f"{line}\n")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scope_backup", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Command, *options: str) -> None:
        one = commands.add_parser(command.__name__, help=str(command.__doc__))
        one.set_defaults(run=command)
        one.add_argument("path", type=Path)
        if "inventory" in options:
            for name in ("--secrets", "--passwords", "--accounts"):
                one.add_argument(name, type=Path, required=True)
            one.add_argument("--left", default="", help="patterns, with commas between them")
        for name in ("recipient", "name"):
            if name in options:
                one.add_argument(f"--{name}", required=True)
        if "keep" in options:
            one.add_argument("--keep", type=int, required=True)
        if "identity" in options:
            one.add_argument("--identity", type=Path, required=True)
            one.add_argument("--exchange-prefix", default="xac_")

    add(begin, "recipient")
    add(seal_inventory, "recipient", "inventory")
    add(seal, "recipient", "name")
    add(finish, "keep")
    add(verify)
    add(plan, "identity", "inventory")
    add(unpack, "identity", "inventory")
    add(definitions, "identity")
    add(accounts, "identity")
    return parser


def main() -> int:
    """Run a command; return the exit status."""
    given = _options().parse_args()
    try:
        given.run(given)
    except sealing.BackupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
