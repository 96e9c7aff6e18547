"""Jobs and hooks for tests that deliver without a dispatcher."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sarra_lite import units
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.delivery.job import Job
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.delivery.stopwatch import Stopwatch
from sarra_lite.delivery.upload import Hooks
from sarra_lite.delivery.work_stealing import SharedRanges
from sarra_lite.messages.v03 import Announcement

if TYPE_CHECKING:
    from pathlib import Path

    from sarra_lite.messages.v03 import Blocks


def sender_config(**options: Any) -> SenderConfig:
    """Return the configuration of a sender."""
    broker, host = parse_url("amqp://u@broker/", ["amqp"]), parse_url("sftp://u@host/", ["sftp"])
    return SenderConfig(broker=broker, sendTo=host, **options)


def job_of(path: Path, blocks: Blocks | None = None, **options: Any) -> Job:
    """Return the job to send a file, or a block of it, under the name ``file``."""
    found = path.stat()
    announcement = Announcement(
        pub_time="20261125T000000",
        base_url="file:",
        rel_path="file",
        size=found.st_size,
        mtime=units.time_string(found.st_mtime_ns),
        blocks=blocks,
    )
    return Job(announcement, str(path), "file", sender_config(**options))


def quiet_hooks(shared: SharedRanges | None = None) -> Hooks:
    """Return hooks without a rate limit, whose callbacks do nothing."""
    shared = shared or SharedRanges(lambda: None)
    return Hooks(RateLimit(0), asyncio.Event(), lambda _: None, lambda _: None, shared, Stopwatch())
