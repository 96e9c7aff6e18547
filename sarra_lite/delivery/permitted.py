"""Refuses what the configuration of a sender does not permit."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from sarra_lite.config.private import private_part
from sarra_lite.config.shared import EVENTS
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.errors import NotPermitted

if TYPE_CHECKING:
    from collections.abc import Collection

    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.delivery.destination import Destination
    from sarra_lite.sftp.client import Attributes

_CREATE_AND_MODIFY: Final = frozenset({"create", "modify"})


def any_state(job: Job) -> bool:
    """Return whether a job is permitted whatever is at the destination."""
    return job.root is None and job.config.allowed_events >= _CREATE_AND_MODIFY


def check_events(config: SenderConfig, events: frozenset[str]) -> None:
    """Raise NotPermitted if none of some events is among those of the configuration."""
    if not events & config.allowed_events:
        raise _not_permitted(config, events)


def _not_permitted(config: SenderConfig, events: Collection[str]) -> NotPermitted:
    asked = " or ".join(event for event in EVENTS if event in events)
    return NotPermitted(403, f"{asked}: not in events of configuration {config.name}")


def check_private(config: SenderConfig, *paths: str) -> None:
    """Raise NotPermitted for a path to keys or passwords, unless the option permits it."""
    for private in filter(None, map(private_part, paths)):
        if not config.privateFiles:
            name = private.rpartition("/")[2]
            raise NotPermitted(403, f"{name} holds keys or passwords: set privateFiles to send it")


async def check_present(destination: Destination) -> Outcome | None:
    """Check what a file, link or directory would replace.  Return an outcome if it is there.

    Raises NotPermitted if the event that it is at this destination is not permitted.
    """
    job, operation = destination.job, destination.job.announcement.file_op or {}
    check_events(job.config, job.announcement.events - {"rename"})
    if job.config.allowed_events >= _CREATE_AND_MODIFY or "directory" in operation:
        return None
    found = await destination.client.stat(job.path, follow_symlinks=False)
    needed = "create" if found is None else "modify"
    if needed in job.config.allowed_events or (found is None and "link" in operation):
        return None
    if found is None or not await _is_announced(destination, found):
        raise _not_permitted(job.config, {needed})
    if operation or job.announcement.blocks is not None:
        return None  # these change nothing then, or only attributes
    if await destination.set_attributes(found):
        return Outcome(201, "mode and time set; content was not sent", 0)
    return Outcome(201, "file sent", 0) if job.redelivered else Outcome(304, "file is there")


async def _is_announced(destination: Destination, found: Attributes) -> bool:
    """Return whether what was found is the announced link or version of a file."""
    target = (destination.job.announcement.file_op or {}).get("link")
    if target is None:
        return destination.is_announced(found)
    is_link = stat.S_ISLNK(found.mode or 0)
    return is_link and await destination.client.readlink(destination.job.path) == target
