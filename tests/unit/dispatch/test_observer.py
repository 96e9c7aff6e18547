"""Large files that take long are looked at, and told of seldom; small ones cost nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from sarra_lite.delivery.stopwatch import Phase
from sarra_lite.dispatch import observer
from sarra_lite.dispatch.observer import Observer, UnderWay
from sarra_lite.messages import blocks
from sarra_lite.sftp.target import Sample
from sarra_lite.sftp.tcp_info import TcpInfo
from tests.lab.jobs import job_of

if TYPE_CHECKING:
    from pathlib import Path

    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.client import SftpClient

MIB = 1024 * 1024


class Client:
    """A connection that has been limited by its receiver ever since."""

    round_trip = 0.002

    def __init__(self) -> None:
        """Begin now."""
        self.begun = time.monotonic()
        self.samples = 0

    def sample(self) -> Sample:
        self.samples += 1
        seconds = time.monotonic() - self.begun
        tcp = TcpInfo(seconds, seconds, 0.0, 1000, 0, 1000, 10, 0, 0.001)
        return Sample(0.0, self.samples, self.samples, tcp)


class Stage:
    """An observer whose times are short, and what it has told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Looks every hundredth of a second and tells every tenth."""
        for name, seconds in (("_LOOK", 0.01), ("_LONG", 0.0), ("_TOLD_EVERY", 0.1)):
            patch.setattr(observer, name, seconds)
        patch.setattr("sarra_lite.dispatch.readings._LEAST", 0.0)
        self.client = Client()
        self.told: asyncio.Queue[UnderWay] = asyncio.Queue()
        self.written = 0
        clients = cast("Any", lambda: [self.client])
        self.observer = Observer(clients, self._take, self._count)

    def _take(self, event: UnderWay | Exception) -> None:
        assert isinstance(event, UnderWay)
        self.told.put_nowait(event)

    def _count(self, size: int) -> None:
        self.written += size

    async def next(self) -> UnderWay:
        return await asyncio.wait_for(self.told.get(), 60)


@pytest.fixture
def large(tmp_path: Path) -> Job:
    file = tmp_path / "large"
    with file.open("wb") as made:
        made.truncate(40 * MIB)
    return job_of(file)


def piece(whole: Job, number: int | None) -> Job:
    announced = [*blocks.split(whole.announcement, 10 * MIB)]
    return replace(whole, announcement=announced[len(announced) - 1 if number is None else number])


def test_a_small_file_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        (tmp_path / "small").write_bytes(bytes(MIB))
        tasks = asyncio.all_tasks()
        stage.observer.begin(job_of(tmp_path / "small")).count(MIB)
        assert asyncio.all_tasks() == tasks
        assert stage.written == MIB
        assert stage.client.samples == 0

    asyncio.run(run())


def test_a_file_in_one_piece_tells_how_far_it_is_and_what_limits_it(
    monkeypatch: pytest.MonkeyPatch, large: Job
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        watch = stage.observer.begin(large)
        watch.switch(Phase.CONNECTION)
        watch.count(3 * MIB)
        first = await stage.next()
        assert (first.job, first.bytes) == (large, 3 * MIB)
        assert first.seconds >= 0.1
        assert first.slowness is not None
        assert first.slowness.by == "receiver"
        watch.count(2 * MIB)
        assert (await stage.next()).bytes == 5 * MIB
        concluded = stage.observer.conclude(large)
        watch.end()
        assert concluded is not None
        assert concluded.by == "receiver"
        assert stage.observer.conclude(large) is None
        assert stage.written == 5 * MIB

    asyncio.run(run())


def test_the_blocks_of_a_file_take_turns_and_what_helpers_send_counts(
    monkeypatch: pytest.MonkeyPatch, large: Job
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        begun = time.monotonic()
        for number in (0, 1, 2):
            stage.observer.begin(piece(large, number)).count((number + 1) * MIB)
        stage.observer.begin(piece(large, 2), helps=True).count(MIB)
        told = [await stage.next() for _ in range(6)]
        assert time.monotonic() - begun >= 0.6, "one in each tenth of a second for all blocks"
        found = [(one.job.announcement.block, one.bytes // MIB) for one in told]
        assert sorted(found[:3]) == [(0, 1), (1, 2), (2, 4)]
        assert found[3:] == found[:3]
        assert stage.observer.conclude(piece(large, 0)) is None
        assert stage.observer.conclude(piece(large, None)) is not None

    asyncio.run(run())


def test_nothing_is_looked_at_when_nothing_is_sent_any_more(
    monkeypatch: pytest.MonkeyPatch, large: Job
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        tasks = asyncio.all_tasks()
        watch = stage.observer.begin(large)
        [looking] = asyncio.all_tasks() - tasks
        await stage.next()
        watch.end()
        await asyncio.wait_for(looking, 60)
        again = stage.observer.begin(large)
        assert (await stage.next()).bytes == 0
        again.end()

    asyncio.run(run())


def test_a_look_that_fails_ends_the_sender_instead_of_being_lost(
    monkeypatch: pytest.MonkeyPatch, large: Job
) -> None:
    async def run() -> None:
        events: asyncio.Queue[UnderWay | Exception] = asyncio.Queue()
        Stage(monkeypatch)

        def broken() -> list[SftpClient]:
            raise RuntimeError("a bug")

        Observer(broken, events.put_nowait, lambda _: None).begin(large)
        assert isinstance(await asyncio.wait_for(events.get(), 60), RuntimeError)

    asyncio.run(run())
