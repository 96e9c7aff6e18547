"""Every command with the standard streams, locales and directories that it may be started with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.lab.site import Site

# What is written, so that standard output or input is used, or else only that nothing is broken.
COMMANDS: Final = {
    "sr_post": "sr_post --dry-run source/a",
    "sr_post, of stdin": "sr_post --dry-run -",
    "sr_sender": "sr_sender --help",
    "sr_src2log": "sr_src2log --print-completion bash",
    "sr_log": "sr_log --json",
    "sr_config": "sr_config example post",
}
# Names of é in ISO 8859-1 and in UTF-8.
NAMES: Final = (b"\xe9t\xe9", "été".encode(), b"\xff")
LOCALES: Final = (
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX"},
    {"LC_ALL": "C.UTF-8"},
    # In these, Python takes names for ASCII, as it takes them for ISO 8859-1 in fr_CA.
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
)


@pytest.fixture
def posted(site: Site) -> Site:
    """A site with a report, so that sr_log has something to show."""
    (site.source / "a").write_text("x")
    site.run("sr_post", site.source / "a")
    site.drain()
    return site


@pytest.mark.parametrize("fault", [">&-", ">/dev/full", "<&-", "<&- >&-", "2>&-", "2>/dev/full"])
def test_a_standard_stream_that_cannot_be_used_is_an_error_in_one_line(
    posted: Site, fault: str
) -> None:
    for name, line in COMMANDS.items():
        done = posted.shell(f"{line} {fault}")
        fails = ">&-" in fault.split() or ">/dev/full" in fault.split()
        fails |= "<&-" in fault and name == "sr_post, of stdin"
        told = done.stderr.decode()
        assert done.returncode == (1 if fails else 0), (line, told)
        assert "Traceback" not in told
        assert "Exception ignored" not in told
        errors = [line for line in told.splitlines() if "error: " in line]
        assert len(errors) == fails, told
        assert all("error: standard " in error for error in errors)


def test_a_reader_that_ends_first_is_no_error(posted: Site) -> None:
    for line in COMMANDS.values():
        done = posted.shell(f"{line} | true")
        assert done.returncode == 0
        assert b"error" not in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_removed_working_directory_matters_to_relative_paths_only(posted: Site) -> None:
    for arguments, status in ((f"{posted.source}/a", 0), ("a", 2)):
        done = posted.shell(f"mkdir w && cd w && rmdir ../w && sr_post {arguments}")
        assert done.returncode == status, done.stderr
        assert b"Traceback" not in done.stderr
    assert b"the working directory is removed" in done.stderr


@pytest.mark.parametrize("environment", LOCALES, ids=lambda e: " ".join(e.values()))
def test_names_are_the_same_bytes_in_every_locale(site: Site, environment: dict[str, str]) -> None:
    source = os.fsencode(site.source)
    for name in NAMES:
        Path(os.fsdecode(source + b"/" + name)).write_bytes(name)
    site.env |= environment
    site.run("sr_post", *sorted(site.source.iterdir()))
    site.drain()
    assert {entry.name for entry in os.scandir(os.fsencode(site.dest))} == set(NAMES)
    done = site.shell("sr_log")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == len(NAMES)


@pytest.mark.parametrize("flags", ["''", "--remove ''", "--watch ''", "--renamed-from '' x"])
def test_an_empty_path_is_an_error(site: Site, flags: str) -> None:
    done = site.shell(f"sr_post {flags}")
    assert done.returncode == 2
    assert b"a PATH is empty" in done.stderr
