"""Workers and their pool: outages, capacity, and a worker that cannot work."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from paramiko import sftp as constants

from sarra_lite import runtime
from sarra_lite.delivery import source
from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.delivery.rate_limit import RateLimit
from sarra_lite.delivery.work_stealing import SharedRanges
from sarra_lite.dispatch import tasks
from sarra_lite.dispatch.observer import Observer
from sarra_lite.dispatch.pool import Done, Down, UnderWay, WorkerPool, connections_for
from sarra_lite.dispatch.worker import Worker
from sarra_lite.errors import DestinationDown, DestinationRefused, SarraError, ServerFailure
from sarra_lite.messages.v03 import Announcement, Blocks
from sarra_lite.sftp import session
from sarra_lite.sftp.client import SftpClient
from tests.lab.jobs import job_of, sender_config
from tests.lab.scripted import Files, Request, Scripted, target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sarra_lite.delivery.upload import Hooks
    from sarra_lite.sftp.target import Target


class FakePool:
    """A pool whose jobs, once put back, are done by somebody else."""

    def __init__(self, *jobs: Job) -> None:
        """``jobs``: for the worker."""
        self.shared = SharedRanges(lambda: None)
        self.stop = asyncio.Event()
        self.rate_limit = RateLimit(0)
        self.back: list[Job] = []
        self.jobs = deque(jobs)
        self.downs = 0
        self.observer = Observer(list, self.on_event, self.on_written)

    def put_back_lost(self, job: Job) -> None:
        self.back.append(job)

    def connect(self) -> SftpClient:
        return SftpClient(target())

    def on_event(self, event: object) -> None:
        raise AssertionError(event)

    def on_written(self, count: int) -> None:
        pass

    def slow_login(self) -> None:
        pass

    def up(self, client: SftpClient) -> None:
        pass

    def down(self, error: SarraError) -> None:
        assert isinstance(error, DestinationDown)
        self.downs += 1


def worker_of(pool: Any) -> Worker:
    return Worker(pool, "worker-0")


async def stop(worker: Worker, pool: FakePool) -> None:
    pool.stop.set()
    worker.wake()
    await asyncio.wait_for(worker.task, 5)


async def until(done: Callable[[], bool]) -> None:
    """Return when ``done`` returns true; fail after 10 seconds."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)


async def vanishing(_: Target) -> Scripted:
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

    async def run() -> None:
        pool = FakePool(Job(announcement, "/a", "a", sender_config()))
        worker = worker_of(pool)
        await until(lambda: pool.downs == 1)
        await until(lambda: worker.idle)
        assert [job.redelivered for job in pool.back] == [True]  # it may have been done
        await stop(worker, pool)

    asyncio.run(run())


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

    async def run() -> None:
        pool = FakePool(*[Job(announcement, "/a", "a", sender_config())] * 10)
        worker = worker_of(pool)
        await until(lambda: pool.downs == 1)
        assert len(pool.back) == 1  # all that it had started
        await stop(worker, pool)

    asyncio.run(run())


def test_a_worker_that_cannot_work_reports_it_instead_of_ending_silently() -> None:
    def broken() -> SftpClient:
        raise FileNotFoundError("no usable temporary directory")

    async def run() -> None:
        events: asyncio.Queue[Done | Down | UnderWay | Exception] = asyncio.Queue()
        pool = WorkerPool(1, broken, RateLimit(0), events.put_nowait, lambda _count: None)
        announcement = Announcement(pub_time="20261125T000000", base_url="file:", rel_path="a")
        pool.submit(Job(announcement, "/a", "a", sender_config()))
        event = await asyncio.wait_for(events.get(), 5)
        await pool.close(1.0)
        assert isinstance(event, FileNotFoundError)
        assert "temporary" in str(event)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("milliseconds", "count"), [(0, 2), (0.2, 2), (10, 2), (20, 3), (50, 4), (100, 7), (500, 8)]
)
def test_the_farther_the_destination_the_more_connections(milliseconds: float, count: int) -> None:
    assert connections_for(milliseconds / 1000) == count


