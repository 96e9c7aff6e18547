"""Callback of Ansible that has what a run changes written into the log of the scope.

A run of a playbook of this directory that changed something is one entry: who, when, which
playbook, and which tasks changed which hosts.  Names only: never values of variables or contents of
files.  The entry is a file on the control machine until playbooks/record.yml has sent it, which
this starts at the end of each run; so what a killed run has changed is sent later.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: scope_log
type: aggregate
short_description: Write what playbooks change into the log of the scope
description: One entry for each run that changed something; nothing in check mode.
"""
PLAYBOOKS: Final = Path(__file__).resolve().parents[1]
RECORD: Final = "record.yml"
#: Playbooks that change nothing.
QUIET: Final = frozenset({"validate.yml", "status.yml", "drift.yml", "backup.yml"})
#: Variables of the command line whose values are names of the scope; others' values are not told.
TOLD: Final = frozenset({"node", "state", "to", "user", "key", "member", "what"})
#: Modules whose results have lines without secrets in ``done``.
TELL: Final = frozenset({"rabbitmq_objects", "scope_revoked"})
MAX_TASKS, MAX_LINES, MAX_TEXT = 200, 30, 200
SECONDS: Final = 180  # for playbooks/record.yml
#: Options of this run that playbooks/record.yml needs, too.
OPTIONS: Final = {
    "inventory": "--inventory", "vault_ids": "--vault-id", "ask_vault_pass": "--ask-vault-pass",
    "vault_password_files": "--vault-password-file", "extra_vars": "--extra-vars",
    "private_key_file": "--private-key", "remote_user": "--user", "connection": "--connection",
    "timeout": "--timeout", "ssh_common_args": "--ssh-common-args", "ask_pass": "--ask-pass",
    "ssh_extra_args": "--ssh-extra-args", "become_method": "--become-method",
    "become_ask_pass": "--ask-become-pass", "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
}  # fmt: skip


class Run:
    """What a run has changed up to now."""

    def __init__(self, about: dict[str, Any]) -> None:
        """``about``: who started what, and when."""
        self.about = about
        self._tasks: dict[str, tuple[set[str], dict[str, None]]] = {}
        self._accounts: dict[str, dict[str, set[str]]] = {}
        self._failed: set[str] = set()

    def take(self, task: str, action: str, host: str, result: dict[str, Any]) -> bool:
        """Take the result of a task on a host; return whether it says that something changed."""
        for kind, changes in (result.get("accounts_changes") or {}).items():
            for what, names in changes.items():
                if names:
                    self._accounts.setdefault(kind, {}).setdefault(what, set()).update(names)
        if result.get("changed"):
            hosts, lines = self._tasks.setdefault(task[:MAX_TEXT], (set(), {}))
            hosts.add(host)
            said = (result.get("done") or []) if action in TELL else []
            lines.update(dict.fromkeys(str(line)[:MAX_TEXT] for line in said))
        return bool(result.get("changed"))

    def fail(self, host: str, why: str) -> None:
        """Note that a host did not do its part."""
        self._failed.add(f"{host}: {why}"[:MAX_TEXT])

    def changed(self) -> list[dict[str, Any]]:
        """Return the tasks that changed something, in order, with hosts and what they said."""
        return [
            {"task": task, "hosts": sorted(hosts), "told": list(lines)[:MAX_LINES]}
            for task, (hosts, lines) in self._tasks.items()
        ]

    def entry(self, ended: float | None) -> dict[str, Any]:
        """Return the entry; ``ended``: seconds since 1970, None while the run goes on."""
        changed = self.changed()
        accounts = {
            kind: {what: sorted(names) for what, names in changes.items()}
            for kind, changes in self._accounts.items()
        }
        more = {"more": max(0, len(changed) - MAX_TASKS), "accounts": accounts}
        told = {"ended": ended, "failed": sorted(self._failed), "changed": changed[:MAX_TASKS]}
        return self.about | told | more


def operator() -> str:
    """Return the login of who runs this, also behind sudo: the kernel keeps it, or sudo says it."""
    with suppress(OSError, ValueError, KeyError):
        number = int(Path("/proc/self/loginuid").read_text())
        if number not in (0, 2**32 - 1):
            return pwd.getpwuid(number).pw_name
    with suppress(KeyError):
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def revision() -> str:
    """Return the commit of the playbooks, with a plus sign if files differ from it; or nothing."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, cwd=PLAYBOOKS, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()
    return ""


def arguments(extra: dict[str, Any]) -> list[str]:
    """Return the variables of the command line: names, and values that are names of the scope."""
    names = sorted(extra.keys() - {"playbook_changes"})
    return [f"{name}={str(extra[name])[:MAX_TEXT]}" if name in TOLD else name for name in names]


def spool(inventories: list[str]) -> Path:
    """Return the directory of the entries of these inventories that are not sent yet."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = "_".join(re.sub(r"[^\w.-]+", "-", source).strip("-") for source in inventories)
    return Path(state).expanduser() / "sarra_lite" / "changes" / (name[-150:] or "none")


