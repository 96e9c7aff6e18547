"""A small file takes three round trips; whatever is unusual ends it without a result."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest
from paramiko import sftp as constants
from paramiko.message import Message

from sarra_lite.errors import DestinationDown
from sarra_lite.sftp.packets import Attributes
from sarra_lite.sftp.small_file import End, SmallFile
from tests.lab.scripted import Files, Request, logged_in

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"some content"


def upload(
    script: Callable[[Request], bytes | None],
    *,
    unless_mtime: int | None = None,
    is_current: Callable[[], bool] = lambda: True,
) -> tuple[End | BaseException, list[int]]:
    """Upload a file; return the result and the kinds of requests in their order."""

    async def run() -> tuple[End | BaseException, list[int]]:
        ended: asyncio.Future[End | BaseException] = asyncio.get_running_loop().create_future()
        async with logged_in(script) as (client, server):
            attributes = Attributes(mode=0o640, mtime=5)
            file = SmallFile(
                ".f.inflight", "f", CONTENT, attributes, unless_mtime, ended.set_result, is_current
            )
            client.upload_small(file)
            result = await asyncio.wait_for(ended, 5)
            return result, [request.kind for request in server.requests]

    return asyncio.run(run())


def refusing(kind: int, files: Files) -> Callable[[Request], bytes | None]:
    """Return a server that answers requests of one kind with a failure."""

    def script(request: Request) -> bytes | None:
        return request.status(constants.SFTP_FAILURE) if request.kind == kind else files(request)

    return script


def existing(size: int, mtime: int, files: Files) -> Callable[[Request], bytes | None]:
    """Return a server on which the file exists already."""

    def script(request: Request) -> bytes | None:
        if request.kind == constants.CMD_STAT:
            attributes = struct.pack(">IQIII", 1 | 4 | 8, size, 0o100644, mtime, mtime)
            return request.answer(constants.CMD_ATTRS, attributes)
        return files(request)

    return script


def test_it_takes_three_round_trips() -> None:
    files = Files()
    result, kinds = upload(files)
    assert result is End.UPLOADED
    assert bytes(files.content[b"f"]) == CONTENT
    together = [
        constants.CMD_WRITE,
        constants.CMD_FSTAT,
        constants.CMD_FSETSTAT,
        constants.CMD_CLOSE,
    ]
    assert kinds == [constants.CMD_OPEN, *together, constants.CMD_EXTENDED]


def test_nobody_else_may_read_it_until_it_is_complete() -> None:
    files, modes = Files(), []

    def script(request: Request) -> bytes | None:
        if request.kind == constants.CMD_OPEN:
            arguments = Request(b"\0" * 5 + request.rest)
            arguments.string()
            modes.append(Attributes.unpack(Message(arguments.rest[4:])).mode)
        return files(request)

    assert upload(script)[0] is End.UPLOADED
    assert modes == [0o600]


def test_the_name_is_looked_at_first_where_the_file_may_exist() -> None:
    result, kinds = upload(Files(), unless_mtime=5)
    assert result is End.UPLOADED
    assert kinds[:2] == [constants.CMD_STAT, constants.CMD_OPEN]


@pytest.mark.parametrize(("size", "mtime"), [(len(CONTENT), 6), (len(CONTENT) + 1, 5)])
def test_another_version_is_replaced(size: int, mtime: int) -> None:
    files = Files()
    result, _ = upload(existing(size, mtime, files), unless_mtime=5)
    assert result is End.UPLOADED
    assert bytes(files.content[b"f"]) == CONTENT


def test_what_may_be_the_same_file_is_left_to_the_caller() -> None:
    files = Files()
    result, kinds = upload(existing(len(CONTENT), 5, files), unless_mtime=5)
    assert result is End.UNUSUAL
    assert kinds == [constants.CMD_STAT]
    assert files.content == {}


@pytest.mark.parametrize(
    "kind",
    [
        constants.CMD_STAT,
        constants.CMD_OPEN,
        constants.CMD_WRITE,
        constants.CMD_FSTAT,
        constants.CMD_FSETSTAT,
        constants.CMD_CLOSE,
    ],
)
def test_nothing_is_renamed_after_a_failure(kind: int) -> None:
    files = Files()
    result, kinds = upload(refusing(kind, files), unless_mtime=5)
    assert result is End.UNUSUAL
    assert constants.CMD_EXTENDED not in kinds
    assert b"f" not in files.content


def test_a_missing_directory_is_told() -> None:
    def script(request: Request) -> bytes | None:
        return request.status(constants.SFTP_NO_SUCH_FILE)

    assert upload(script, unless_mtime=5)[0] is End.NO_DIRECTORY


def test_what_is_another_version_just_before_the_rename_is_not_renamed() -> None:
    files = Files()
    result, kinds = upload(files, is_current=lambda: False)
    assert result is End.UNUSUAL
    assert kinds[-1] == constants.CMD_CLOSE
    assert b"f" not in files.content


def test_a_rename_that_fails_is_no_success() -> None:
    files = Files()

    def script(request: Request) -> bytes | None:
        if request.kind == constants.CMD_EXTENDED:
            return request.status(constants.SFTP_FAILURE)
        return files(request)

    assert upload(script)[0] is End.UNUSUAL


def test_a_size_that_differs_is_no_success() -> None:
    files = Files()

    def script(request: Request) -> bytes | None:
        answer = files(request)
        if request.kind == constants.CMD_WRITE:
            files.content[b".f.inflight"].pop()
        return answer

    result, _ = upload(script)
    assert result is End.UNUSUAL
    assert b"f" not in files.content


@pytest.mark.parametrize("kind", [constants.CMD_OPEN, constants.CMD_WRITE, constants.CMD_EXTENDED])
def test_the_end_of_the_session_is_told(kind: int) -> None:
    files, seen = Files(), list[int]()

    def script(request: Request) -> bytes | None:
        seen.append(request.kind)
        return None if kind in seen else files(request)

    async def run() -> End | BaseException:
        ended: asyncio.Future[End | BaseException] = asyncio.get_running_loop().create_future()
        async with logged_in(script) as (client, server):
            file = SmallFile(".f", "f", CONTENT, Attributes(), None, ended.set_result)
            client.upload_small(file)
            while kind not in seen:
                await server.until(len(server.requests) + 1)
            server.hang_up()
            return await asyncio.wait_for(ended, 5)

    assert isinstance(asyncio.run(run()), DestinationDown)