class Directories(Files):
    """Files of directories that must be created first."""

    def __init__(
        self, on_create: Callable[[], None] = lambda: None, *, denied: bool = False
    ) -> None:
        """``on_create`` is called at each MKDIR; ``denied``: none may be created."""
        super().__init__()
        self._on_create, self._denied = on_create, denied
        self._created: set[bytes] = set()

    def __call__(self, request: Request) -> bytes | None:
        """Return the response to a request."""
        kind, rest = request.kind, request.rest
        directory, slash, _ = request.string().rpartition(b"/")
        if kind == constants.CMD_MKDIR:
            self._on_create()
            if self._denied:
                return request.status(constants.SFTP_PERMISSION_DENIED)
            self._created.add(rest[4 : 4 + int.from_bytes(rest[:4])])
            return request.status()
        if kind == constants.CMD_OPEN and slash and directory not in self._created:
            return request.status(constants.SFTP_NO_SUCH_FILE)
        request.rest = rest
        return super().__call__(request)


class Sessions:
    """Connects each session to a new server with the same files; ``refused``: from which on not."""

    def __init__(self, refused: int = 99) -> None:
        """No server is started yet."""
        self.files = Files()
        self.servers: list[Scripted] = []
        self.refused = refused
        self.events: list[object] = []

    async def connect(self, _: Target) -> Scripted:
        if len(self.servers) >= self.refused:
            raise DestinationDown("too many sessions")
        self.servers.append(Scripted(self.files))
        return self.servers[-1]

    def pool(self, count: int) -> WorkerPool:
        to_server = target()._replace(timeout=5.0)
        return WorkerPool(
            count, lambda: SftpClient(to_server), RateLimit(0), self.events.append, lambda _: None
        )

    async def end(self, pool: WorkerPool) -> None:
        """Stop a pool and all servers."""
        await pool.close(0.1)
        for server in self.servers:
            async with server:
                pass

    def codes(self) -> dict[str, int]:
        done = [event for event in self.events if isinstance(event, Done)]
        return {one.job.path: one.result.code for one in done}


def a_file(directory: Path, name: str, mtime: int = 1_700_000_000) -> Job:
    """Return the job for a small file."""
    path = directory / name
    path.write_bytes(b"hello")
    os.utime(path, ns=(mtime * 10**9, mtime * 10**9))
    job = job_of(path)
    return replace(job, path=name)


@pytest.mark.parametrize("mtime", [-300_000_000, 2**32])
def test_a_file_whose_time_sftp_cannot_express_arrives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mtime: int
) -> None:
    async def run() -> None:
        sessions = Sessions()
        monkeypatch.setattr(session, "connect", sessions.connect)
        monkeypatch.setitem(source._known, str(tmp_path), (True, math.inf))  # noqa: SLF001
        pool = sessions.pool(1)
        pool.submit(a_file(tmp_path, "old", mtime))
        pool.submit(a_file(tmp_path, "new"))
        await until(lambda: len(sessions.codes()) == 2)
        assert sessions.codes() == {"old": 201, "new": 201}
        await sessions.end(pool)

    asyncio.run(run())


def test_a_job_given_to_a_connection_that_has_ended_is_done_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    released = asyncio.Event()

    async def slow(client: SftpClient, job: Job, hooks: Hooks) -> Outcome:
        if job.path == "slow":
            await released.wait()  # as reading from a disk that is slow
        return await deliver(client, job, hooks)

    async def run() -> None:
        sessions = Sessions()
        monkeypatch.setattr(session, "connect", sessions.connect)
        monkeypatch.setattr(tasks, "deliver", slow)
        pool = sessions.pool(1)
        pool.submit(a_file(tmp_path, "slow"))
        await until(lambda: len(sessions.servers) == 1 and not pool.jobs)
        await asyncio.sleep(0.1)
        monkeypatch.setitem(source._known, str(tmp_path), (True, math.inf))  # noqa: SLF001
        sessions.servers[0].hang_up()
        await asyncio.sleep(0.1)
        pool.submit(a_file(tmp_path, "next"))
        await asyncio.sleep(0.1)
        released.set()
        await until(lambda: len(sessions.codes()) == 2)
        assert sessions.codes() == {"slow": 201, "next": 201}
        await sessions.end(pool)

    asyncio.run(run())


def test_a_job_of_a_worker_that_cannot_connect_is_done_by_an_idle_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run() -> None:
        sessions = Sessions(refused=1)
        monkeypatch.setattr(session, "connect", sessions.connect)
        pool = sessions.pool(2)
        pool.submit(a_file(tmp_path, "one"))
        pool.submit(a_file(tmp_path, "two"))
        await until(lambda: len(sessions.codes()) == 2)
        await sessions.end(pool)

    asyncio.run(run())


