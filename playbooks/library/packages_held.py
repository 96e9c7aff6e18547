"""Ansible module that keeps packages from being updated but by an operator."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: packages_held
short_description: Hold packages, or let them be updated again
description:
  - Sets dpkg's selection of installed packages to hold or install, all in one step.  apt and
    unattended-upgrades leave a package on hold as it is.
options:
  packages:
    description:
      - Names of packages, or patterns of the shell.  Each must match one that is installed, unless
        in check mode or to release them.
    type: list
    elements: str
    required: true
  state: {description: What they shall be., type: str, choices: [held, released], default: held}
"""
SHOW = ("dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Abbrev}\n")


def installed(module: AnsibleModule) -> dict[str, bool]:
    """Return the installed packages, and whether each is on hold."""
    _, out, _ = module.run_command([*SHOW], check_rc=True)
    states = dict(line.split()[:2] for line in out.splitlines())
    return {name: state[0] == "h" for name, state in states.items() if state[1] == "i"}


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "required": True},
            "state": {"choices": ["held", "released"], "default": "held"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    hold, there = given["state"] == "held", installed(module)
    found = {
        pattern: [name for name in there if fnmatchcase(name.partition(":")[0], pattern)]
        for pattern in given["packages"]
    }
    missing = [pattern for pattern, names in found.items() if not names]
    if missing and hold and not module.check_mode:
        module.fail_json(msg=f"{', '.join(missing)}: not installed")
    names = {name for names in found.values() for name in names if there[name] != hold}
    wanted = "".join(f"{name} {'hold' if hold else 'install'}\n" for name in sorted(names))
    if wanted and not module.check_mode:
        module.run_command(["dpkg", "--set-selections"], data=wanted, check_rc=True)
    module.exit_json(changed=bool(names), packages=sorted(names))


if __name__ == "__main__":
    main()
