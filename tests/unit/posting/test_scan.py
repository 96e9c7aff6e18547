"""The relPath of an announced path, and which files are announced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sarra_lite.config.commands import PostConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import SarraError, UsageError
from sarra_lite.posting import paths, scan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> PostConfig:
    return PostConfig(broker=parse_url("amqp://u@h/", ["amqp"]), baseDir=str(tmp_path))


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A directory ``real``, and a link ``home`` to it."""
    (tmp_path / "real" / "data").mkdir(parents=True)
    (tmp_path / "home").symlink_to("real")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "base", "expected"),
    [
        ("/data/a/b", "/data", "a/b"),
        ("/data/a/../b", "/data/", "b"),
        ("/data", "/data", ""),
        ("/data/a", "/", "data/a"),
        ("//data//a", "/", "data/a"),
        ("//data/a", "/data", "a"),
        ("/data/a", "//data", "a"),
    ],
)
def test_a_path_is_relative_to_the_base_directory(path: str, base: str, expected: str) -> None:
    assert paths.relative(path, base) == expected


@pytest.mark.parametrize("path", ["/database/a", "/data/../a", "/"])
def test_a_path_outside_the_base_directory_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is not below baseDir /data"):
        paths.relative(path, "/data")


@pytest.mark.parametrize(("base", "start"), [("home", "real"), ("real", "home")])
def test_a_path_is_below_a_base_directory_that_a_link_leads_to(
    linked: Path, base: str, start: str
) -> None:
    assert paths.relative(f"{linked}/{start}/data/a", f"{linked}/{base}") == "data/a"
    assert paths.relative(f"{linked}/{start}/new/a", f"{linked}/{base}") == "new/a"


def test_a_link_that_is_announced_is_not_resolved(linked: Path) -> None:
    (linked / "real" / "out").symlink_to("/etc")
    assert paths.relative(f"{linked}/real/out", f"{linked}/home") == "out"
    with pytest.raises(UsageError, match="not below"):
        paths.relative(f"{linked}/home/../real/out/passwd", f"{linked}/home")


def test_the_parent_of_a_linked_directory_is_where_the_link_leads(linked: Path) -> None:
    (linked / "real" / "near").symlink_to("data")
    assert paths.relative(f"{linked}/real/near/../a", f"{linked}/real") == "a"
    (linked / "real" / "far").symlink_to("/etc/ssl")
    with pytest.raises(UsageError, match="not below"):
        paths.relative(f"{linked}/real/far/../a", f"{linked}/real")


def test_a_relative_path_in_a_removed_directory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="the working directory is removed"):
        paths.relative("a", str(tmp_path))


def test_only_files_directories_and_links_are_renamed(tmp_path: Path, config: PostConfig) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SarraError, match="neither file, directory nor link"):
        scan.renaming(str(tmp_path / "old"), str(tmp_path / "fifo"), config)


def test_a_file_of_a_year_that_no_message_can_have_is_an_error(
    tmp_path: Path, config: PostConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_text("x")
    status = (tmp_path / "f").stat()

    def announce(name: str, time: int) -> str | None:
        """Announce with this modification or access time, which few file systems keep."""
        times = {"st_atime_ns": status.st_atime_ns, "st_mtime_ns": status.st_mtime_ns, name: time}
        changed = os.stat_result(status, times)
        with monkeypatch.context() as patch:
            patch.setattr(os, "lstat", lambda _: changed)
            [announcement] = scan.announcements(str(tmp_path / "f"), config)
        return announcement.mtime if name == "st_mtime_ns" else announcement.atime

    for year in (10_000, -1, 600_000):
        time = (year - 1970) * 31_556_952 * 10**9
        with pytest.raises(SarraError, match="f: its time is not in the years 1 to 9999"):
            announce("st_mtime_ns", time)
        assert announce("st_atime_ns", time) is None
    assert announce("st_mtime_ns", -50_000_000_000 * 10**9) == "03850725T070640.000000000"
