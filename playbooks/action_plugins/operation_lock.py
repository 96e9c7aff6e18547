"""Action of Ansible that takes, or gives back, the lock of a scope for this run of a playbook.

Arguments: ``what`` is the name of the playbook, ``state`` is taken or released, ``force`` takes a
lock from another control machine, ``path`` is another file than that of the module.

The lock is a file on a host of the scope, so that it is the same for all control machines.  It
names the process that holds it: when that has ended on this control machine, however it ended, the
lock is taken over.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
from pathlib import Path
from typing import Any, Final

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

Holder = dict[str, str]
MODULE: Final = "operation_lock_file"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """The action."""

    TRANSFERS_FILES = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return when the lock is taken or given back; in check mode it does nothing.

        Raises ``AnsibleActionFail`` if a run that has not ended holds it.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.check_mode:
            return result | {"changed": False}
        # Tasks run in processes whose parent is the run of the playbook.
        me = holder(self._task.args["what"], os.getppid())
        wanted, known = ("" if self._released else json.dumps(me)), ""
        while (found := self._swap(known, wanted, task_vars)) != known:
            before = read(found)
            mine = before == me
            if self._released and not mine:
                break  # somebody took it over: it is not ours to give back
            if before and not (mine or self._task.args.get("force") or ended(before, me)):
                raise AnsibleActionFail(refusal(before))
            known = found
        return result | {"changed": known != wanted}

    @property
    def _released(self) -> bool:
        return str(self._task.args["state"]) == "released"

    def _swap(self, known: str, wanted: str, task_vars: dict[str, Any] | None) -> str:
        """Replace the content ``known`` of the file, and return what was there."""
        arguments = {"known": known, "wanted": wanted}
        if path := self._task.args.get("path"):
            arguments["path"] = path
        done = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        if "found" not in done:
            raise AnsibleActionFail(str(done.get("msg", done)))
        return str(done["found"])


def read(found: str) -> Holder:
    """Return who holds the lock; nobody if the file was not written to its end."""
    try:
        return dict(json.loads(found or "{}"))
    except ValueError:
        return {}


def holder(what: str, pid: int) -> Holder:
    """Return what names the run of a playbook in a process of this machine."""
    return {
        "what": what,
        "who": os.environ.get("SUDO_USER") or getpass.getuser(),
        "machine": machine(),
        "name": platform.node(),
        "pid": str(pid),
        "began": began(pid),
    }


def machine() -> str:
    """Return an identifier of this machine that no other has, or else its name."""
    try:
        return Path("/etc/machine-id").read_text().strip() or platform.node()
    except OSError:
        return platform.node()


def began(pid: int) -> str:
    """Return when a process began, in ticks since a certain boot; empty if it has ended.

    Source: proc(5), field 22 of /proc/PID/stat.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"


def ended(before: Holder, me: Holder) -> bool:
    """Return whether a run has ended, as far as this machine can tell."""
    return before["machine"] == me["machine"] and began(int(before["pid"])) != before["began"]


def refusal(before: Holder) -> str:
    """Return a line that says who holds the lock, and what to do."""
    return (
        f"{before['what']}.yml is running, started by {before['who']} on {before['name']} (process"
        f" {before['pid']}): wait until it ends. If it has ended there, say -e take_lock=true"
    )
