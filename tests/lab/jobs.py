"""Delivery jobs for tests that call ``sarra_lite.delivery`` without a dispatcher."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sarra_lite import units
from sarra_lite.delivery.job import Job
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.delivery.upload import Hooks
from sarra_lite.delivery.work_stealing import Pool
from sarra_lite.messages.v03 import Announcement

if TYPE_CHECKING:
    from pathlib import Path

    from sarra_lite.messages.v03 import Blocks


def job_of(path: Path, blocks: Blocks | None = None, **options: Any) -> Job:
    """Return a job that sends a file, or a block of it, as ``file`` at the destination."""
    status = path.stat()
    announcement = Announcement(
        pub_time="20261125T000000",
        base_url="file:",
        rel_path="file",
        size=status.st_size,
        mtime=units.time_string(status.st_mtime_ns),
        blocks=blocks,
    )
    return Job(announcement, str(path), "file", **options)


def quiet_hooks(pool: Pool | None = None) -> Hooks:
    """Return hooks without a rate limit, whose callbacks do nothing."""
    pool = pool or Pool(lambda: None)
    return Hooks(RateLimit(0), threading.Event(), lambda _: None, lambda _: None, pool)
