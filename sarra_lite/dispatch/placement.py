"""Makes a job of an announcement, without input or output: authorisation and both paths."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import structs

from sarra_lite.config import rules
from sarra_lite.delivery.job import Job
from sarra_lite.delivery.permitted import check_events, check_private
from sarra_lite.errors import MessageError, TransferError
from sarra_lite.messages.limits import check_path_form
from sarra_lite.messages.v03 import check_path

if TYPE_CHECKING:
    from sarra_lite.broker.client import Delivery
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.messages.v03 import Announcement


def make_job(config: SenderConfig, announcement: Announcement, delivery: Delivery) -> Job:
    """Return the job for an announcement.

    Raises MessageError (417) when a path leaves its directory or is longer than any can be,
    TransferError 403 when the author is not authorised or ``events`` has not what is announced, 404
    when a rule rejects the file.
    """
    _authorise(config, delivery.user_id)
    announcement = with_author(config, announcement, delivery)
    check_events(config, announcement.events)
    check_path(announcement.rel_path)
    try:
        base_url = urlsplit(announcement.base_url)
    except ValueError as error:
        raise MessageError(f"baseUrl: {error}") from None
    source = _source_path(config, base_url, announcement.rel_path)
    path = config.destination_path(announcement, announcement.rel_path)
    old_path = _old_path(config, announcement, unquote(base_url.path))
    check_path_form(source, "the path at the source")
    check_path_form(path, "the path at the destination")
    if old_path is not None:
        check_path_form(old_path, "the old path at the destination")
    if "rename" not in config.allowed_events:
        old_path = None  # the old name stays there
    target = (announcement.file_op or {}).get("link", "")
    check_private(config, source, path, old_path or "", target)
    job = Job(announcement, source, path, config, old_path, redelivered=delivery.redelivered)
    if announcement.source == config.broker.user:
        return job
    return replace(job, root=_root(config, announcement), source_root=config.baseDir)


def with_author(
    config: SenderConfig, announcement: Announcement, delivery: Delivery
) -> Announcement:
    """Return an announcement whose source is its proven author.

    Without one, it counts as announced by our own broker user, who may write to the exchange.
    """
    return structs.replace(announcement, source=delivery.user_id or config.broker.user)


def _authorise(config: SenderConfig, author: str | None) -> None:
    """Accept announcements of our own broker user and of those in acceptUsers, else raise 403.

    ``author`` is the AMQP property user_id, which RabbitMQ verifies; sr3 does not set it.  Where
    others than the own user may announce, who leaves it out may be anyone.
    """
    if author is None:
        if config.requireUserId or config.acceptUsers:
            raise TransferError(403, "announcement without a proven author (no user_id)")
    elif author != config.broker.user and author not in config.acceptUsers:
        raise TransferError(403, f"announced by {author}, who is not in acceptUsers")


def _root(config: SenderConfig, announcement: Announcement) -> str:
    """Return the directory at the destination without the parts that the author can choose."""
    rule, match = config.accepting_rule(announcement)
    template = rules.trusted(config.directory if rule.directory is None else rule.directory)
    return rules.substituted(template, announcement, match, config.broker.user)


def _source_path(config: SenderConfig, base_url: SplitResult, rel_path: str) -> str:
    """Return the absolute path of the announced file on this host."""
    base = config.baseDir
    if base is None:
        if base_url.scheme not in ("file", ""):
            raise MessageError(
                f"baseUrl {base_url.geturl()} is not on this host: set baseDir in the configuration"
            )
        base = unquote(base_url.path) or "/"
    return f"{base.rstrip('/')}/{rel_path}"


def _old_path(config: SenderConfig, announcement: Announcement, base_of_url: str) -> str | None:
    """Return the path at the destination that a rename starts from; None where there is none.

    In the announcement it is absolute, with or without the base directory, as sr3 writes it.
    """
    name = (announcement.file_op or {}).get("rename")
    if not name:
        return None
    for base in (base_of_url, config.baseDir or ""):
        prefix = base.rstrip("/") + "/"
        if len(prefix) > 1 and name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    return config.destination_path(announcement, check_path(name.lstrip("/")))
