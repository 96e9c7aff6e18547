"""Ansible module that makes systemd units run with the current content of their files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: unit_loaded
short_description: Run units with the current content of their files
description:
  - Starts units that do not run, and restarts or reloads those that this module last loaded with
    other content of their files.  A hash of the loaded content is kept in /run.  So the next run of
    the playbook completes an interrupted one, and none depends on a handler.
options:
  units: {description: "Names of the units, in order.", type: list, elements: str, required: true}
  files: {description: Files that the units read., type: list, elements: path, required: true}
  how:
    description: The systemctl command that loads a unit with changed files.
    type: str
    choices: [restart, reload-or-restart, start]
    default: restart
  wait: {description: Whether to wait until the units are up., type: bool, default: true}
"""
REMEMBERED = Path("/run/units-loaded")


def fingerprint(files: list[Path]) -> str:
    """Return a hash of the files' paths, with symbolic links resolved, and content."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.resolve()).encode() + b"\0")
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def loaded(module: AnsibleModule, unit: str, wanted: str) -> bool:
    """Return whether the unit runs, and was last loaded with the fingerprint ``wanted``."""
    stamp = REMEMBERED / unit
    if not stamp.exists() or stamp.read_text() != wanted:
        return False
    code, _, _ = module.run_command(["systemctl", "--quiet", "is-active", unit])
    return bool(code == 0)


def load(module: AnsibleModule, unit: str, wanted: str) -> None:
    """Enable and load the unit, and record the fingerprint ``wanted`` for the next run."""
    given: dict[str, Any] = module.params
    module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    module.run_command(["systemctl", "--quiet", "enable", unit], check_rc=True)
    no_wait = [] if given["wait"] else ["--no-block"]
    code, out, err = module.run_command(["systemctl", *no_wait, given["how"], unit])
    if code:
        _, log, _ = module.run_command(["journalctl", "--no-pager", "-n", "15", "-u", unit])
        module.fail_json(msg=f"{unit} does not start: {(err or out).strip()}", journal=log)
    REMEMBERED.mkdir(exist_ok=True)
    (REMEMBERED / unit).write_text(wanted)


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
    wanted = fingerprint([Path(name) for name in given["files"]])
    stale = [unit for unit in given["units"] if not loaded(module, unit, wanted)]
    if not module.check_mode:
        for unit in stale:
            load(module, unit, wanted)
    module.exit_json(changed=bool(stale), loaded=stale)


if __name__ == "__main__":
    main()
