"""Ansible module that tells which packages of a host have updates, and what must be restarted."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: updates_available
short_description: Tell updates of packages, also of those on hold, and what waits for a restart
description:
  - Asks apt what it would do, and needrestart what runs with replaced files.  Changes nothing but
    the lists of packages, which it reads anew.
options:
  lists: {description: Whether to read the lists of packages anew., type: bool, default: true}
"""
PLANNED = re.compile(r"^Inst (?P<name>\S+)(?: \[(?P<old>[^]]+)\])? \((?P<new>\S+) ")
REMOVED = re.compile(r"^Remv (?P<name>\S+)")
# How many parts of its version make a new one of a program whose hosts must not run two of them.
# RabbitMQ: https://www.rabbitmq.com/docs/upgrade; GlusterFS counts whole numbers.
JUMPS = {"rabbitmq-server": 2, "glusterfs-server": 1, "glusterfs-client": 1}
REBOOT = Path("/run/reboot-required")
LINES = re.compile(r"^NEEDRESTART-(\w+): *(.*)$", re.MULTILINE)
KERNEL_OLD = ("2", "3")  # needrestart(1), batch mode: an older kernel runs than is installed


def planned(text: str) -> list[dict[str, str]]:
    """Return the packages that apt would install, with the present version or nothing.

    A line is such as ``Inst libc6 [2.36-9] (2.36-10 Debian:12.10/stable [amd64])``.
    """
    found = [match for line in text.splitlines() if (match := PLANNED.match(line))]
    return [{key: value or "" for key, value in match.groupdict().items()} for match in found]


def removed(text: str) -> list[str]:
    """Return the packages that apt would remove."""
    return [match["name"] for line in text.splitlines() if (match := REMOVED.match(line))]


def jumps(packages: list[dict[str, str]]) -> list[str]:
    """Return what would be another version of a program of a cluster."""
    return [
        f"{each['name']} {each['old']} to {each['new']}"
        for each in packages
        if each["name"] in JUMPS
        and each["old"]
        and series(each["old"], JUMPS[each["name"]]) != series(each["new"], JUMPS[each["name"]])
    ]


def series(version: str, parts: int) -> list[str]:
    """Return the first parts of a version, without Debian's epoch."""
    return re.split(r"[.~+-]", version.rpartition(":")[2])[:parts]


def waiting(text: str) -> tuple[list[str], bool]:
    """Return the services that run with replaced files, and whether an older kernel runs."""
    lines = LINES.findall(text)
    services = sorted(value for key, value in lines if key == "SVC")
    return services, any(key == "KSTA" and value in KERNEL_OLD for key, value in lines)


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"lists": {"type": "bool", "default": True}}, supports_check_mode=True
    )

    def run(*command: str) -> str:
        code, out, err = module.run_command([*command], environ_update={"LC_ALL": "C"})
        if code:
            lines = (err or out).strip().splitlines()
            module.fail_json(msg=f"{' '.join(command)}: {lines[-1] if lines else code}")
        return str(out)

    if module.params["lists"]:
        run("apt-get", "--quiet", "update")
    simulated = run("apt-get", "--simulate", "--ignore-hold", "dist-upgrade")
    needrestart = Path("/usr/sbin/needrestart")
    services, kernel = (
        waiting(run(str(needrestart), "-b", "-r", "l"))
        if os.access(needrestart, os.X_OK)
        else ([], False)
    )
    packages = planned(simulated)
    module.exit_json(
        packages=packages,
        removed=removed(simulated),
        jumps=jumps(packages),
        services=services,
        reboot=kernel or REBOOT.exists(),
    )


if __name__ == "__main__":
    main()