def test_the_destination_is_not_down_while_another_connection_is_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run() -> None:
        sessions = Sessions(refused=1)
        monkeypatch.setattr(session, "connect", sessions.connect)
        pool = sessions.pool(1)
        pool.submit(a_file(tmp_path, "first"))
        await until(lambda: len(sessions.codes()) == 1)
        failed = DestinationDown("too many sessions")
        pool.down(failed)
        assert not any(isinstance(event, Down) for event in sessions.events)
        sessions.servers[0].hang_up()
        pool.submit(a_file(tmp_path, "second"))
        await until(lambda: any(isinstance(event, Down) for event in sessions.events))
        await sessions.end(pool)

    asyncio.run(run())


def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "backoff", lambda: itertools.repeat(0.01))


def hanging_up(sessions: Sessions, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    """Let the server end each connection on which it is asked to open files of this name."""
    files = sessions.files

    async def connect(_: Target) -> Scripted:
        def script(request: Request) -> bytes | None:
            if request.kind == constants.CMD_OPEN and name in request.rest:
                server.hang_up()
                return None
            return files(request)

        server = Scripted(script)
        sessions.servers.append(server)
        return server

    monkeypatch.setattr(session, "connect", connect)


@pytest.mark.parametrize("count", [1, 2])
def test_a_file_that_ends_its_connections_fails_and_all_others_arrive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    """The others include those that were in progress on the same connections."""
    names = [f"good{number}" for number in range(50)]

    async def run() -> None:
        quick_retries(monkeypatch)
        monkeypatch.setitem(source._known, str(tmp_path), (True, math.inf))  # noqa: SLF001
        sessions = Sessions()
        hanging_up(sessions, monkeypatch, b"bad")
        pool = sessions.pool(count)
        for name in ["bad1", *names[:25], "bad2", *names[25:]]:
            pool.submit(a_file(tmp_path, name))

        async def go_on() -> None:
            for number in itertools.count():  # others are posted meanwhile
                pool.submit(a_file(tmp_path, f"later{number}"))
                await asyncio.sleep(0.02)

        others = asyncio.ensure_future(go_on())
        await until(lambda: {"bad1", "bad2", *names} <= set(sessions.codes()))
        others.cancel()
        codes = sessions.codes()
        assert (codes.pop("bad1"), codes.pop("bad2")) == (500, 500)
        assert set(codes.values()) == {201}
        await sessions.end(pool)

    asyncio.run(run())


def test_an_outage_is_not_the_fault_of_the_files_in_progress(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run() -> None:
        quick_retries(monkeypatch)
        sessions = Sessions()
        hanging_up(sessions, monkeypatch, b"file")
        pool = sessions.pool(2)
        pool.submit(a_file(tmp_path, "file1"))
        pool.submit(a_file(tmp_path, "file2"))
        await until(lambda: len(sessions.servers) > 20)
        monkeypatch.setattr(session, "connect", sessions.connect)
        await until(lambda: len(sessions.codes()) == 2)
        assert set(sessions.codes().values()) == {201}
        await sessions.end(pool)

    asyncio.run(run())


def test_a_refusal_in_the_middle_of_a_session_is_not_the_result_of_its_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Refusing(Scripted):
        def close_reason(self) -> Exception:
            return DestinationRefused("Could not chdir to home directory: Permission denied")

    async def run() -> None:
        sessions = Sessions()
        server = Refusing(lambda _: None)
        sessions.servers.append(server)

        async def connect(_: Target) -> Scripted:
            return server

        monkeypatch.setattr(session, "connect", connect)
        pool = sessions.pool(1)
        pool.submit(a_file(tmp_path, "one"))
        await server.until(1)
        server.hang_up()
        await until(lambda: bool(pool.jobs))
        assert sessions.codes() == {}
        await sessions.end(pool)

    asyncio.run(run())


@pytest.mark.parametrize("code", [constants.SFTP_FAILURE, constants.SFTP_CONNECTION_LOST])
@pytest.mark.parametrize("kind", [constants.CMD_OPEN, constants.CMD_EXTENDED])
@pytest.mark.parametrize("looked_up", [True, False])
def test_a_connection_that_fails_without_a_reason_ends_and_harms_no_other_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: int, code: int, *, looked_up: bool
) -> None:
    """``looked_up``: the server still answers for the directory."""
    names = [f"good{number}" for number in range(20)]

    async def run() -> None:
        quick_retries(monkeypatch)
        sessions = Sessions()

        async def connect(_: Target) -> Scripted:
            first = not sessions.servers

            def script(request: Request) -> bytes | None:
                if request.kind == constants.CMD_STAT and looked_up:
                    return request.answer(constants.CMD_ATTRS, bytes(4))
                bad = b"bad" in request.rest and request.kind == kind
                bad |= request.kind == constants.CMD_STAT
                return request.status(code) if bad and first else sessions.files(request)

            sessions.servers.append(Scripted(script))
            return sessions.servers[-1]

        monkeypatch.setattr(session, "connect", connect)
        pool = sessions.pool(1)
        pool.submit(a_file(tmp_path, "bad"))
        await until(lambda: len(sessions.events) == 2)
        done, down = sessions.events
        assert isinstance(done, Done)
        assert isinstance(done.result, ServerFailure)
        assert done.result.code == (507 if kind == constants.CMD_OPEN else 499)
        assert done.result.file_may_be_cause == (looked_up and kind == constants.CMD_EXTENDED)
        assert isinstance(down, Down)
        sessions.events.clear()
        for name in ["bad", *names]:
            pool.submit(a_file(tmp_path, name))
        await until(lambda: len(sessions.codes()) == 21)
        assert set(sessions.codes().values()) == {201}
        await sessions.end(pool)

    asyncio.run(run())


@pytest.mark.parametrize("known", [True, False])
def test_only_the_first_file_of_a_new_directory_takes_the_longer_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, known: bool
) -> None:
    """``known``: the kind of the source's file system is; otherwise the first file finds out."""
    count = 30
    delivered: list[str] = []

    async def counted(client: SftpClient, job: Job, hooks: Hooks) -> Outcome:
        delivered.append(job.path)
        return await deliver(client, job, hooks)

    async def run() -> None:
        sessions = Sessions()
        sessions.files = Directories()
        monkeypatch.setattr(session, "connect", sessions.connect)
        monkeypatch.setattr(tasks, "deliver", counted)
        monkeypatch.setattr(source, "_known", {str(tmp_path): (True, math.inf)} if known else {})
        pool = sessions.pool(1)
        for number in range(count):
            job = a_file(tmp_path, str(number))
            pool.submit(replace(job, path=f"new/{number}"))
        await until(lambda: len(sessions.codes()) == count)
        assert set(sessions.codes().values()) == {201}
        assert len(delivered) == 1
        await sessions.end(pool)

    asyncio.run(run())


