"""Sessions and open files, against a scripted SFTP server."""

from __future__ import annotations

import asyncio
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paramiko import sftp as constants
from paramiko.message import Message

from sarra_lite.errors import DestinationDown, DestinationRefused, SourceUnavailable
from sarra_lite.sftp import session
from sarra_lite.sftp.file import File
from sarra_lite.sftp.packets import Attributes, SftpError, pack_string, unpack_names
from sarra_lite.sftp.sendfile import FileRange, OpenFile
from sarra_lite.sftp.session import Session
from tests.lab import scripted
from tests.lab.scripted import (
    CLOSE_REASON,
    Files,
    Request,
    Scripted,
    connecting,
    logged_in,
    target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from sarra_lite.sftp.client import SftpClient

MIB = 1024 * 1024


def run(
    scenario: Callable[[Session, Scripted], Coroutine[Any, Any, None]],
    script: Callable[[Request], bytes | None] | None = None,
    timeout: float = 5.0,
) -> None:
    """Run a scenario with a session that is connected to a scripted server."""

    async def connected() -> None:
        async with Scripted(script) as server:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(session, "connect", connecting(server))
                client = Session(target(timeout))
                await client.open()
                await scenario(client, server)
                client.close()

    asyncio.run(connected())


def no_response(_: Request) -> None:
    """Leave the request unanswered."""


@given(order=st.permutations(range(8)), cuts=st.lists(st.integers(0, 300), max_size=20))
def test_responses_match_their_requests_in_any_order_and_in_any_pieces(
    order: list[int], cuts: list[int]
) -> None:
    async def scenario(client: Session, server: Scripted) -> None:
        futures = [client.send(constants.CMD_READLINK, pack_string(b"%d" % n)) for n in range(8)]
        await server.until(8)
        responses = [r.answer(constants.CMD_NAME, b"for " + r.string()) for r in server.requests]
        await server.send(b"".join(responses[n] for n in order), cuts)
        got = [(await future).asbytes() for future in futures]
        assert got == [b"for %d" % n for n in range(8)]

    run(scenario, no_response)


@given(
    sizes=st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
    step=st.integers(1000, 70_000),
)
def test_many_files_can_be_written_at_the_same_time(sizes: list[int], step: int) -> None:
    files = Files()
    contents = {b"f%d" % n: bytes([n + 1]) * size for n, size in enumerate(sizes)}

    async def upload(client: Session, name: bytes, content: bytes) -> None:
        file = File(client, pack_string(name))
        await client.send(constants.CMD_OPEN, pack_string(name))
        written: list[int] = []
        file.on_written = written.append
        for offset in range(0, len(content), step):
            await file.write(offset, content[offset : offset + step])
        found, _ = await file.finish(Attributes(mode=0o644, mtime=1))
        assert sum(written) == found.size == len(content)

    async def scenario(client: Session, _: Scripted) -> None:
        await asyncio.gather(*(upload(client, *item) for item in contents.items()))

    run(scenario, files)
    assert {name: bytes(content) for name, content in files.content.items()} == contents
    assert sorted(files.closed) == sorted(contents)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 3_000_000), step=st.integers(10_000, 300_000), begin=st.integers(0, 999))
def test_a_file_range_is_written_as_it_is_on_disk(
    tmp_path: Path, size: int, step: int, begin: int
) -> None:
    content = os.urandom(begin + size + 10)
    (tmp_path / "f").write_bytes(content)
    files = Files()

    async def scenario(client: Session, _: Scripted) -> None:
        await client.send(constants.CMD_OPEN, pack_string(b"f"))
        source = OpenFile(str(tmp_path / "f"))
        async with File(client, pack_string(b"f")) as file:
            for offset in range(0, size, step):
                length = min(step, size - offset)
                await file.write(offset, FileRange(source, begin + offset, length))
            del source  # the queued ranges keep the file open

    run(scenario, files)
    assert files.content[b"f"] == content[begin : begin + size]


def test_a_local_file_that_became_shorter_raises_and_the_session_stays_usable(
    tmp_path: Path,
) -> None:
    (tmp_path / "f").write_bytes(bytes(1000))
    files = Files()

    async def scenario(client: Session, _: Scripted) -> None:
        await client.send(constants.CMD_OPEN, pack_string(b"f"))
        file = File(client, pack_string(b"f"))
        await file.write(0, FileRange(OpenFile(str(tmp_path / "f")), 0, MIB))
        with pytest.raises(SourceUnavailable, match="shorter than announced"):
            await file.flush()
        assert await client.send(constants.CMD_STAT, pack_string(b"f")) is not None

    run(scenario, files)


