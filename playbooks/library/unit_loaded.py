"""Ansible module that makes systemd units run with the current content of their files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: unit_loaded
short_description: Run units with the current content of their files
description:
  - Starts units that do not run, and restarts or reloads those that were started or reloaded before
    one of their files was last changed, whoever did either.  systemd and the file system know both
    times.  So the next run of the playbook completes an interrupted one, and none depends on a
    handler.
options:
  units: {description: "Names of the units, in order.", type: list, elements: str, required: true}
  files: {description: Files that the units read., type: list, elements: path, required: true}
  how:
    description:
      - The systemctl command that loads a unit with changed files.  C(start) leaves a unit
        that runs as it is.
    type: str
    choices: [restart, reload-or-restart, start]
    default: restart
  wait: {description: Whether to wait until the units are up., type: bool, default: true}
"""
PROPERTIES = ("ActiveState", "UnitFileState", "NeedDaemonReload", "ReloadResult")
# Of a unit that is active, the second is the time of its last start or reload.
STARTED, LOADED = "ActiveEnterTimestamp", "StateChangeTimestamp"


def last_change(files: list[Path]) -> datetime:
    """Return when one of the files, or a symbolic link to it, was last written, renamed or set."""
    found = [path for path in files if path.is_symlink() or path.exists()]
    # Of a directory behind a link only the link matters: which version it names.
    stats = [path.lstat() for path in found] + [path.stat() for path in found if path.is_file()]
    return datetime.fromtimestamp(max((stat.st_ctime for stat in stats), default=0), UTC)


def state(module: AnsibleModule, unit: str) -> dict[str, str]:
    """Return what systemd knows of the unit; times are in UTC, with microseconds."""
    names = f"--property={','.join((*PROPERTIES, STARTED, LOADED))}"
    command = ["systemctl", "show", "--timestamp=us+utc", names, unit]
    _, out, _ = module.run_command(command, check_rc=True)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def loaded(module: AnsibleModule, unit: str, changed: datetime) -> bool:
    """Return whether the unit runs with files that were last changed at this time."""
    known = state(module, unit)
    runs = ["active", "reloading", *([] if module.params["wait"] else ["activating"])]
    if known["ActiveState"] not in runs or known["NeedDaemonReload"] == "yes":
        return False
    # systemd counts a reload that failed as a change of state, too.
    if known["UnitFileState"] == "disabled" or known.get("ReloadResult", "success") != "success":
        return False
    how = module.params["how"]
    active = known["ActiveState"] != "activating"
    _, day, clock, _ = known[STARTED if how == "restart" and active else LOADED].split()
    return how == "start" or changed < datetime.fromisoformat(f"{day} {clock}+00:00")


def load(module: AnsibleModule, unit: str) -> None:
    """Enable the unit, and start, reload or restart it."""
    given: dict[str, Any] = module.params
    module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    if state(module, unit)["UnitFileState"] != "static":  # others start it, and it has no links
        module.run_command(["systemctl", "--quiet", "enable", unit], check_rc=True)
    no_wait = [] if given["wait"] else ["--no-block"]
    code, out, err = module.run_command(["systemctl", *no_wait, given["how"], unit])
    if code:
        show = ["journalctl", "--namespace=*", "--no-pager", "-n", "15", "-u", unit]
        _, log, _ = module.run_command(show)
        module.fail_json(msg=f"{unit} does not start: {(err or out).strip()}", journal=log)


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "list", "elements": "path", "required": True},
            "how": {"choices": ["restart", "reload-or-restart", "start"], "default": "restart"},
            "wait": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    changed = last_change([Path(name) for name in given["files"]])
    stale = [unit for unit in given["units"] if not loaded(module, unit, changed)]
    if not module.check_mode:
        for unit in stale:
            load(module, unit)
    module.exit_json(changed=bool(stale), loaded=stale)


if __name__ == "__main__":
    main()
