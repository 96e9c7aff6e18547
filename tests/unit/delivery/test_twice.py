"""Two connections at the same version of a file, and two versions: in given orders."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from paramiko import sftp as names

from sarra_lite.delivery import upload
from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.destination import Destination
from sarra_lite.errors import Interrupted, SourceUnavailable, TransferError
from sarra_lite.messages.v03 import Blocks, Identity
from tests.lab.disk import Connection, Disk, Node
from tests.lab.jobs import job_of, quiet_hooks
from tests.lab.scripted import Request, logged_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from sarra_lite.sftp.client import SftpClient

SIZE = 300_000
MTIME = 1_700_000_000
FINISH = Blocks(SIZE, 1, 0, finish=True)
BLOCK = Blocks(SIZE, 1, 0, number=0, finish=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    os.utime(path, (MTIME, MTIME))
    return path


@pytest.fixture
def disk() -> Disk:
    return Disk()


def connected(
    disk: Disk, number: int = 1, before: Callable[[Request], Any] = lambda _: None
) -> Any:
    """Return a context of connections to a disk; ``before`` is called with each request."""

    def script() -> Callable[[Request], bytes | None]:
        connection = Connection(disk)

        def answer(request: Request) -> bytes | None:
            before(request)
            return connection(request)

        return answer

    @asynccontextmanager
    async def opened() -> AsyncIterator[list[SftpClient]]:
        async with AsyncExitStack() as stack:
            yield [(await stack.enter_async_context(logged_in(script())))[0] for _ in range(number)]

    return opened()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def inflight(disk: Disk) -> bytes:
    (name,) = (name for name in disk.nodes if name.endswith(b".inflight"))
    return name


def replaced(path: Path) -> None:
    """Give the name of the source to another version, as a program that renames does."""
    (path.parent / "new").write_bytes(os.urandom(SIZE))
    (path.parent / "new").rename(path)


@pytest.mark.parametrize("blocks", [None, FINISH], ids=["whole", "blocks"])
def test_a_version_is_not_renamed_over_a_later_one(
    path: Path, disk: Disk, blocks: Blocks | None
) -> None:
    def before(request: Request) -> None:
        if request.kind == names.CMD_FSETSTAT:  # all is read and written
            replaced(path)

    async def send() -> None:
        async with connected(disk, 1, before) as [client]:
            job = job_of(path, blocks)
            if blocks:
                await deliver(client, job_of(path, BLOCK), quiet_hooks())
            with pytest.raises(SourceUnavailable, match="changed"):
                await deliver(client, job, quiet_hooks())

    run(send())
    assert disk.nodes == {}


def test_a_source_that_was_removed_after_it_was_read_arrives(path: Path, disk: Disk) -> None:
    def before(request: Request) -> None:
        if request.kind == names.CMD_FSETSTAT:
            path.unlink()

    async def send() -> None:
        async with connected(disk, 1, before) as [client]:
            assert (await deliver(client, job_of(path), quiet_hooks())).code == 201

    run(send())
    assert disk.nodes.keys() == {b"file"}


def test_a_finish_creates_no_staging_file(path: Path, disk: Disk) -> None:
    async def send() -> None:
        async with connected(disk) as [client]:
            job = job_of(path, FINISH)
            await deliver(client, job_of(path, BLOCK), quiet_hooks())
            disk.remove(inflight(disk), directory=False)
            with pytest.raises(TransferError, match="inflight file vanished"):
                await deliver(client, job, quiet_hooks())

    run(send())
    assert disk.nodes == {}


def test_a_finish_waits_for_a_connection_that_writes_the_block_again(
    path: Path, disk: Disk
) -> None:
    async def send() -> None:
        async with connected(disk, 2) as [first, second]:
            hooks = quiet_hooks()
            await deliver(first, job_of(path, BLOCK), hooks)
            claim = Destination(second, job_of(path, BLOCK)).marker("0.0.abcd.claim")
            await second.touch(claim)
            assert (await deliver(first, job_of(path, FINISH), hooks)).wait
            await second.remove(claim)
            assert (await deliver(first, job_of(path, FINISH), hooks)).code == 201

    run(send())
    assert disk.nodes.keys() == {b"file"}


def test_a_block_that_another_connection_writes_meanwhile_stays_marked(
    path: Path, disk: Disk
) -> None:
    """A finish has made the directory of the markers; both connections find no staging file."""
    half = SIZE // 2
    finish = job_of(path, Blocks(half, 2, 0, finish=True))
    of_others: list[Callable[[], None]] = []

    def before(request: Request) -> None:
        if request.kind == names.CMD_OPENDIR and of_others:
            of_others.pop()()

    async def send() -> None:
        async with connected(disk, 1, before) as [client]:
            destination = Destination(client, finish)

            def first_block_by_others() -> None:
                content = bytearray(path.read_bytes()[:half])
                disk.nodes[destination.staging_file.encode()] = Node(0o100600, disk.now, content)
                disk.nodes[destination.marker(0).encode()] = Node(0o100600, disk.now)

            assert (await deliver(client, finish, quiet_hooks())).wait
            of_others.append(first_block_by_others)
            second = job_of(path, Blocks(half, 2, 0, number=1))
            assert (await deliver(client, second, quiet_hooks())).code == 201  # it is complete
            assert of_others == []

    run(send())
    assert bytes(disk.nodes[b"file"].content) == path.read_bytes()


def test_markers_without_a_staging_file_are_not_true_any_more(path: Path, disk: Disk) -> None:
    half = SIZE // 2
    finish = job_of(path, Blocks(half, 2, 0, finish=True))
    first, second = (job_of(path, Blocks(half, 2, 0, number=number)) for number in range(2))

    async def send() -> None:
        async with connected(disk) as [client]:
            await deliver(client, first, quiet_hooks())
            disk.remove(inflight(disk), directory=False)
            assert (await deliver(client, second, quiet_hooks())).code == 206
            assert (await deliver(client, finish, quiet_hooks())).wait
            assert (await deliver(client, first, quiet_hooks())).code == 201  # it is complete now

    run(send())
    assert bytes(disk.nodes[b"file"].content) == path.read_bytes()


def test_a_claim_of_a_lost_connection_is_ignored_after_some_seconds(path: Path, disk: Disk) -> None:
    async def send() -> None:
        async with connected(disk) as [client]:
            hooks = quiet_hooks()
            await deliver(client, job_of(path, BLOCK), hooks)
            await client.touch(Destination(client, job_of(path, BLOCK)).marker("0.0.abcd.claim"))
            assert (await deliver(client, job_of(path, FINISH), hooks)).wait == 3.0
            disk.now += 3
            assert (await deliver(client, job_of(path, FINISH), hooks)).code == 201

    run(send())
    assert disk.nodes.keys() == {b"file"}


def test_who_writes_after_the_finish_restores_the_time(path: Path, disk: Disk) -> None:
    """A connection that stood still is taken for lost, and goes on after the finish."""
    still: list[Callable[[], None]] = []

    def before(request: Request) -> None:
        if request.kind == names.CMD_WRITE and still:
            still.pop()()

    async def send() -> None:
        async with connected(disk, 2, before) as [slow, quick]:

            def finished_by_others() -> None:
                disk.rename(inflight(disk), b"file")
                disk.nodes[b"file"].mtime = MTIME
                for name in [name for name in disk.nodes if b".blocks/" in name]:
                    disk.remove(name, directory=False)

            await deliver(quick, job_of(path, BLOCK), quiet_hooks())
            marker = Destination(quick, job_of(path, BLOCK)).marker(0)
            await quick.remove(marker)
            still.append(finished_by_others)
            assert (await deliver(slow, job_of(path, BLOCK), quiet_hooks())).code == 304

    run(send())
    assert disk.nodes[b"file"].mtime == MTIME
    assert disk.nodes.keys() == {b"file"}


def test_a_block_that_was_interrupted_is_taken_up_where_it_was(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_FINISHED_ON_STOP", 0)
    sent: list[int] = []

    async def send() -> None:
        hooks = quiet_hooks()

        def on_sent(count: int) -> None:
            sent.append(count)
            if len(sent) == 5:
                hooks.stop.set()

        hooks = hooks._replace(on_sent=on_sent)
        async with connected(disk) as [client]:
            job = replace(job_of(path, BLOCK), redelivered=True)
            with pytest.raises(Interrupted):
                await deliver(client, job, hooks)
            hooks.stop.clear()
            assert (await deliver(client, job, hooks)).code == 206
            assert sum(sent) == SIZE
            assert (await deliver(client, job_of(path, FINISH), hooks)).code == 201

    run(send())
    assert bytes(disk.nodes[b"file"].content) == path.read_bytes()
    assert disk.nodes.keys() == {b"file"}


def test_a_finish_checks_the_size_before_the_rename(path: Path, disk: Disk) -> None:
    async def send() -> None:
        async with connected(disk) as [client]:
            await deliver(client, job_of(path, BLOCK), quiet_hooks())
            disk.nodes[inflight(disk)].content.pop()
            with pytest.raises(TransferError, match="299999 bytes at the destination"):
                await deliver(client, job_of(path, FINISH), quiet_hooks())

    run(send())
    assert disk.nodes == {}


def test_a_finish_waits_until_the_second_of_the_mtime_is_over(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: MTIME + 0.25)

    async def send() -> None:
        async with connected(disk) as [client]:
            await deliver(client, job_of(path, BLOCK), quiet_hooks())
            assert (await deliver(client, job_of(path, FINISH), quiet_hooks())).wait == 0.75

    run(send())


def test_content_that_is_not_what_was_announced_is_not_renamed(path: Path, disk: Disk) -> None:
    async def send() -> None:
        async with connected(disk) as [client]:
            job = job_of(path)
            other = msgspec.structs.replace(job.announcement, identity=Identity("md5", "AAAA"))
            with pytest.raises(TransferError, match="its content is not what was announced"):
                await deliver(client, replace(job, announcement=other), quiet_hooks())

    run(send())
    assert disk.nodes == {}


def test_a_file_that_is_there_with_other_content_is_sent(path: Path, disk: Disk) -> None:
    digest = base64.b64encode(hashlib.md5(path.read_bytes()).digest()).decode()  # noqa: S324

    async def send() -> None:
        async with connected(disk) as [client]:
            job = job_of(path)
            identity = Identity("md5", digest)
            announcement = msgspec.structs.replace(job.announcement, identity=identity)
            job = replace(job, announcement=announcement)
            assert (await deliver(client, job, quiet_hooks())).code == 201
            assert (await deliver(client, job, quiet_hooks())).code == 304
            disk.nodes[b"file"].content[0] ^= 1  # size and mtime stay
            assert (await deliver(client, job, quiet_hooks())).code == 201

    run(send())
    assert disk.nodes[b"file"].content == path.read_bytes()


@pytest.mark.parametrize("blocks", [None, BLOCK], ids=["whole", "block"])
def test_nobody_else_may_read_what_is_not_complete(
    path: Path, disk: Disk, blocks: Blocks | None
) -> None:
    modes = set()

    def before(request: Request) -> None:
        if request.kind == names.CMD_WRITE:
            modes.add(disk.nodes[inflight(disk)].mode & 0o777)

    async def send() -> None:
        async with connected(disk, 1, before) as [client]:
            await deliver(client, job_of(path, blocks), quiet_hooks())

    run(send())
    assert modes == {0o600}
