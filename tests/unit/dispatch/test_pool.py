"""Workers and their pool: outages, capacity, and a worker that cannot work."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from sarra_lite.delivery.job import Job
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.delivery.work_stealing import SharedRanges
from sarra_lite.dispatch.pool import Done, Down, Fatal, WorkerPool
from sarra_lite.dispatch.worker import Task, Worker
from sarra_lite.errors import DestinationDown, SarraError
from sarra_lite.messages.v03 import Announcement, Blocks
from sarra_lite.sftp import session
from sarra_lite.sftp.client import SftpClient
from tests.lab.scripted import Request, Scripted, target
from tests.lab.site import wait_until

if TYPE_CHECKING:
    import pytest

    from sarra_lite.sftp.target import Target


class FakePool:
    """A pool whose tasks, once put back, are done by somebody else."""

    def __init__(self, *tasks: Task) -> None:
        """``tasks``: to be taken from the last to the first."""
        self.shared = SharedRanges(lambda: None)
        self.tasks = list(tasks)
        self.back: list[Task] = []
        self.downs = 0

    def take(self) -> Task | None:
        return self.tasks.pop() if self.tasks else None

    def has_tasks(self) -> bool:
        return bool(self.tasks)

    def put_back(self, task: Task) -> None:
        self.back.append(task)

    def done(self, done: Done) -> None:
        raise AssertionError(done)

    def written(self, count: int) -> None:
        pass

    def slow_login(self) -> None:
        pass

    def up(self, client: SftpClient) -> None:
        pass

    def down(self, error: SarraError) -> None:
        assert isinstance(error, DestinationDown)
        self.downs += 1

    def fatal(self, error: Exception) -> None:
        raise error


def worker_of(pool: Any) -> Worker:
    return Worker(pool, lambda: SftpClient(target()), RateLimit(0), "worker-0")


def stop(worker: Worker) -> None:
    worker.stop.set()
    worker.wake()
    worker.join(5)


def vanishing(_: Target) -> Scripted:
    """Return a server that hangs up at the first request."""

    def script(_: Request) -> None:
        server.hang_up()

    server = Scripted(script)
    return server


def test_a_worker_takes_tasks_again_after_an_outage_though_another_did_its_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "connect", vanishing)
    announcement = Announcement(
        pub_time="20261125T000000", base_url="file:", rel_path="a", file_op={"remove": ""}
    )
    pool = FakePool(Task(Job(announcement, "/a", "a"), None))
    worker = worker_of(pool)
    wait_until(lambda: pool.downs == 1)
    wait_until(lambda: worker.idle, 10)
    assert [task.job.redelivered for task in pool.back] == [True]  # it may have been done
    stop(worker)


def test_a_worker_starts_no_more_blocks_than_it_can_send_at_once(
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
    pool = FakePool(*[Task(Job(announcement, "/a", "a"), None)] * 10)
    worker = worker_of(pool)
    wait_until(lambda: pool.downs == 1)
    assert len(pool.back) == 1  # all that it had started
    stop(worker)


def test_a_worker_that_cannot_work_reports_it_instead_of_ending_silently() -> None:
    def broken() -> SftpClient:
        raise FileNotFoundError("no usable temporary directory")

    events: queue.SimpleQueue[Done | Down | Fatal] = queue.SimpleQueue()
    pool = WorkerPool(1, broken, RateLimit(0), events.put, lambda _count: None)
    announcement = Announcement(pub_time="20261125T000000", base_url="file:", rel_path="a")
    pool.submit(Job(announcement, "/a", "a"))
    event = events.get(timeout=5)
    pool.close(1.0)
    assert isinstance(event, Fatal)
    assert "temporary" in str(event.error)