def waiting(directory: Path) -> list[Path]:
    """Return the entries to send, the oldest first: also those of runs that were killed."""
    for path in directory.glob("*.part"):
        if not Path("/proc", path.stem.rpartition("-")[2]).exists():
            path.replace(path.with_suffix(".json"))
    return sorted(directory.glob("*.json"))


def command(given: Any, files: list[Path]) -> list[str]:
    """Return the command that sends entries; ``given``: the options of this run."""
    words = [sys.executable, "-m", "ansible", "playbook", str(PLAYBOOKS / RECORD)]
    for name, flag in OPTIONS.items():
        value = given.get(name)
        if value is True:
            words.append(flag)
        elif value:
            several = value if isinstance(value, list | tuple) else [value]
            words += [f"{flag}={one}" for one in several]
    return [*words, "--extra-vars", json.dumps({"record_files": [str(path) for path in files]})]


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "scope_log"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Collect nothing until a playbook of this directory starts."""
        super().__init__()
        self._run: Run | None = None
        self._records = self._dirty = False
        self._directory = Path()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Begin an entry if the playbook is of this directory."""
        path = Path(playbook._file_name).resolve()  # noqa: SLF001  nothing else has it
        if path.parent != PLAYBOOKS or path.name == RECORD:
            return
        given = context.CLIARGS
        self._records = not given.get("check") and path.name not in QUIET
        about: dict[str, Any] = {"id": uuid.uuid4().hex}
        about |= {"who": operator(), "host": socket.gethostname()}
        about |= {"began": time.time(), "playbook": path.name, "limit": given.get("subset") or ""}
        about |= {"revision": revision(), "skipped": list(given.get("skip_tags") or ())}
        about |= {"tags": [tag for tag in given.get("tags") or () if tag != "all"]}
        self._run = Run(about)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Let the play see what has changed before it, as the variable playbook_changes."""
        if self._run is not None:
            variables = play.get_variable_manager()
            sources = variables._inventory._sources or []  # noqa: SLF001  nothing else has it
            self._directory = spool([str(Path(source).resolve()) for source in sources])
            self._run.about["arguments"] = arguments(variables.extra_vars)
            variables.extra_vars["playbook_changes"] = self._run.changed()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: Any) -> None:  # noqa: ARG002
        """Keep what has changed before, in case that the run is killed."""
        if self._dirty:
            self._save(None)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take a result."""
        if self._run is not None:
            name, host = result.task.get_name(), result.host.get_name()
            self._dirty |= self._run.take(name, result.task.action, host, result.result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: Any = False) -> None:  # noqa: FBT002
        """Take a failure, before which a task may have changed something."""
        if self._run is not None and not ignore_errors:
            self._run.fail(result.host.get_name(), result.task.get_name())
        self.v2_runner_on_ok(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note a host that does not answer."""
        if self._run is not None:
            self._run.fail(result.host.get_name(), "does not answer")

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002
        """Complete the entry, and send all that wait."""
        if self._run is not None and self._records:
            if self._run.changed():
                part = self._save(time.time())
                part.replace(part.with_suffix(".json"))
            if files := waiting(self._directory):
                self._send(files)

    def _save(self, ended: float | None) -> Path:
        """Write the entry; return its file."""
        self._dirty = False
        assert self._run is not None  # noqa: S101
        entry = self._run.entry(ended)
        part = self._directory / f"{int(entry['began'])}-{os.getpid()}.part"
        if self._records:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.with_suffix(".new").write_text(json.dumps(entry))
            part.with_suffix(".new").replace(part)
        return part

    def _send(self, files: list[Path]) -> None:
        """Run playbooks/record.yml, which removes the files that it has sent."""
        problem = "playbooks/record.yml could not send them"
        try:
            subprocess.run(
                command(context.CLIARGS, files), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            problem = str(error)
        if left := [path for path in files if path.exists()]:
            self._display.warning(
                f"not in the log of the scope yet: {left[0]}"
                f"{f' and {len(left) - 1} more' if left[1:] else ''}; {problem}; the next run tries"
            )
