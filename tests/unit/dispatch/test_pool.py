"""Lanes: what becomes of one that cannot work."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from sarra_lite.delivery.job import Job
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.delivery.work_stealing import Pool
from sarra_lite.dispatch.pool import Done, Down, Fatal, WorkerPool
from sarra_lite.dispatch.tasks import Task
from sarra_lite.dispatch.worker import Worker
from sarra_lite.errors import DestinationDown, SarraError
from sarra_lite.messages.v03 import Announcement, Blocks
from sarra_lite.sftp import session
from sarra_lite.sftp.client import SftpClient
from tests.lab.scripted import Request, Scripted, target
from tests.lab.site import wait_until

if TYPE_CHECKING:
    import pytest

    from sarra_lite.sftp.target import Target


class Counter:
    """An office with tasks, which somebody else does when they were put back."""

    def __init__(self, *tasks: Task) -> None:
        """Nobody was told of an outage yet."""
        self.pool = Pool(lambda: None)
        self.tasks = list(tasks)
        self.back: list[Task] = []
        self.downs = 0

    def take(self) -> Task | None:
        return self.tasks.pop() if self.tasks else None

    def waiting(self) -> bool:
        return bool(self.tasks)

    def put_back(self, task: Task) -> None:
        self.back.append(task)

    def tell(self, done: Done) -> None:
        raise AssertionError(done)

    def moved(self, count: int) -> None:
        pass

    def late(self) -> None:
        pass

    def up(self, connection: SftpClient) -> None:
        pass

    def down(self, error: SarraError) -> None:
        assert isinstance(error, DestinationDown)
        self.downs += 1

    def fatal(self, error: Exception) -> None:
        raise error


def vanishing(_: Target) -> Scripted:
    """Return a server that hangs up at the first request."""

    def script(_: Request) -> None:
        server.hang_up()

    server = Scripted(script)
    return server


def test_a_lane_whose_task_another_does_after_an_outage_takes_tasks_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "connect", vanishing)
    announcement = Announcement(
        pub_time="20261125T000000", base_url="file:", rel_path="a", file_op={"remove": ""}
    )
    office = Counter(Task(Job(announcement, "/a", "a"), None))
    lane = Worker(office, lambda: SftpClient(target()), RateLimit(0), "lane-0")
    wait_until(lambda: office.downs == 1)
    wait_until(lambda: lane.idle, 10)
    assert [task.job.redelivered for task in office.back] == [True]  # who knows what was done
    lane.stop.set()
    lane.wake()
    lane.join(5)


def test_a_lane_begins_no_more_blocks_than_it_can_send_while_others_may_be_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "connect", vanishing)
    size = 16 * 1024 * 1024
    announcement = Announcement(
        pub_time="20261125T000000",
        base_url="file:",
        rel_path="a",
        size=10 * size,
        blocks=Blocks(size, 10, 0, number=0, finish=True),
    )
    office = Counter(*[Task(Job(announcement, "/a", "a"), None)] * 10)
    lane = Worker(office, lambda: SftpClient(target()), RateLimit(0), "lane-0")
    wait_until(lambda: office.downs == 1)
    assert len(office.back) == 1  # all that it had begun
    lane.stop.set()
    lane.wake()
    lane.join(5)


def test_a_lane_that_breaks_says_so_instead_of_ending_silently() -> None:
    def broken() -> SftpClient:
        raise FileNotFoundError("no usable temporary directory")

    told: queue.SimpleQueue[Done | Down | Fatal] = queue.SimpleQueue()
    lanes = WorkerPool(1, broken, RateLimit(0), told.put, lambda _count: None)
    announcement = Announcement(pub_time="20261125T000000", base_url="file:", rel_path="a")
    lanes.submit(Job(announcement, "/a", "a"))
    event = told.get(timeout=5)
    lanes.close(1.0)
    assert isinstance(event, Fatal)
    assert "temporary" in str(event.error)
