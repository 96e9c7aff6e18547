"""Requests and answers on a stream, with a server that does as it is told."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paramiko import sftp as names

from sarra_lite.errors import DestinationDown, SourceUnavailable
from sarra_lite.sftp import session
from sarra_lite.sftp.file import File
from sarra_lite.sftp.packets import Attributes, SftpError, pack_string, parse_response
from sarra_lite.sftp.sendfile import FileRange, OpenFile
from sarra_lite.sftp.session import Session
from tests.lab.scripted import WHY, Files, Request, Scripted, target

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

MIB = 1024 * 1024


def play(
    scene: Callable[[Session, Scripted], Coroutine[Any, Any, None]],
    script: Callable[[Request], bytes | None] | None = None,
    timeout: float = 5.0,
) -> None:
    """Run a scene with a wire that is connected to a scripted server."""

    async def run() -> None:
        async with Scripted(script) as server:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(session, "connect", lambda _: server)
                wire = Session(target(timeout))
                await wire.open()
                await scene(wire, server)
                wire.close()

    asyncio.run(run())


def later(_: Request) -> None:
    """Answer nothing by itself."""


@given(order=st.permutations(range(8)), cuts=st.lists(st.integers(0, 300), max_size=20))
def test_an_answer_reaches_who_asked_in_any_order_and_cut_anywhere(
    order: list[int], cuts: list[int]
) -> None:
    async def scene(wire: Session, server: Scripted) -> None:
        asked = [wire.send(names.CMD_READLINK, pack_string(b"%d" % n)) for n in range(8)]
        await server.until(8)
        answers = [r.answer(names.CMD_NAME, b"for " + r.string()) for r in server.requests]
        await server.send(b"".join(answers[n] for n in order), cuts)
        got = [parse_response(await one).asbytes() for one in asked]
        assert got == [b"for %d" % n for n in range(8)]

    play(scene, later)


@given(
    sizes=st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
    step=st.integers(1000, 70_000),
)
def test_many_files_at_once_arrive_whole(sizes: list[int], step: int) -> None:
    files = Files()
    contents = {b"f%d" % n: bytes([n + 1]) * size for n, size in enumerate(sizes)}

    async def send(wire: Session, name: bytes, content: bytes) -> None:
        file = File(wire, pack_string(name), step)
        parse_response(await wire.send(names.CMD_OPEN, pack_string(name)))
        written = 0
        for offset in range(0, len(content), step):
            written += await file.write(offset, content[offset : offset + step])
        more, found = await file.finish(Attributes(mode=0o644, mtime=1))
        assert written + more == found.size == len(content)

    async def scene(wire: Session, _: Scripted) -> None:
        await asyncio.gather(*(send(wire, *item) for item in contents.items()))

    play(scene, files)
    assert {name: bytes(content) for name, content in files.content.items()} == contents
    assert sorted(files.closed) == sorted(contents)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 3_000_000), step=st.integers(10_000, 300_000), begin=st.integers(0, 999))
def test_a_range_of_a_file_arrives_without_passing_through_us(
    tmp_path: Path, size: int, step: int, begin: int
) -> None:
    content = os.urandom(begin + size + 10)
    (tmp_path / "f").write_bytes(content)
    files = Files()

    async def scene(wire: Session, _: Scripted) -> None:
        parse_response(await wire.send(names.CMD_OPEN, pack_string(b"f")))
        source = OpenFile(str(tmp_path / "f"), os.O_RDONLY)
        async with File(wire, pack_string(b"f"), step) as file:
            for offset in range(0, size, step):
                length = min(step, size - offset)
                await file.write(offset, FileRange(source, begin + offset, length))
            del source  # what is still to be sent keeps it open

    play(scene, files)
    assert files.content[b"f"] == content[begin : begin + size]


def test_a_file_that_became_shorter_is_told_and_the_connection_is_as_good_as_before(
    tmp_path: Path,
) -> None:
    (tmp_path / "f").write_bytes(bytes(1000))
    files = Files()

    async def scene(wire: Session, _: Scripted) -> None:
        parse_response(await wire.send(names.CMD_OPEN, pack_string(b"f")))
        file = File(wire, pack_string(b"f"), MIB)
        await file.write(0, FileRange(OpenFile(str(tmp_path / "f"), os.O_RDONLY), 0, MIB))
        with pytest.raises(SourceUnavailable, match="shorter than announced"):
            await file.flush()
        assert parse_response(await wire.send(names.CMD_STAT, pack_string(b"f"))) is not None

    play(scene, files)


@given(bad=st.integers(0, 9))
def test_a_write_that_failed_is_told_however_late(bad: int) -> None:
    files = Files()
    writes = 0

    def script(request: Request) -> bytes | None:
        nonlocal writes
        if request.kind == names.CMD_WRITE:
            writes += 1
            if writes == bad + 1:
                return request.status(names.SFTP_FAILURE, b"Failure")
        return files(request)

    async def scene(wire: Session, _: Scripted) -> None:
        async def send() -> None:
            async with File(wire, pack_string(b"f"), 10) as file:
                for n in range(10):
                    await file.write(10 * n, bytes(10))
                await file.finish(Attributes(mtime=1))

        parse_response(await wire.send(names.CMD_OPEN, pack_string(b"f")))
        with pytest.raises(SftpError) as refused:
            await send()
        assert refused.value.writing
        # It is closed all the same, and the connection is as good as before.
        assert parse_response(await wire.send(names.CMD_STAT, pack_string(b"f"))) is not None

    play(scene, script)
    assert files.closed == [b"f"]


def test_no_more_is_under_way_than_the_window() -> None:
    async def scene(wire: Session, server: Scripted) -> None:
        sent = 0

        async def write() -> None:
            nonlocal sent
            file = File(wire, pack_string(b"f"), MIB)
            while True:
                await file.write(sent, bytes(MIB // 4))
                sent += MIB // 4

        writing = asyncio.create_task(write())
        await server.until(16)
        for _ in range(50):
            await asyncio.sleep(0)
        assert sent == 4 * MIB
        await server.send(b"".join(request.status() for request in server.requests[:4]))
        await server.until(20)
        assert sent == 5 * MIB
        writing.cancel()

    play(scene, later)


def test_a_server_that_stops_reading_is_given_up() -> None:
    async def scene(wire: Session, server: Scripted) -> None:
        server.reading.clear()
        asked = [wire.send(names.CMD_WRITE, data=bytes(MIB)) for _ in range(4)]
        with pytest.raises(DestinationDown, match=r"no answer for 0 s"):
            await asked[-1]
        with pytest.raises(DestinationDown):
            await asked[0]
        assert wire.closed

    play(scene, later, timeout=0.3)


def test_a_server_that_answers_slowly_is_not_given_up() -> None:
    async def scene(wire: Session, server: Scripted) -> None:
        asked = [wire.send(names.CMD_STAT, pack_string(b"f")) for _ in range(4)]
        await server.until(4)
        for one, request in zip(asked, server.requests, strict=True):
            await asyncio.sleep(0.2)
            await server.send(request.status())
            parse_response(await one)

    play(scene, later, timeout=0.5)


def test_an_end_in_the_middle_is_told_to_all_who_wait_and_to_who_comes_later() -> None:
    async def scene(wire: Session, server: Scripted) -> None:
        asked = [wire.send(names.CMD_STAT, pack_string(b"f")) for _ in range(3)]
        await server.until(3)
        await server.send(server.requests[0].status()[:-3])
        server.hang_up()
        for one in asked:
            with pytest.raises(DestinationDown, match=WHY):
                await one
        with pytest.raises(DestinationDown, match=WHY):
            wire.send(names.CMD_STAT, pack_string(b"f"))

    play(scene, later)


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\x65", b"\x00\x00\x00\x05\x65\x00\x00\xff\xff"],
    ids=["too long", "too short", "an answer to nothing"],
)
def test_what_is_no_sftp_ends_the_connection(nonsense: bytes) -> None:
    async def scene(wire: Session, server: Scripted) -> None:
        asked = wire.send(names.CMD_STAT, pack_string(b"f"))
        await server.until(1)
        await server.send(nonsense)
        with pytest.raises(DestinationDown, match="no SFTP server answers"):
            await asked

    play(scene, later)
