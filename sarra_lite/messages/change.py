"""What an operator's playbook has changed: an entry of the same stream as the reports of all users.

The message has the form of an announcement without a path, with the field ``change``.  It has no
report, and sr_src2log copies nothing of users without one: so no user can write such a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from sarra_lite.errors import MessageError
from sarra_lite.messages.limits import clean_text

if TYPE_CHECKING:
    from sarra_lite.messages.structs import Announcement

FIELD: Final = "change"
_WORDS: Final = 8  # hosts, names or roles that a sentence lists
_TASKS: Final = 25  # that are kept of an entry that is too large


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task that changed something on these hosts; ``told``: what it said, without secrets."""

    task: str
    hosts: list[str]
    told: list[str] = []


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run of a playbook has changed.

    ``began`` and ``ended`` are seconds since 1970, ``ended`` is None for a run that was killed.
    ``who`` is the login on the control machine ``host``.  ``more``: tasks that are left out.
    ``accounts``: names of those that were added, changed, removed, by kind (users, groups).
    """

    id: str
    who: str
    host: str
    began: float
    playbook: str
    ended: float | None = None
    revision: str = ""
    limit: str = ""
    tags: list[str] = []
    skipped: list[str] = []
    arguments: list[str] = []
    failed: list[str] = []
    changed: list[Task] = []
    more: int = 0
    accounts: dict[str, dict[str, list[str]]] = {}

    @property
    def time(self) -> float:
        """When it ended, or else began, in seconds since 1970."""
        return self.began if self.ended is None else self.ended


def parse(value: Any) -> Change:
    """Return the change in a JSON object; raise MessageError if it is none."""
    try:
        return msgspec.convert(value, Change)
    except msgspec.ValidationError as error:
        raise MessageError(f"not a change: {clean_text(str(error))}") from None


def change_of(message: Announcement) -> Change | None:
    """Return the change that a message of the stream of all users' reports tells; None: none."""
    if message.report is not None or FIELD not in message.extra:
        return None
    try:
        return parse(message.extra[FIELD])
    except MessageError:
        return None


def as_json(change: Change) -> Any:
    """Return a change as objects of JSON."""
    return msgspec.to_builtins(change)


def smaller(change: Change) -> Change:
    """Return a change without details, for one that is too large for a message."""
    kept = [Task(task.task, task.hosts[:_WORDS]) for task in change.changed[:_TASKS]]
    names = {
        kind: {what: _listed(names) for what, names in changes.items()}
        for kind, changes in change.accounts.items()
    }
    return msgspec.structs.replace(
        change,
        changed=kept,
        more=change.more + len(change.changed) - len(kept),
        accounts=names,
        arguments=_listed(change.arguments),
        failed=_listed(change.failed),
    )


def sentence(change: Change) -> str:
    """Return what was run, and what it changed where, as one line without the time."""
    options = [("--limit", change.limit), ("--tags", ",".join(change.tags))]
    options += [("--skip-tags", ",".join(change.skipped))]
    options += [("-e", argument) for argument in change.arguments]
    words = [change.playbook, *(f"{name} {value}" for name, value in options if value)]
    roles = dict.fromkeys(task.task.partition(" : ")[0] for task in change.changed)
    hosts = dict.fromkeys(host for task in change.changed for host in task.hosts)
    count = len(change.changed) + change.more
    tasks = f"{count} task{'s' if count != 1 else ''}"
    parts = [f"changed {tasks} on {_names(hosts)} ({_names(roles)})"]
    parts += [
        f"{kind} {what}: {_names(names)}"
        for kind, changes in change.accounts.items()
        for what, names in changes.items()
    ]
    if change.ended is None:
        parts.append("was killed")
    if change.failed:
        parts.append(f"failed: {_names(change.failed)}")
    return f"{' '.join(words)}: {'; '.join(parts)}"


def _names(names: Any) -> str:
    return ", ".join(_listed(list(names)))


def _listed(names: list[str]) -> list[str]:
    more = len(names) - _WORDS
    return [*names[:_WORDS], f"{more} more"] if more > 0 else names
