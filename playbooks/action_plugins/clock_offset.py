"""Action of Ansible that measures how far the clock of a host is from that of the control machine.

It returns ``low`` and ``high``, in seconds: the host's clock is ahead of this machine's by at least
``low`` and at most ``high``, which are negative if it is late.  They are as far from each other as
the fastest of a few questions took.
"""

from __future__ import annotations

import time
from typing import Any, Final

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

QUESTIONS: Final = 4  # the first may open the connection


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """The action."""

    TRANSFERS_FILES = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the bounds; raises ``AnsibleActionFail`` if the host does not tell the time."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        bounds = [self._ask() for _ in range(QUESTIONS)]
        low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
        return result | {"changed": False, "low": min(low, high), "high": max(low, high)}

    def _ask(self) -> tuple[float, float]:
        begin = time.time()
        answer = self._low_level_execute_command("date +%s.%N", sudoable=False)
        end = time.time()
        try:
            told = float(answer["stdout"])
        except ValueError as error:
            raise AnsibleActionFail(f"date says {answer['stdout']}{answer['stderr']}") from error
        return told - end, told - begin
