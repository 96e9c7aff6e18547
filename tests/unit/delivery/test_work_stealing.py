"""One slow connection does not hold up a block: others send its end, and nothing is left out."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko import sftp as names

from sarra_lite.delivery import work_stealing
from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.upload import upload_stolen
from sarra_lite.delivery.work_stealing import SharedRange, SharedRanges
from sarra_lite.errors import DestinationDown, SourceUnavailable
from sarra_lite.messages import blocks
from sarra_lite.messages.v03 import Blocks
from sarra_lite.sftp import session
from sarra_lite.sftp.client import SftpClient
from tests.lab.jobs import job_of, quiet_hooks
from tests.lab.scripted import Files, Request, Scripted, connecting, target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sarra_lite.delivery.job import Job

MIB = 1024 * 1024
SIZE = 24 * MIB + 5
NOBODY: Any = None  # whose block it is does not matter


@given(
    st.integers(0, 3 * MIB),
    st.integers(1, 9 * MIB),
    st.lists(st.booleans(), max_size=60),
    st.data(),
)
def test_whoever_sends_it_every_byte_of_a_range_is_sent_once(
    begin: int, length: int, splits: list[bool], data: st.DataObject
) -> None:
    step = 255 * 1024
    ranges = [SharedRange(NOBODY, begin, length, step)]
    at = [begin]
    sent: list[tuple[int, int]] = []

    def send(which: int) -> bool:
        count = min(step, begin + length - at[which])
        if count <= 0 or not ranges[which].claim(at[which], count):
            return False
        sent.append((at[which], at[which] + count))
        at[which] += count
        return True

    for split in splits:
        which = data.draw(st.integers(0, len(ranges) - 1))
        if not split:
            send(which)
        elif (part := ranges[which].steal()) is not None:
            ranges.append(part)
            at.append(part.begin)
    for which in range(len(ranges)):
        while send(which):
            pass
    position = begin
    for first, end in sorted(sent):
        assert first == position
        position = end
    assert position == begin + length


def test_what_is_too_little_is_not_shared() -> None:
    mine = SharedRange(NOBODY, 0, work_stealing.MIN_BYTES - 1, 1000)
    assert mine.steal() is None


def test_help_goes_where_most_is_left() -> None:
    shared = SharedRanges(lambda: None)
    little, much = SharedRange(NOBODY, 0, 2 * MIB, 1000), SharedRange(NOBODY, 0, 9 * MIB, 1000)
    with shared.offered(little), shared.offered(much):
        part = shared.steal()
        assert part in much.stolen
    assert shared.steal() is None


def test_of_what_is_recalled_nothing_more_is_sent_by_anybody() -> None:
    mine = SharedRange(NOBODY, 0, 8 * MIB, 1000)
    part = mine.steal()
    assert part is not None
    nested = part.steal()
    assert nested is not None
    mine.cancel()
    assert not any(one.claim(one.begin, 1000) for one in (mine, part, nested))


class Ends(NamedTuple):
    """Two connections to the same files, the server of the first one to be held up."""

    files: Files
    owner: SftpClient
    slow: Scripted
    helper: SftpClient
    quick: Scripted


@asynccontextmanager
async def connected(quick: Callable[[Request], bytes | None] | None = None) -> AsyncIterator[Ends]:
    files = Files()
    with pytest.MonkeyPatch.context() as patch:
        async with Scripted(files) as slow, Scripted(quick or files) as fast:
            patch.setattr(session, "connect", connecting(slow, fast))
            owner, helper = SftpClient(target()), SftpClient(target())
            await owner.open()
            await helper.open()
            yield Ends(files, owner, slow, helper, fast)
            owner.close()
            helper.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A file that is one block, and its finish."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    return job_of(path, Blocks(SIZE, 1, SIZE, number=0, finish=True))


def a_part(shared: SharedRanges) -> SharedRange:
    part = shared.steal()
    assert part is not None
    return part


async def held_up(ends: Ends, job: Job, shared: SharedRanges) -> asyncio.Task[Any]:
    """Begin to deliver, and have the server read no more when the first of it has come."""
    doing = asyncio.create_task(deliver(ends.owner, job, quiet_hooks(shared)))
    while not writes(ends.slow):
        await ends.slow.until(len(ends.slow.requests) + 1)
    ends.slow.reading.clear()
    await asyncio.sleep(0.05)  # it sends as much as may be under way
    return doing


async def help_with(ends: Ends, part: SharedRange, shared: SharedRanges) -> None:
    """Send a part by the second connection, as a worker does."""
    try:
        await upload_stolen(ends.helper, part, quiet_hooks(shared))
    finally:
        part.finished.set()


def writes(server: Scripted) -> int:
    return sum(request.kind == names.CMD_WRITE for request in server.requests)


def content(ends: Ends) -> bytes:
    (inflight,) = (name for name in ends.files.content if name.endswith(b".inflight"))
    return bytes(ends.files.content[inflight])


def test_the_end_of_a_block_goes_by_another_connection(job: Job, tmp_path: Path) -> None:
    async def run() -> None:
        shared = SharedRanges(lambda: None)
        async with connected() as ends:
            doing = await held_up(ends, job, shared)
            parts = 0
            while (part := shared.steal()) is not None:
                await help_with(ends, part, shared)
                parts += 1
            assert parts > 3
            assert not doing.done()
            ends.slow.reading.set()
            outcome = await doing
            whole = (tmp_path / "file").read_bytes()
            assert content(ends) == whole
            assert outcome.code == 206
            assert outcome.identity == blocks.identity("blake3", blake3.blake3(whole).digest())
            assert writes(ends.quick) > writes(ends.slow)

    asyncio.run(run())


def test_what_a_helper_did_not_write_the_owner_sends(job: Job, tmp_path: Path) -> None:
    async def run() -> None:
        shared = SharedRanges(lambda: None)

        def broken(request: Request) -> bytes | None:
            if request.kind == names.CMD_WRITE:
                ends.quick.hang_up()
                return None
            return ends.files(request)

        async with connected(broken) as ends:
            doing = await held_up(ends, job, shared)
            part = a_part(shared)
            with pytest.raises(DestinationDown):
                await help_with(ends, part, shared)
            ends.slow.reading.set()
            assert (await doing).code == 206
            assert content(ends) == (tmp_path / "file").read_bytes()

    asyncio.run(run())


def test_an_owner_that_gives_up_waits_until_its_helpers_write_no_more(job: Job) -> None:
    async def run() -> None:
        shared = SharedRanges(lambda: None)
        async with connected() as ends:
            doing = await held_up(ends, job, shared)
            part = a_part(shared)
            helping = asyncio.create_task(help_with(ends, part, shared))
            ends.quick.reading.clear()
            ends.slow.hang_up()
            await asyncio.sleep(0.1)
            assert not doing.done()
            ends.quick.reading.set()
            with pytest.raises(DestinationDown):
                await doing
            assert helping.done()

    asyncio.run(run())


def test_a_helper_of_a_source_that_changed_fails_and_the_owner_says_why(
    job: Job, tmp_path: Path
) -> None:
    async def run() -> None:
        shared = SharedRanges(lambda: None)
        async with connected() as ends:
            doing = await held_up(ends, job, shared)
            part = a_part(shared)
            os.utime(tmp_path / "file", (1, 1))
            with pytest.raises(SourceUnavailable):
                await help_with(ends, part, shared)
            ends.slow.reading.set()
            with pytest.raises(SourceUnavailable, match="changed"):
                await doing

    asyncio.run(run())
