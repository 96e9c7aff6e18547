"""Ansible module that limits the disk space of directories by the file system's own quotas."""

from __future__ import annotations

import contextlib
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Protocol

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: disk_quotas
short_description: Limit the disk space of directories
description:
  - Sets, changes and removes limits of directories at the top of a file system, with the quotas of
    that file system.  Other directories, and limits that others have set on them, stay as they are.
options:
  backend:
    description: Kind of the file system.  C(local) is ext4 or XFS with project quotas.
    type: str
    choices: [glusterfs, cephfs, lustre, local]
    required: true
  mount: {description: Directory that contains the directories., type: path, required: true}
  volume: {description: Name of the GlusterFS volume., type: str, default: ""}
  settings: {description: Options of a GlusterFS volume with quotas., type: dict, default: {}}
  quotas:
    description: The directories; C(bytes) is 0 for no limit, C(id) the number of the project.
    type: list
    elements: dict
    required: true
"""
KIB = 1024
# GlusterFS looks before each write whether it fits, once this little of a quota is left (bytes);
# before, it trusts for seconds what it knows, which is twice as fast.
WATCHED = 4 * 1024**3
Quota = dict[str, Any]


class Backend(Protocol):
    """Limits of directories on one kind of file system."""

    def is_set(self, quota: Quota) -> bool:
        """Return whether a directory has its limit, or none if it should have none."""

    def set(self, quota: Quota) -> None:
        """Set or remove the limit of a directory."""


def watched_from(limit: int) -> int:
    """Return the per cent of a limit in bytes from which on GlusterFS looks before each write."""
    return max(1, 100 * (limit - WATCHED) // limit)


class GlusterFS:
    """Directory quotas of a GlusterFS volume; runs on one of its servers."""

    def __init__(self, module: AnsibleModule) -> None:
        """Read the present limits; ``module`` runs the commands."""
        self._module, self._volume = module, module.params["volume"]
        listed = self._ask("quota", self._volume, "list")
        self._enabled = listed.findtext("opRet") == "0" or self._is_on()
        self._limits = {
            each.findtext("path"): (
                int(each.findtext("hard_limit") or 0),
                each.findtext("soft_limit_percent"),
            )
            for each in listed.iter("limit")
        }

    def is_set(self, quota: Quota) -> bool:
        """Return whether a directory has its limit and is watched in time."""
        size = quota["bytes"]
        wanted = (size, f"{watched_from(size)}%") if size else None
        return self._limits.get(f"/{quota['directory']}") == wanted

    def set(self, quota: Quota) -> None:
        """Set or remove a limit; enable quotas before the first one."""
        if not self._enabled:
            self._do("quota", self._volume, "enable")
            self._enabled = True
        path = f"/{quota['directory']}"
        if quota["bytes"]:
            size = quota["bytes"]
            percent = str(watched_from(size))
            self._do("quota", self._volume, "limit-usage", path, str(size), percent)
        else:
            self._do("quota", self._volume, "remove", path)

    def settings(self) -> list[str]:
        """Set the options of the volume that differ; return their names."""
        if not self._enabled:
            return []
        found = {
            each.findtext("name"): each.findtext("value")
            for each in self._ask("info", self._volume).iter("option")
        }
        differing = {k: v for k, v in self._module.params["settings"].items() if found.get(k) != v}
        for key, value in differing.items():
            if not self._module.check_mode:
                self._do("set", self._volume, key, value)
        return list(differing)

    def _is_on(self) -> bool:
        options = self._ask("info", self._volume).iter("option")
        return ("features.quota", "on") in {
            (each.findtext("name"), each.findtext("value")) for each in options
        }

    def _ask(self, *words: str) -> ET.Element:
        command = ["gluster", "--mode=script", "--xml", "volume", *words]
        _, out, _ = self._module.run_command(command)
        try:
            return ET.fromstring(out)  # noqa: S314  our own program's output
        except ET.ParseError:
            self._module.fail_json(msg=f"{' '.join(command)}: {out.strip()}")
            raise

    def _do(self, *words: str) -> None:
        answer = self._ask(*words)
        if answer.findtext("opRet") != "0":
            text = f"gluster volume {' '.join(words)}: {answer.findtext('opErrstr')}"
            self._module.fail_json(msg=text)


class CephFS:
    """Quotas of CephFS, which are extended attributes of directories."""

    ATTRIBUTE = "ceph.quota.max_bytes"

    def __init__(self, module: AnsibleModule) -> None:
        """Note the mount point."""
        self._mount = module.params["mount"]

    def is_set(self, quota: Quota) -> bool:
        """Return whether a directory has its limit."""
        with contextlib.suppress(OSError):  # it has none
            found = os.getxattr(f"{self._mount}/{quota['directory']}", self.ATTRIBUTE)
            return bool(int(found) == quota["bytes"])
        return not quota["bytes"]

    def set(self, quota: Quota) -> None:
        """Set a limit; 0 removes it."""
        value = str(quota["bytes"]).encode()
        os.setxattr(f"{self._mount}/{quota['directory']}", self.ATTRIBUTE, value)


class Projects:
    """Project quotas: each directory is a project, whose number is that of its account.

    Files that exist already when a directory becomes a project are put into it, too.
    """

    def __init__(self, module: AnsibleModule) -> None:
        """``module`` runs the commands."""
        self._module, self._mount = module, module.params["mount"]
        self._lustre = module.params["backend"] == "lustre"

    def is_set(self, quota: Quota) -> bool:
        """Return whether a directory has its limit; it has none while it is no project."""
        return bool(self._limit(quota) == quota["bytes"])

    def _limit(self, quota: Quota) -> int:
        if self._project(quota) != quota["id"]:
            return 0
        number = str(quota["id"])
        if self._lustre:  # file system, KiB used, soft limit, hard limit ...
            words = self._run("lfs", "quota", "-q", "-p", number, self._mount).split()
            return int(words[3]) * KIB
        for line in self._run("repquota", "-P", "-n", "-O", "csv", self._mount).splitlines():
            # project, states, KiB used, soft limit, hard limit ...
            words = line.split(",")
            if words[0] == f"#{number}":
                return int(words[5]) * KIB
        return 0

    def set(self, quota: Quota) -> None:
        """Make the directory a project, and set its limit; 0 removes it."""
        path, number = f"{self._mount}/{quota['directory']}", str(quota["id"])
        kib = str(quota["bytes"] // KIB)
        if self._project(quota) != quota["id"]:
            tool = ("lfs", "project", "-r", "-s") if self._lustre else ("chattr", "-R", "+P")
            self._run(*tool, "-p", number, path)
        if self._lustre:
            self._run("lfs", "setquota", "-p", number, "-B", f"{kib}K", self._mount)
        else:
            self._run("setquota", "-P", number, "0", kib, "0", "0", self._mount)

    def _project(self, quota: Quota) -> int:
        path = f"{self._mount}/{quota['directory']}"
        if not Path(path).is_dir():  # that of a group without a limit
            return 0
        tool = ("lfs", "project", "-d") if self._lustre else ("lsattr", "-p", "-d")
        return int(self._run(*tool, path).split()[0])

    def _run(self, *command: str) -> str:
        _, out, _ = self._module.run_command(list(command), check_rc=True)
        return str(out)


BACKENDS: dict[str, Any] = {
    "glusterfs": GlusterFS,
    "cephfs": CephFS,
    "lustre": Projects,
    "local": Projects,
}


def apply(backend: Backend, quotas: list[Quota], *, check: bool) -> list[str]:
    """Make the limits those given; return the directories whose limits differed."""
    differing = [quota for quota in quotas if not backend.is_set(quota)]
    for quota in differing:
        if not check:
            backend.set(quota)
    return [quota["directory"] for quota in differing]


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "backend": {"choices": sorted(BACKENDS), "required": True},
            "mount": {"type": "path", "required": True},
            "volume": {"type": "str", "default": ""},
            "settings": {"type": "dict", "default": {}},
            "quotas": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    quotas = [{**each, "bytes": int(each["bytes"])} for each in given["quotas"]]
    tool = {"glusterfs": "gluster", "lustre": "lfs", "local": "setquota"}.get(given["backend"])
    if module.check_mode and not (tool is None or module.get_bin_path(tool)):
        module.exit_json(changed=bool(quotas), limited=[each["directory"] for each in quotas])
    backend = BACKENDS[given["backend"]](module)
    changed = apply(backend, quotas, check=module.check_mode)
    if isinstance(backend, GlusterFS):
        changed += backend.settings()
    module.exit_json(changed=bool(changed), limited=changed)


if __name__ == "__main__":
    main()
