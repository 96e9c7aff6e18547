"""The dispatcher, with a pool that only notes jobs and a broker link that only notes messages."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import msgspec
import pytest

from sarra_lite.broker.client import Delivery
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.dispatch.dispatcher import Dispatcher
from sarra_lite.dispatch.pool import Done, Down, UnderWay
from sarra_lite.dispatch.slowness import LimitedBy, Slowness
from sarra_lite.errors import DestinationFull, ServerFailure, TransferError
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Blocks, Report
from sarra_lite.runtime import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sarra_lite.broker.report_stream import Key

MIB = 1024 * 1024
NOW = v03.now()
LATER = f"{NOW}5"
NO_BROKER: Any = None  # the link is a fake


class FakePool:
    """Notes jobs; nothing carries them out."""

    def __init__(self) -> None:
        """No job yet."""
        self.jobs: list[Job] = []
        self.reason = "2 connections: because"

    def submit(self, job: Job) -> None:
        self.jobs.append(job)


class Published(NamedTuple):
    report: Report
    delivery: Delivery | None
    on_confirmed: Callable[[], None]
    path: str


class FakeLink:
    """Notes reports and acknowledgements; ``past``: what was reported before."""

    def __init__(self) -> None:
        """Nothing is published yet."""
        self.outstanding = 0
        self.reports: list[Published] = []
        self.acked: list[Delivery] = []
        self.split: list[Announcement] = []
        self.past: set[Key] = set()
        self.lookup_seconds = 0.0
        self.lookup_error: Exception | None = None
        self.failure = Failure()
        self.attached = False

    async def attach(self, _: object) -> None:
        self.attached = True

    def detach(self) -> None:
        self.attached = False
        self.outstanding = 0

    def count_taken(self, size: int) -> None:
        pass

    async def find_final_reports(self, announcements: Iterable[Announcement]) -> set[Key]:
        await asyncio.sleep(self.lookup_seconds)
        if self.lookup_error is not None:
            raise self.lookup_error
        return {one.key for one in announcements} & self.past

    def report(
        self,
        report: Announcement,
        delivery: Delivery | None = None,
        on_confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        assert report.report is not None
        self.outstanding += 1
        self.reports.append(Published(report.report, delivery, on_confirmed, report.rel_path))

    def announce_blocks(self, delivery: Delivery, announcement: Announcement) -> None:
        self.split.append(announcement)
        self.acked.append(delivery)

    def ack(self, delivery: Delivery) -> None:
        self.acked.append(delivery)


class Stage:
    """A dispatcher between its fakes; ``tags`` number the deliveries."""

    all: ClassVar[list[Stage]] = []

    def __init__(self, **options: Any) -> None:
        """``options`` are those of the sender."""
        config = SenderConfig(
            broker=parse_url("amqp://uearnest@broker.example/", ["amqp", "amqps"]),
            sendTo=parse_url("sftp://ear001@host.example/", ["sftp"]),
            **options,
        )
        self.pool = FakePool()
        self.link = FakeLink()
        self.tags = 0
        self.all.append(self)
        self.loop = asyncio.new_event_loop()
        self.dispatcher = Dispatcher(config, cast("Any", self.pool), cast("Any", self.link))
        self.attach()

    def attach(self) -> None:
        self.loop.run_until_complete(self.dispatcher.attach(NO_BROKER))

    def check_redelivered(self) -> None:
        self.in_loop(self.dispatcher.check_redelivered)

    def in_loop(self, function: Callable[[], object]) -> None:
        """Call a function in the loop, and wait for all tasks that it started."""

        async def run() -> None:
            function()
            while len(tasks := asyncio.all_tasks()) > 1:
                await asyncio.wait(tasks - {asyncio.current_task()}, timeout=5)

        self.loop.run_until_complete(run())

    def deliver(self, announcement: Announcement, *, again: bool = False) -> Delivery:
        return self.deliver_body(v03.encode(announcement), again=again)

    def deliver_body(self, body: bytes, *, again: bool = False) -> Delivery:
        delivery = self.delivery(body, again=again)
        self.in_loop(lambda: self.dispatcher.receive(delivery))
        return delivery

    def delivery(self, body: bytes, *, again: bool = False) -> Delivery:
        self.tags += 1
        return Delivery(body, v03.CONTENT_TYPE, "uearnest", "xac_earnest", again, None, self.tags)

    def finish(self, result: Outcome | TransferError, job: Job | None = None) -> None:
        """Let a worker end with a job, the latest one unless it is given."""
        done = Done(job or self.pool.jobs[-1], result, 0.5)
        self.in_loop(lambda: self.dispatcher.finished(done))

    def confirm(self) -> None:
        """Let the broker confirm the latest report."""
        latest = self.link.reports[-1]
        self.link.outstanding -= 1
        if latest.delivery is not None:
            self.link.acked.append(latest.delivery)
        latest.on_confirmed()

    def codes(self) -> list[int]:
        return [published.report.code for published in self.link.reports]


@pytest.fixture(autouse=True)
def loops_are_closed() -> Iterator[None]:
    yield
    for stage in Stage.all:
        stage.loop.close()
    Stage.all.clear()


def announced(path: str = "a", **fields: Any) -> Announcement:
    fields = {"source": "uearnest", **fields}
    return Announcement(NOW, "file:/home/earnest", path, **fields)


SENT = Outcome(201, "file sent", 10)


def test_a_delivery_is_acknowledged_when_its_report_is_confirmed_not_before() -> None:
    stage = Stage()
    delivery = stage.deliver(announced(size=10))
    stage.finish(SENT)
    assert stage.codes() == [201]
    assert stage.link.acked == []
    assert len(stage.dispatcher) == 2  # the announcement and the outstanding report
    stage.confirm()
    assert stage.link.acked == [delivery]
    assert len(stage.dispatcher) == 0
    assert stage.dispatcher.reporting.arrived == 1


def test_what_is_no_message_is_reported_and_acknowledged_without_a_job() -> None:
    stage = Stage()
    delivery = stage.deliver_body(b"{")
    assert stage.codes() == [417]
    assert stage.link.reports[0].delivery == delivery
    assert stage.pool.jobs == []
    assert stage.dispatcher.reporting.failed == 1


def test_the_report_on_an_unusable_message_names_its_file() -> None:
    stage = Stage()
    stage.deliver_body(b"20261127010203.5 file:/ data/with%20blank")
    assert stage.codes() == [417]
    assert stage.link.reports[0].path == "data/with blank"


def test_an_announcement_of_another_user_is_refused() -> None:
    stage = Stage()
    body = v03.encode(announced())
    stage.dispatcher.receive(Delivery(body, v03.CONTENT_TYPE, "bob", "x", False, None))  # noqa: FBT003
    assert stage.codes() == [403]


def test_a_report_in_the_queue_is_acknowledged_and_nothing_else() -> None:
    stage = Stage()
    report = Report(code=201, message="", time_completed=v03.now())
    delivery = stage.deliver(announced(report=report))
    assert stage.link.acked == [delivery]
    assert stage.codes() == []


def test_jobs_on_one_path_run_one_after_the_other() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.deliver(Announcement(LATER, "file:/home/earnest", "a", file_op={"link": "b"}))
    assert len(stage.pool.jobs) == 1
    stage.finish(SENT)
    assert len(stage.pool.jobs) == 2


def test_a_failure_is_final_and_counted() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.finish(TransferError(410, "gone at the source"))
    (published,) = stage.link.reports
    assert published.report.code == 410
    assert published.report.final
    assert stage.dispatcher.reporting.failed == 1


def test_a_full_destination_is_reported_and_tried_again_later() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.finish(DestinationFull("destination: no space left"))
    (published,) = stage.link.reports
    assert published.report.code == 507
    assert not published.report.final
    assert published.delivery is None  # nothing is acknowledged with it
    assert stage.dispatcher.waiting_for_destination
    assert len(stage.pool.jobs) == 1  # not before its time


def test_a_full_destination_is_given_up_after_retry_ttl() -> None:
    stage = Stage(retry_ttl=0.0)
    stage.deliver(announced(size=1))
    full = DestinationFull("destination: no space left")
    time.sleep(0.001)
    stage.finish(full)
    assert stage.codes() == []
    assert [job.given_up for job in stage.pool.jobs] == [None, full]
    stage.finish(full)
    (published,) = stage.link.reports
    assert published.report.final


def failure(connected_at: float, *, file_may_be_cause: bool = True) -> ServerFailure:
    return ServerFailure(
        499, "destination: failure", connected_at, file_may_be_cause=file_may_be_cause
    )


def test_what_fails_without_a_reason_is_final_only_after_several_fresh_connections() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    for _ in range(4):
        fresh = time.monotonic()
        for _ in range(3):  # connections that were open at the last failure do not count
            time.sleep(0.001)
            stage.finish(failure(fresh))
    assert all(not published.report.final for published in stage.link.reports)
    last = failure(time.monotonic())
    stage.finish(last)
    assert stage.pool.jobs[-1].given_up is last
    stage.finish(last)
    assert stage.link.reports[-1].report.final
    assert stage.link.reports[-1].report.code == 499


def test_what_the_whole_server_fails_at_is_not_final_before_retry_ttl() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    for _ in range(1500):  # more attempts than powers of two that a float can express
        stage.finish(failure(time.monotonic(), file_may_be_cause=False))
    assert all(not published.report.final for published in stage.link.reports)


def test_what_the_whole_server_fails_at_is_final_after_retry_ttl() -> None:
    stage = Stage(retry_ttl=0.0)
    stage.deliver(announced(size=1))
    time.sleep(0.001)
    for _ in range(2):  # the attempt, and cleaning up after it
        stage.finish(failure(time.monotonic(), file_may_be_cause=False))
    (published,) = stage.link.reports
    assert published.report.final


def test_drain_ends_while_all_that_is_left_fails_at_the_server_for_long() -> None:
    stage = Stage(timeout=0.05)
    stage.deliver(announced(size=1))
    stage.finish(failure(time.monotonic()))
    assert not stage.dispatcher.waiting_for_destination
    time.sleep(0.05)
    assert stage.dispatcher.waiting_for_destination


OLD = "20200101T000000"


def test_retry_ttl_counts_from_the_announcement_not_from_its_delivery() -> None:
    stage = Stage(retry_ttl=3600.0)
    stage.deliver(Announcement(OLD, "file:/home/earnest", "a", size=1))
    full = DestinationFull("destination: no space left")
    stage.finish(full)
    assert [job.given_up for job in stage.pool.jobs] == [None, full]


@pytest.mark.parametrize(("idle", "given_up"), [(1.0, False), (1e6, True)])
def test_a_finish_is_given_up_when_it_is_old_and_nothing_was_written_for_long(
    idle: float, *, given_up: bool
) -> None:
    stage = Stage(retry_ttl=3600.0)
    blocks = Blocks(MIB, 1, 0, finish=True)
    stage.deliver(Announcement(OLD, "file:/home/earnest", "a", size=MIB, blocks=blocks))
    stage.finish(Outcome(0, "blocks are missing", wait=60.0, idle=idle))
    assert bool(stage.pool.jobs[-1].given_up) is given_up


def test_what_another_sender_took_over_is_not_in_progress_for_ever() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.dispatcher.detach()
    stage.attach()
    stage.finish(SENT)
    assert len(stage.dispatcher) == 0


def test_what_another_sender_took_over_is_not_cleaned_up_here() -> None:
    stage = Stage(retry_ttl=0.0)
    stage.deliver(announced(size=1))
    stage.dispatcher.detach()
    stage.finish(DestinationFull("destination: no space left"))
    assert [job.given_up for job in stage.pool.jobs] == [None]
    assert len(stage.dispatcher) == 0


def test_what_waits_is_started_again_when_its_time_has_come() -> None:
    stage = Stage()
    stage.deliver(announced(size=MIB, blocks=Blocks(MIB, 1, 0, finish=True)))
    stage.finish(Outcome(0, "blocks are missing", wait=0.05))
    assert len(stage.pool.jobs) == 1
    stage.loop.run_until_complete(asyncio.sleep(0.1))
    assert len(stage.pool.jobs) == 2


def test_what_waits_is_not_started_after_the_connection_was_lost() -> None:
    stage = Stage()
    stage.deliver(announced(size=MIB, blocks=Blocks(MIB, 1, 0, finish=True)))
    stage.finish(Outcome(0, "blocks are missing", wait=0.05))
    stage.dispatcher.detach()
    stage.loop.run_until_complete(asyncio.sleep(0.1))
    assert len(stage.pool.jobs) == 1


def test_a_finish_is_started_at_once_when_the_last_block_is_done() -> None:
    stage = Stage()
    whole = Blocks(MIB, 2, 0, finish=True)
    finish = announced(size=2 * MIB, blocks=whole)
    stage.deliver(finish)
    stage.finish(Outcome(0, "blocks are missing", wait=5.0))
    blocks = [announced(size=2 * MIB, blocks=Blocks(MIB, 2, 0, n, finish=True)) for n in (0, 1)]
    for block in blocks:
        stage.deliver(block)
    first, second = stage.pool.jobs[-2:]
    stage.finish(Outcome(206, "block 1 of 2 sent", MIB), first)
    assert stage.pool.jobs[-1] is second
    stage.finish(Outcome(206, "block 2 of 2 sent", MIB), second)
    assert stage.pool.jobs[-1].announcement == finish


def test_a_lost_connection_leaves_the_running_job_and_its_next_delivery_gets_the_report() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.dispatcher.detach()
    stage.finish(SENT)
    assert stage.codes() == []  # there is no connection, and nothing to acknowledge
    stage.attach()
    again = stage.deliver(announced(size=1), again=True)
    stage.check_redelivered()
    assert stage.codes() == [201]
    stage.confirm()
    assert stage.link.acked == [again]
    assert len(stage.pool.jobs) == 1


def test_a_lost_connection_drops_what_has_not_begun() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.deliver(Announcement(LATER, "file:/home/earnest", "a", size=2))
    stage.dispatcher.detach()
    assert len(stage.dispatcher) == 1
    assert len(stage.pool.jobs) == 1


def test_a_report_that_was_lost_is_published_again_with_the_next_delivery() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    stage.finish(SENT)
    stage.dispatcher.detach()
    assert stage.link.acked == []
    stage.attach()
    again = stage.deliver(announced(size=1), again=True)
    stage.check_redelivered()
    stage.confirm()
    assert stage.codes() == [201, 201]
    assert stage.link.acked == [again]


def test_a_redelivery_that_was_reported_before_is_only_acknowledged() -> None:
    stage = Stage()
    announcement = announced(size=1)
    stage.link.past = {announcement.key}
    delivery = stage.deliver(announcement, again=True)
    assert len(stage.dispatcher) == 1
    stage.check_redelivered()
    assert stage.link.acked == [delivery]
    assert stage.pool.jobs == []
    assert len(stage.dispatcher) == 0


def test_a_redelivery_without_a_report_becomes_a_job_that_knows_it() -> None:
    stage = Stage()
    stage.deliver(announced(size=1), again=True)
    stage.check_redelivered()
    assert [job.redelivered for job in stage.pool.jobs] == [True]


def test_a_lookup_holds_up_nothing_else() -> None:
    stage = Stage()
    stage.link.lookup_seconds = 0.2
    stage.deliver(announced("b", size=1), again=True)

    def meanwhile() -> None:
        stage.dispatcher.check_redelivered()
        stage.dispatcher.receive(stage.delivery(v03.encode(announced("a", size=1))))
        stage.dispatcher.finished(Done(stage.pool.jobs[-1], SENT, 0.5))
        stage.confirm()
        assert len(stage.link.acked) == 1

    stage.in_loop(meanwhile)
    assert [job.path for job in stage.pool.jobs] == ["a", "b"]


def test_what_is_redelivered_during_a_lookup_is_looked_up_together_after_it() -> None:
    stage = Stage()
    stage.link.lookup_seconds = 0.05
    stage.deliver(announced("a", size=1), again=True)

    def meanwhile() -> None:
        stage.dispatcher.check_redelivered()
        for name in "bc":
            again = stage.delivery(v03.encode(announced(name, size=1)), again=True)
            stage.dispatcher.receive(again)
            stage.dispatcher.check_redelivered()

    stage.in_loop(meanwhile)
    assert [job.path for job in stage.pool.jobs] == ["a"]
    stage.check_redelivered()
    assert [job.path for job in stage.pool.jobs] == ["a", "b", "c"]


def test_a_lookup_that_fails_ends_the_sender_instead_of_leaving_announcements() -> None:
    stage = Stage()
    stage.link.lookup_error = ArithmeticError("a bug")
    stage.deliver(announced("b", size=1), again=True)
    stage.check_redelivered()
    with pytest.raises(ArithmeticError):
        stage.link.failure.check()


def test_a_lookup_of_a_lost_connection_is_forgotten() -> None:
    stage = Stage()
    stage.link.lookup_seconds = 0.2
    stage.deliver(announced("b", size=1), again=True)

    def lost() -> None:
        stage.dispatcher.check_redelivered()
        stage.dispatcher.detach()

    stage.in_loop(lost)
    assert stage.pool.jobs == []
    assert len(stage.dispatcher) == 0


def test_a_report_that_the_stream_has_before_its_confirm_comes_is_no_error() -> None:
    stage = Stage()
    first = stage.deliver(announced(size=1))
    stage.finish(SENT)
    stage.link.past = {announced().key}
    second = stage.deliver(announced(size=1), again=True)
    stage.check_redelivered()
    assert stage.link.acked == [second]
    stage.confirm()
    assert stage.link.acked == [second, first]
    assert len(stage.dispatcher) == 0


def test_a_large_size_without_such_a_file_is_one_job_though_published_twice(tmp_path: Path) -> None:
    stage = Stage(blockSize=MIB, baseDir=str(tmp_path))
    body = v03.encode(announced(size=2**60, mtime="20261127T010203"))
    first, second = (
        Delivery(body, v03.CONTENT_TYPE, "uearnest", "xac_earnest", False, None, tag)  # noqa: FBT003
        for tag in (1, 2)
    )

    def receive() -> None:
        stage.dispatcher.receive(first)
        stage.dispatcher.receive(second)

    stage.in_loop(receive)
    assert len(stage.pool.jobs) == 1
    assert len(stage.link.acked) == 1


def test_an_announcement_published_twice_is_done_once() -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    second = stage.deliver(announced(size=1))
    assert stage.link.acked == [second]
    assert len(stage.pool.jobs) == 1


def test_a_large_file_announced_whole_is_announced_again_in_blocks(tmp_path: Path) -> None:
    stage = Stage(blockSize=MIB, baseDir=str(tmp_path))
    (tmp_path / "a").write_bytes(bytes(3 * MIB))
    large = announced(size=3 * MIB, mtime="20261127T010203")
    stage.deliver(large)
    assert stage.link.split == [large]
    assert stage.pool.jobs == []


def test_a_large_size_without_such_a_file_becomes_one_job(tmp_path: Path) -> None:
    stage = Stage(blockSize=MIB, baseDir=str(tmp_path))
    stage.deliver(announced(size=2**60, mtime="20261127T010203"))
    assert stage.link.split == []
    assert len(stage.pool.jobs) == 1


@pytest.mark.parametrize(("lasting", "codes"), [(10.0, []), (1000.0, [503])])
def test_only_a_long_outage_is_reported_and_once(lasting: float, codes: list[int]) -> None:
    stage = Stage()
    stage.deliver(announced(size=1))
    for _ in range(2):
        stage.dispatcher.outage(Down(time.monotonic() - lasting, "no route to host"))
    assert stage.codes() == codes
    assert not any(published.report.final for published in stage.link.reports)


def blocks_of(count: int) -> list[Announcement]:
    """Return the announcements of the blocks of a file, announced long ago, and of its finish."""
    blocks = Blocks(MIB, count, finish=True)
    numbers = [*range(count), None]
    pieces = [msgspec.structs.replace(blocks, number=number) for number in numbers]
    return [announced(size=count * MIB, mtime="20200101T000000", blocks=piece) for piece in pieces]


BLOCK_SENT, SENT_IN_BLOCKS = Outcome(206, "block sent", MIB), Outcome(201, "file sent", 2 * MIB)


def test_the_duration_of_a_file_in_blocks_is_measured_here_from_its_first_block_on() -> None:
    stage = Stage()
    for announcement in blocks_of(2):
        stage.deliver(announcement)
    *jobs, finish = stage.pool.jobs
    for job in jobs:
        stage.finish(BLOCK_SENT, job)
    stage.finish(SENT_IN_BLOCKS, finish)
    report = stage.link.reports[-1].report
    assert report.seconds == pytest.approx(0.5, abs=0.4)  # which the first block took
    assert report.rate


def test_the_duration_of_a_file_whose_blocks_others_sent_is_not_told() -> None:
    stage = Stage()
    for announcement in blocks_of(2)[1:]:
        stage.deliver(announcement)
    block, finish = stage.pool.jobs
    stage.finish(BLOCK_SENT, block)
    stage.finish(SENT_IN_BLOCKS, finish)
    report = stage.link.reports[-1].report
    assert (report.seconds, report.rate) == (None, None)


def test_the_blocks_of_a_file_are_counted_as_one_file() -> None:
    stage = Stage()
    for announcement in blocks_of(3):
        stage.deliver(announcement)
    stage.deliver(announced("b", size=1))
    assert stage.dispatcher.files == 2
    stage.finish(TransferError(403, "denied"), stage.pool.jobs[0])
    assert stage.dispatcher.reporting.failed == 0
    assert stage.dispatcher.reporting.failed_blocks == 1
    stage.finish(SENT, stage.pool.jobs[-1])
    assert stage.dispatcher.files == 1  # the other one has arrived, confirmed or not


def broken(*_: object, **__: object) -> Any:
    """Stand for a bug in what handles a message."""
    raise AttributeError("no such thing")


@pytest.mark.parametrize("place", ["v03.decode", "make_job", "blocks.should_split"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "redelivered"])
def test_a_bug_with_one_message_is_its_report_and_the_next_one_gets_through(
    monkeypatch: pytest.MonkeyPatch, place: str, *, again: bool
) -> None:
    stage = Stage()
    with monkeypatch.context() as patch:
        patch.setattr(f"sarra_lite.dispatch.dispatcher.{place}", broken)
        delivery = stage.deliver(announced(size=1), again=again)
        stage.check_redelivered()
    (published,) = stage.link.reports
    assert (published.report.code, published.delivery) == (500, delivery)
    assert "no such thing" in published.report.message
    stage.confirm()
    stage.link.failure.check()
    assert len(stage.dispatcher) == 0
    stage.deliver(announced("b", size=1))
    assert [job.path for job in stage.pool.jobs] == ["b"]


def test_a_bug_with_a_result_is_its_report_and_what_waited_for_it_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    delivery = stage.deliver(announced(size=1))
    later = msgspec.structs.replace(announced(size=2), pub_time=LATER)
    stage.deliver(later)
    with monkeypatch.context() as patch:
        patch.setattr("sarra_lite.dispatch.dispatcher.replace", broken)
        stage.finish(SENT)
    (published,) = stage.link.reports
    assert (published.report.code, published.delivery) == (500, delivery)
    assert stage.pool.jobs[-1].announcement == later


SLOW = Slowness(LimitedBy.LINE, "the line takes no more")


def test_how_far_a_job_is_is_reported_and_not_counted_nor_acknowledged() -> None:
    stage = Stage()
    stage.deliver(announced("a"))
    told = UnderWay(stage.pool.jobs[-1], 10, 20.0, SLOW)
    stage.in_loop(lambda: stage.dispatcher.progressed(told))
    [published] = stage.link.reports
    report = published.report
    assert (report.code, report.bytes, report.seconds, report.final) == (102, 10, 20.0, False)
    assert (report.limited_by, report.why) == ("line", "the line takes no more")
    assert report.connections == "2 connections: because"
    assert published.delivery is None
    assert stage.dispatcher.reporting.arrived == 0


def test_how_far_a_job_is_is_not_told_when_it_is_done_or_the_broker_gave_it_to_another() -> None:
    stage = Stage()
    stage.deliver(announced("a"))
    told = UnderWay(stage.pool.jobs[-1], 10, 20.0, None)
    stage.dispatcher.detach()
    stage.in_loop(lambda: stage.dispatcher.progressed(told))
    stage.attach()
    stage.finish(Outcome(201, "sent", 10))
    stage.in_loop(lambda: stage.dispatcher.progressed(told))
    assert [one for one in stage.link.reports if one.report.code == 102] == []


def test_the_final_report_says_what_limited_the_file() -> None:
    stage = Stage()
    for slowness in (SLOW, None):
        stage.deliver(announced(f"f{slowness is None}"))
        done = Done(stage.pool.jobs[-1], Outcome(201, "sent", 10), 5.0, slowness)
        stage.in_loop(lambda done=done: stage.dispatcher.finished(done))  # type: ignore[misc]
    slow, quick = (one.report for one in stage.link.reports)
    assert (slow.limited_by, slow.connections) == ("line", "2 connections: because")
    assert (quick.limited_by, quick.why, quick.connections) == (None, None, None)
