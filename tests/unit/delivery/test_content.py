"""Delivering to a server that does as it is told."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from paramiko import sftp as names

from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.destination import Destination
from sarra_lite.errors import ConfigError, DestinationDown, TransferError
from sarra_lite.messages.v03 import Blocks
from tests.lab import scripted
from tests.lab.jobs import job_of, quiet_hooks
from tests.lab.scripted import Files, Request, logged_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sarra_lite.delivery.job import Outcome

SIZE = 300_000
NO_CLIENT: Any = None  # no request is made


def send(
    tmp_path: Path, script: Callable[[Request], bytes | None], **options: Any
) -> tuple[Outcome, list[int]]:
    """Deliver a file; return what came of it, and the kinds of requests in their order."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * SIZE)
    job = job_of(path, **options)

    async def run() -> tuple[Outcome, list[int]]:
        async with logged_in(script) as (client, server):
            outcome = await deliver(client, job, quiet_hooks())
            return outcome, [request.kind for request in server.requests]

    return asyncio.run(run())


def rotten(files: Files) -> Callable[[Request], bytes | None]:
    """Return a server that keeps another byte than the one it was sent."""

    def script(request: Request) -> bytes | None:
        answer = files(request)
        if request.kind == names.CMD_WRITE:
            for content in files.content.values():
                content[1000:1001] = b"!"
        return answer

    return script


def test_a_small_file_takes_four_round_trips(tmp_path: Path) -> None:
    files = Files()
    outcome, kinds = send(tmp_path, files)
    assert outcome.code == 201
    assert bytes(files.content[b"file"]) == (tmp_path / "file").read_bytes()
    together = [names.CMD_FSTAT, names.CMD_FSETSTAT, names.CMD_CLOSE]
    assert kinds[0] == names.CMD_OPEN
    assert kinds[-4:] == [*together, names.CMD_EXTENDED]
    assert set(kinds[1:-4]) == {names.CMD_WRITE}


@pytest.mark.parametrize("blocks", [None, Blocks(SIZE, 1, SIZE, number=0, finish=True)])
def test_verify_finds_what_the_server_did_not_keep(tmp_path: Path, blocks: Blocks | None) -> None:
    files = Files()
    with pytest.raises(TransferError, match="read again, it differs") as failed:
        send(tmp_path, rotten(files), verify=True, blocks=blocks)
    assert failed.value.code == 500
    assert b"file" not in files.content
    # What was written of a whole file is gone; of a block there is a mark that it failed.
    assert bool(files.content) == (blocks is not None)


def test_verify_of_what_is_right_is_only_slower(tmp_path: Path) -> None:
    files = Files()
    outcome, kinds = send(tmp_path, files, verify=True)
    assert outcome.code == 201
    assert names.CMD_READ in kinds
    assert bytes(files.content[b"file"]) == (tmp_path / "file").read_bytes()


def test_fsync_that_the_server_cannot_do_is_refused_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "EXTENSIONS", (b"posix-rename@openssh.com",))
    files = Files()
    with pytest.raises(ConfigError, match="fsync"):
        send(tmp_path, files, fsync=True)
    assert b"file" not in files.content


def test_fsync_comes_before_the_name(tmp_path: Path) -> None:
    files = Files()
    outcome, _ = send(tmp_path, files, fsync=True)
    assert outcome.code == 201
    assert len(files.synced) == 1
    assert files.synced[0] != b"file"


def test_a_connection_that_is_lost_while_cleaning_up_lets_another_clean_up(tmp_path: Path) -> None:
    files, removals = Files(), 0

    def script(request: Request) -> bytes | None:
        nonlocal removals
        if request.kind == names.CMD_WRITE:
            (tmp_path / "file").write_bytes(b"another version")
        if request.kind == names.CMD_REMOVE:
            removals += 1
            return b"no SFTP"
        return files(request)

    with pytest.raises(DestinationDown):
        send(tmp_path, script)
    assert removals == 1


def test_a_staging_file_that_must_not_be_written_any_more_is_taken_up_again(tmp_path: Path) -> None:
    files, modes = Files(), [0o444]

    def script(request: Request) -> bytes | None:
        if request.kind == names.CMD_OPEN and modes == [0o444]:
            return request.status(names.SFTP_PERMISSION_DENIED)
        if request.kind == names.CMD_SETSTAT:
            modes.append(0o600)
        return files(request)

    outcome, _ = send(tmp_path, script)
    assert outcome.code == 201


@pytest.mark.parametrize("blocks", [None, Blocks(SIZE, 1, SIZE, number=0, finish=True)])
@pytest.mark.parametrize("begun", [False, True])
def test_holes_are_written_where_the_inflight_file_may_have_content(
    tmp_path: Path, blocks: Blocks | None, *, begun: bool
) -> None:
    files, path = Files(), tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(SIZE)
    job = replace(job_of(path, blocks), redelivered=begun)
    staging = os.fsencode(Destination(NO_CLIENT, job).staging_file)
    if begun:
        files.content[staging] = bytearray(b"x" * (SIZE // 2))

    async def run() -> set[int]:
        async with logged_in(files) as (client, server):
            await deliver(client, job, quiet_hooks())
            return {request.kind for request in server.requests}

    kinds = asyncio.run(run())
    assert bytes(files.content[b"file" if blocks is None else staging]) == bytes(SIZE)
    assert (names.CMD_WRITE in kinds) == begun