@given(bad=st.integers(0, 9))
def test_every_failed_write_raises_at_the_latest_when_the_file_is_closed(bad: int) -> None:
    files = Files()
    writes = 0

    def script(request: Request) -> bytes | None:
        nonlocal writes
        if request.kind == constants.CMD_WRITE:
            writes += 1
            if writes == bad + 1:
                return request.status(constants.SFTP_FAILURE, b"Failure")
        return files(request)

    async def scenario(client: Session, _: Scripted) -> None:
        async def send() -> None:
            async with File(client, pack_string(b"f")) as file:
                for n in range(10):
                    await file.write(10 * n, bytes(10))
                await file.finish(Attributes(mtime=1))

        await client.send(constants.CMD_OPEN, pack_string(b"f"))
        with pytest.raises(SftpError) as refused:
            await send()
        assert refused.value.writing
        # The file is closed, and the session stays usable.
        assert await client.send(constants.CMD_STAT, pack_string(b"f")) is not None

    run(scenario, script)
    assert files.closed == [b"f"]


def test_no_more_bytes_are_pending_than_the_window() -> None:
    async def scenario(client: Session, server: Scripted) -> None:
        sent = 0

        async def write() -> None:
            nonlocal sent
            file = File(client, pack_string(b"f"))
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

    run(scenario, no_response)


def test_a_server_that_stops_reading_ends_the_session_after_the_timeout() -> None:
    async def scenario(client: Session, server: Scripted) -> None:
        server.reading.clear()
        futures = [client.send(constants.CMD_WRITE, data=bytes(MIB)) for _ in range(4)]
        with pytest.raises(DestinationDown, match=r"no answer for 0 s"):
            await futures[-1]
        with pytest.raises(DestinationDown):
            await futures[0]
        assert client.error is not None

    run(scenario, no_response, timeout=0.3)


def test_a_server_that_responds_slowly_does_not_end_the_session() -> None:
    async def scenario(client: Session, server: Scripted) -> None:
        futures = [client.send(constants.CMD_STAT, pack_string(b"f")) for _ in range(4)]
        await server.until(4)
        for future, request in zip(futures, server.requests, strict=True):
            await asyncio.sleep(0.2)
            await server.send(request.status())
            await future

    run(scenario, no_response, timeout=0.5)


def test_the_text_of_an_error_may_be_in_any_encoding() -> None:
    async def scenario(client: Session, _: Scripted) -> None:
        with pytest.raises(SftpError, match=r"Zugriff verweigert f.r"):
            await client.send(constants.CMD_STAT, pack_string(b"f"))
        assert client.error is None

    run(scenario, lambda request: request.status(3, b"Zugriff verweigert f\xfcr"))


def test_pending_and_later_requests_raise_the_reason_when_the_server_hangs_up() -> None:
    async def scenario(client: Session, server: Scripted) -> None:
        futures = [client.send(constants.CMD_STAT, pack_string(b"f")) for _ in range(3)]
        await server.until(3)
        await server.send(server.requests[0].status()[:-3])
        server.hang_up()
        for future in futures:
            with pytest.raises(DestinationDown, match=CLOSE_REASON):
                await future
        with pytest.raises(DestinationDown, match=CLOSE_REASON):
            client.send(constants.CMD_STAT, pack_string(b"f"))

    run(scenario, no_response)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\x65", b"\x00\x00\x00\x05\x65\x00\x00\xff\xff"],
    ids=["too long", "too short", "unknown request id"],
)
def test_bytes_that_are_not_sftp_end_the_session(data: bytes) -> None:
    async def scenario(client: Session, server: Scripted) -> None:
        future = client.send(constants.CMD_STAT, pack_string(b"f"))
        await server.until(1)
        await server.send(data)
        with pytest.raises(DestinationDown, match="no SFTP server answers"):
            await future

    run(scenario, no_response)


def test_a_status_in_place_of_the_version_ends_the_session() -> None:
    class Refusing(Scripted):
        async def _serve(self) -> None:
            loop = asyncio.get_running_loop()
            await loop.sock_recv(self._server_socket, 100)
            await loop.sock_sendall(self._server_socket, struct.pack(">IBIII", 13, 101, 3, 4, 0))

    async def run() -> None:
        async with Refusing() as server:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(session, "connect", connecting(server))
                client = Session(target(5.0))
                with pytest.raises(DestinationDown, match="no SFTP server"):
                    await asyncio.wait_for(client.open(), 5)

    asyncio.run(run())


