"""Ansible module that removes what a role created on a host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: purged
short_description: Remove what a role created
description:
  - Stops and disables units, removes packages, nftables tables and files.  What does not exist is
    skipped, so an interrupted run can be repeated.  Fails if a file system is still mounted at or
    below a path, and does not remove that path.
options:
  units: {description: Names or patterns of units., type: list, elements: str, default: []}
  packages: {description: Packages to remove., type: list, elements: str, default: []}
  configurations: {description: Whether to purge packages., type: bool, default: true}
  tables: {description: Tables of nftables with family., type: list, elements: str, default: []}
  paths: {description: Files and directories., type: list, elements: path, default: []}
"""
LIST_UNITS = ("systemctl", "list-units", "--all", "--plain", "--no-legend")
LIST_FILES = ("systemctl", "list-unit-files", "--plain", "--no-legend")


class Host:
    """Removes objects, unless in check mode, and records them in ``removed``."""

    def __init__(self, module: AnsibleModule) -> None:
        """``module`` runs the commands."""
        self.module = module
        self.removed: list[str] = []

    def do(self, what: str, *command: str) -> None:
        """Record ``what``, and run the command that removes it unless in check mode."""
        self.removed.append(what)
        if not self.module.check_mode:
            environment = {"DEBIAN_FRONTEND": "noninteractive"}
            self.module.run_command(list(command), check_rc=True, environ_update=environment)

    def ask(self, *command: str) -> list[str]:
        """Return the first word of each line that a command prints; its failure is ignored."""
        _, out, _ = self.module.run_command(list(command))
        return [line.split()[0] for line in out.splitlines() if line.split()]

    def units(self, patterns: list[str]) -> None:
        """Stop and disable the units that match the patterns."""
        if not patterns:
            return
        for unit in self.ask(*LIST_UNITS, "--state=active,activating", *patterns):
            self.do(f"running {unit}", "systemctl", "stop", unit)
        if not self.module.check_mode:
            self.module.run_command(["systemctl", "reset-failed", *patterns])
        enabled = {*self.ask(*LIST_FILES, "--state=enabled", *patterns)}
        for link in Path("/etc/systemd/system").glob("*.wants/*"):
            if any(Path(link.name).match(each) for each in patterns):
                enabled.add(link.name)
        for unit in sorted(enabled):
            self.do(f"start of {unit}", "systemctl", "--quiet", "disable", unit)

    def packages(self, names: list[str], *, configurations: bool) -> None:
        """Remove packages that are installed; with ``configurations`` purge them."""
        query = ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n")
        _, out, _ = self.module.run_command([*query, *names]) if names else (0, "", "")
        gone = ("not-installed",) if configurations else ("not-installed", "config-files")
        states = dict(line.split() for line in out.splitlines())
        there = [name for name, state in states.items() if state not in gone]
        verb = "purge" if configurations else "remove"
        if there:
            self.do(f"packages {' '.join(there)}", "apt-get", "--yes", "--quiet", verb, *there)

    def tables(self, names: list[str]) -> None:
        """Delete the nftables tables that exist."""
        for name in names:
            code, _, _ = self.module.run_command(["nft", "list", "table", *name.split()])
            if code == 0:
                self.do(f"table {name}", "nft", "delete", "table", *name.split())

    def paths(self, names: list[str]) -> None:
        """Remove files and directories; fail the module if something is mounted at or below one."""
        for path in map(Path, names):
            if not os.path.lexists(path):
                continue
            if mounted := [line for line in _mounts() if Path(line).is_relative_to(path)]:
                self.module.fail_json(msg=f"{path}: {mounted[0]} is mounted there")
            self.removed.append(str(path))
            if self.module.check_mode:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _mounts() -> list[str]:
    """Return all mount points."""
    text = Path("/proc/self/mounts").read_text()
    return [line.split()[1] for line in text.splitlines()]


def main() -> None:
    """Run as a module of Ansible."""
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "units": names,
            "packages": names,
            "configurations": {"type": "bool", "default": True},
            "tables": names,
            "paths": {**names, "elements": "path"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    host = Host(module)
    host.units(given["units"])
    host.tables(given["tables"])
    host.packages(given["packages"], configurations=given["configurations"])
    host.paths(given["paths"])
    if host.removed and not module.check_mode:
        module.run_command(["systemctl", "daemon-reload"])
    module.exit_json(changed=bool(host.removed), removed=host.removed)


if __name__ == "__main__":
    main()
