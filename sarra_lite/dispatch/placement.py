"""From an announcement to a job: may we, which local file, which name at the destination.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sarra_lite.config import matching
from sarra_lite.config.matching import Rejected
from sarra_lite.delivery.job import Job
from sarra_lite.errors import MessageError, TransferError
from sarra_lite.messages.v03 import check_path

if TYPE_CHECKING:
    from sarra_lite.broker.client import Delivery
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.messages.v03 import Announcement


def make_job(config: SenderConfig, announcement: Announcement, delivery: Delivery) -> Job:
    """Return what is to be done for an announcement.

    Raises MessageError (417) when a path leaves its directory, TransferError 403 when the author
    is not one we act for, 404 when a rule rejects it.
    """
    _authorise(config, delivery.user_id)
    check_path(announcement.rel_path)
    source = _local(config, announcement.base_url, announcement.rel_path)
    path = matching.destination_path(config, announcement, announcement.rel_path)
    if isinstance(path, Rejected):
        raise TransferError(404, f"{path.reason} of configuration {config.instance_name}")
    old = (announcement.file_op or {}).get("rename")
    old_path = None
    if old:
        before = matching.destination_path(
            config, announcement, _below_base(announcement.base_url, config.baseDir, old)
        )
        old_path = None if isinstance(before, Rejected) else before
    return Job(
        announcement=announcement,
        source=source,
        path=path,
        old_path=old_path,
        redelivered=delivery.redelivered,
        perm_copy=config.permCopy,
        time_copy=config.timeCopy,
        perm_default=config.permDefault,
        perm_dir_default=config.permDirDefault,
        verify=config.verify,
        fsync=config.fsync,
    )


def _authorise(config: SenderConfig, author: str | None) -> None:
    """Act on our own announcements, and on those of users whom the configuration names.

    RabbitMQ lets nobody publish under another's user_id.  sr3 does not send it.
    """
    if author is None:
        if config.requireUserId:
            raise TransferError(403, "announcement without a proven author (no user_id)")
    elif author != config.user and author not in config.acceptUsers:
        raise TransferError(403, f"announced by {author}, who is not in acceptUsers")


def _local(config: SenderConfig, base_url: str, rel_path: str) -> str:
    """Absolute path of the announced file on this host."""
    base = config.baseDir
    if base is None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("file", ""):
            raise MessageError(
                f"baseUrl {base_url} is not on this host: set baseDir in the configuration"
            )
        base = unquote(parts.path) or "/"
    return f"{base.rstrip('/')}/{rel_path}"


def _below_base(base_url: str, base_dir: str | None, name: str) -> str:
    """Path of the old name of a rename: sr3 writes it absolute, with or without the base."""
    for base in (unquote(urlsplit(base_url).path), base_dir or ""):
        inside = base.rstrip("/") + "/"
        if len(inside) > 1 and name.startswith(inside):
            name = name[len(inside) :]
            break
    return check_path(name.lstrip("/"))