@pytest.mark.parametrize("hung_up", [True, False])
def test_files_of_a_directory_that_cannot_be_created_all_get_a_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, hung_up: bool
) -> None:
    """``hung_up``: the first connection ends at the request to create it, the next ones do not."""
    names = [str(number) for number in range(30)]

    async def run() -> None:
        sessions = Sessions()
        sessions.files = Directories(
            on_create=lambda: sessions.servers[0].hang_up() if hung_up else None,
            denied=not hung_up,
        )
        monkeypatch.setattr(session, "connect", sessions.connect)
        monkeypatch.setattr(source, "_known", {str(tmp_path): (True, math.inf)})
        pool = sessions.pool(1)
        for name in names:
            pool.submit(replace(a_file(tmp_path, name), path=f"new/{name}"))
        await until(lambda: len(sessions.codes()) == len(names))
        assert set(sessions.codes().values()) == {201 if hung_up else 403}
        await sessions.end(pool)

    asyncio.run(run())


def test_the_reason_for_the_number_of_connections_has_the_figures_and_is_logged_when_it_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        sessions = Sessions()
        chosen = sessions.pool(3)
        assert chosen.reason == "3 connections: option connections"
        pool = sessions.pool(0)
        assert pool.reason == "2 connections: the distance of the SFTP host is not known yet"
        client = SftpClient(target())
        client.round_trip = 0.05
        with caplog.at_level("INFO"):
            pool.up(client)
            pool.up(client)
        assert [record.message for record in caplog.records] == [pool.reason]
        assert pool.reason == (
            "4 connections: 1 Gbit/s at a round trip of 50.0 ms is 6.0 MiB under way, of which the"
            " server takes 2.0 MiB on each, and one more for pauses"
        )
        await asyncio.gather(pool.close(1.0), chosen.close(1.0))

    asyncio.run(run())
