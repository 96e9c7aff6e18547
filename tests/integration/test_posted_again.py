"""A file that is posted again: what has changed is applied, and the report says what was done."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import ALL_EVENTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.site import Site

IN_BLOCKS = ["--block-size", "100k"]
SIZE = 250_000
NOT_COMPARED = "a file of this size and time is there; its content was not compared"
MODE_SET = "mode and time set; content was not sent"


@pytest.fixture
def sent(site: Site, request: pytest.FixtureRequest) -> Path:
    """Return a file that was sent; the parameter: in blocks or whole."""
    file = site.source / "f"
    file.write_bytes(os.urandom(SIZE))
    post(site, file, *request.param)
    assert last_report(site) == (201, "file sent in blocks" if request.param else "file sent")
    return file


whole_or_in_blocks = pytest.mark.parametrize(
    ("sent", "how"), [([], []), (IN_BLOCKS, IN_BLOCKS)], indirect=["sent"], ids=["whole", "blocks"]
)
in_blocks = pytest.mark.parametrize("sent", [IN_BLOCKS], indirect=True)


def post(site: Site, file: Path, *flags: str) -> str:
    """Post and send a file; return the line of the sender about the bytes moved."""
    site.run("sr_post", *flags, file)
    return site.drain().stderr


def last_report(site: Site) -> tuple[int, str]:
    report = site.reports()[-1]
    return report["code"], report["message"]


def change_content(file: Path) -> None:
    """Change the content, but neither size nor modification time."""
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[150_000] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@whole_or_in_blocks
def test_a_mode_that_alone_has_changed_is_set(site: Site, sent: Path, how: list[str]) -> None:
    sent.chmod(0o600)
    assert "0 B moved" in post(site, sent, *how)
    assert last_report(site) == (201, MODE_SET)
    assert stat.S_IMODE((site.dest / "f").stat().st_mode) == 0o600
    post(site, sent, *how)
    assert last_report(site) == (304, NOT_COMPARED if how else "file is there")


@pytest.mark.parametrize("sent", [[]], indirect=True)
def test_a_mode_that_has_changed_with_the_name_is_set(site: Site, sent: Path) -> None:
    site.configure("sender", ALL_EVENTS)
    sent = sent.rename(site.source / "g")
    sent.chmod(0o600)
    post(site, sent, "--renamed-from", str(site.source / "f"))
    assert last_report(site) == (201, "renamed")
    assert stat.S_IMODE((site.dest / "g").stat().st_mode) == 0o600


@in_blocks
@pytest.mark.parametrize("flag", ["--checksum", "--force"])
def test_content_that_changed_with_size_and_time_unchanged_can_be_sent(
    site: Site, sent: Path, flag: str
) -> None:
    change_content(sent)
    post(site, sent, *IN_BLOCKS)
    assert last_report(site) == (304, NOT_COMPARED)
    post(site, sent, *IN_BLOCKS, flag)
    assert last_report(site) == (201, "file sent")
    assert (site.dest / "f").read_bytes() == sent.read_bytes()
    assert site.leftovers() == []


@whole_or_in_blocks
def test_with_checksum_only_the_time_of_equal_content_is_set(
    site: Site, sent: Path, how: list[str]
) -> None:
    os.utime(sent, ns=(0, 5_000_000_000))
    assert "0 B moved" in post(site, sent, *how, "--checksum")
    assert last_report(site) == (201, MODE_SET)
    assert (site.dest / "f").stat().st_mtime == 5
    post(site, sent, *how, "--checksum")
    assert last_report(site) == (304, "file is there")


@whole_or_in_blocks
def test_with_force_a_file_is_sent_though_it_is_there(
    site: Site, sent: Path, how: list[str]
) -> None:
    before = (site.dest / "f").stat().st_ino
    assert "0 B moved" not in post(site, sent, *how, "--force")
    assert last_report(site) == (201, "file sent")
    assert (site.dest / "f").stat().st_ino != before