def test_a_status_without_a_code_ends_the_session() -> None:
    async def scenario(client: Session, _: Scripted) -> None:
        with pytest.raises(DestinationDown, match="no SFTP server"):
            await client.send(constants.CMD_RMDIR, pack_string(b"a"))

    run(scenario, lambda request: request.answer(constants.CMD_STATUS, b""))


def test_a_server_cannot_count_more_names_than_it_sends() -> None:
    assert (
        unpack_names(Message(struct.pack(">I", 2**32 - 1) + bytes(30))) == [("", Attributes())] * 2
    )


def operate(
    script: Callable[[Request], bytes | None], operation: Callable[[SftpClient], Any]
) -> Any:
    """Return the result of an operation at a scripted server."""

    async def run() -> Any:
        async with logged_in(script) as (client, _):
            return await asyncio.wait_for(operation(client), 5)

    return asyncio.run(run())


async def write_a_file(client: SftpClient) -> None:
    async with await client.open_file("f", 0o600) as file:
        await file.write(0, b"content")


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        (constants.CMD_WRITE, write_a_file),
        (constants.CMD_CLOSE, write_a_file),
        (constants.CMD_EXTENDED, lambda client: client.rename("f", "g")),
        (constants.CMD_SETSTAT, lambda client: client.set_attributes("f", Attributes(mtime=1))),
        (constants.CMD_MKDIR, lambda client: client.mkdir("d", 0o700)),
        (constants.CMD_REMOVE, lambda client: client.remove("f")),
        (constants.CMD_RMDIR, lambda client: client.rmdir("d")),
        (constants.CMD_SYMLINK, lambda client: client.symlink("f", "l")),
    ],
)
@pytest.mark.parametrize("answer", [constants.CMD_DATA, constants.CMD_HANDLE, 201, 255])
def test_what_is_answered_by_something_else_than_a_status_is_no_success(
    kind: int, operation: Callable[[SftpClient], Any], answer: int
) -> None:
    files = Files()

    def script(request: Request) -> bytes | None:
        if request.kind == kind:
            return request.answer(answer, bytes(8))
        return files(request)

    with pytest.raises(SftpError, match=f"packet of type {answer}"):
        operate(script, operation)


@pytest.mark.parametrize("body", [b"", bytes(3), bytes(4), b"\xff" * 4, b"\xff" * 40])
@pytest.mark.parametrize("kind", [101, 102, 103, 104, 105, 201])
def test_no_answer_to_a_listing_raises_more_than_an_error_or_lasts_for_ever(
    kind: int, body: bytes
) -> None:
    def script(request: Request) -> bytes | None:
        if request.kind == constants.CMD_OPENDIR:
            return request.answer(constants.CMD_HANDLE, pack_string(b"h"))
        return request.answer(kind, body)

    try:
        names = operate(script, lambda client: client.listdir("d"))
    except (SftpError, DestinationDown):
        return
    assert isinstance(names, list)


@pytest.mark.parametrize("body", [b"", bytes(32), b"\xff" * 32, struct.pack(">4Q", 0, 0, 2**40, 0)])
def test_limits_that_make_no_sense_are_not_used(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(
        scripted, "EXTENSIONS", (b"posix-rename@openssh.com", b"limits@openssh.com")
    )

    async def limits(client: SftpClient) -> tuple[int, int]:
        return client.max_write, client.max_files

    max_write, max_files = operate(lambda request: request.answer(201, body), limits)
    assert 32768 <= max_write <= 256 * 1024
    assert max_files >= 64


def test_limits_that_the_server_refuses_to_tell_are_assumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        scripted, "EXTENSIONS", (b"posix-rename@openssh.com", b"limits@openssh.com")
    )

    async def limits(client: SftpClient) -> int:
        return client.max_write

    assert operate(lambda request: request.status(3), limits) == 32768


@pytest.mark.parametrize("body", [b"", bytes(40)])
def test_a_file_system_without_numbers_is_not_a_full_one(body: bytes) -> None:
    answered = operate(lambda request: request.answer(201, body), lambda c: c.statvfs("d"))
    assert answered is None


def test_after_the_login_an_end_is_an_outage_whatever_was_said() -> None:
    class Refusing(Scripted):
        def close_reason(self) -> Exception:
            return DestinationRefused("Permission denied")

    async def run() -> None:
        async with Refusing(no_response) as server:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(session, "connect", connecting(server))
                client = Session(target())
                await client.open()
                future = client.send(constants.CMD_STAT, pack_string(b"f"))
                server.hang_up()
                with pytest.raises(DestinationDown, match="Permission denied"):
                    await future
                client.close()

    asyncio.run(run())
