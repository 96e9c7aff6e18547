"""A small file is started without ``deliver`` only where nothing is unusual."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sarra_lite.delivery import small_files
from sarra_lite.messages.v03 import Identity
from tests.lab.jobs import job_of

if TYPE_CHECKING:
    from pathlib import Path

    from sarra_lite.delivery.job import Job
    from sarra_lite.sftp.small_file import SmallFile


class Client:
    """Takes small files and does nothing with them."""

    max_write = 1000

    def __init__(self) -> None:
        """Begin without any."""
        self.files: list[SmallFile] = []

    def upload_small(self, file: SmallFile) -> None:
        self.files.append(file)


def started(job: Job) -> list[SmallFile]:
    """Return what is uploaded for a job."""
    client: Any = Client()
    if not small_files.is_small(client, job):
        return []
    assert small_files.start(client, job, lambda _: None) is bool(client.files)
    uploaded: list[SmallFile] = client.files
    return uploaded


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_file_of_one_write_is_uploaded_at_once(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    (file,) = started(job_of(tmp_path / "file"))
    assert bytes(file.content) == b"x" * size


def test_content_that_is_not_what_was_announced_is_left_to_deliver(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    job = job_of(tmp_path / "file")
    for value, uploads in (("AAAA", 0), ("ndTkYSaMgDT1yFZOFVxnpg==", 1)):
        identity = Identity("md5", value)
        announcement = msgspec.structs.replace(job.announcement, identity=identity)
        assert len(started(replace(job, announcement=announcement))) == uploads


def test_it_looks_at_the_source_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (file,) = started(job_of(tmp_path / "file"))
    assert file.is_current()
    (tmp_path / "new").write_bytes(b"y")
    os.utime(tmp_path / "new", (1, 1))
    (tmp_path / "new").rename(tmp_path / "file")
    assert not file.is_current()


def test_larger_ones_and_those_to_verify_or_to_sync_are_left_to_deliver(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1001)
    assert started(job_of(path)) == []
    path.write_bytes(b"x")
    assert started(job_of(path, verify=True)) == started(job_of(path, fsync=True)) == []


def test_a_disk_error_is_left_to_deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")
    job = job_of(tmp_path / "file")

    def failing(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", failing)
    assert started(job) == []
