"""The schedule: what is started when, and what a lost connection leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from sarra_lite.broker.client import Delivery
from sarra_lite.delivery.job import Job
from sarra_lite.dispatch.schedule import Pending, Schedule
from sarra_lite.messages.v03 import Announcement
from tests.lab.jobs import sender_config

if TYPE_CHECKING:
    from collections.abc import Callable

DELIVERY = Delivery(b"", None, None, "x", redelivered=False, offset=None)


class FakePool:
    """Notes jobs; nothing carries them out."""

    def __init__(self) -> None:
        """No job yet."""
        self.started: list[str] = []

    def submit(self, job: Job) -> None:
        self.started.append(job.announcement.pub_time)


def scheduled(*pub_times: str) -> tuple[Schedule, FakePool, list[Pending]]:
    """Return a schedule with announcements of one path, each of which waits for the one before."""
    pool = FakePool()
    schedule = Schedule(cast("Any", pool))
    found = []
    for pub_time in pub_times:
        announcement = Announcement(pub_time, "file:/", "f", size=1)
        found.append(Pending(Job(announcement, "/f", "f", sender_config()), DELIVERY))
        schedule.add(found[-1])
    return schedule, pool, found


def in_loop(scene: Callable[[], None]) -> None:
    async def run() -> None:
        scene()

    asyncio.run(run())


def test_a_lost_connection_starts_nothing_of_what_was_held_back() -> None:
    def scene() -> None:
        schedule, pool, (first, *_) = scheduled("1", "2", "3")
        first.running = False
        schedule.retry_later(first, 60)
        assert pool.started == ["1"]
        schedule.drop_idle()
        assert pool.started == ["1"], "it was dropped before what waited for it"
        assert not schedule

    in_loop(scene)


def test_a_lost_connection_leaves_what_a_worker_is_working_on() -> None:
    schedule, pool, (first, *_) = scheduled("1", "2", "3")
    schedule.drop_idle()
    assert list(schedule.values()) == [first]
    assert first.delivery is None
    assert pool.started == ["1"]


def test_after_a_lost_connection_what_is_redelivered_waits_for_what_is_still_running() -> None:
    schedule, pool, (first, second) = scheduled("1", "2")
    schedule.drop_idle()
    schedule.add(Pending(second.job, DELIVERY))
    assert pool.started == ["1"]
    first.running = False
    schedule.reported(first, first.job.announcement)
    assert pool.started == ["1", "2"]
