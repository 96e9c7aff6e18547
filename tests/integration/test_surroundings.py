"""Clocks, locales, links and mistakes in configurations as they are on real hosts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.lab.disks import small_disk
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.site import Site

ACCENTS = (b"\xc3\xa9t\xc3\xa9 UTF-8", b"\xe9t\xe9 latin-1", b"\xff\xfe none")


@pytest.fixture(scope="session")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a French locale with ISO 8859-1."""
    directory = tmp_path_factory.mktemp("locales")
    subprocess.run(
        ["localedef", "-i", "fr_CA", "-f", "ISO-8859-1", directory / "fr_CA.ISO-8859-1"],
        check=True,
    )
    return {"LOCPATH": str(directory), "LC_ALL": "fr_CA.ISO-8859-1", "LANG": "fr_CA.ISO-8859-1"}


# Clocks.


@pytest.mark.parametrize(
    ("mtime", "arrives_with"),
    [
        (2**32 + 5, 2**32 - 1),  # 2106
        (-40_000_000_000, 0),  # the year 702
    ],
)
def test_a_file_of_any_time_arrives_with_the_nearest_time_that_sftp_has(
    site: Site, mtime: int, arrives_with: int
) -> None:
    names = {"small", "blocks"}
    with small_disk(site.source, 2**22):  # other file systems have fewer times
        for name, size in (("small", 10), ("blocks", 200_000)):
            (site.source / name).write_bytes(b"x" * size)
            os.utime(site.source / name, (mtime, mtime))
        for codes in ([201], [201, 304]):
            site.run("sr_post", "--block-size", "64Ki", site.source)
            site.drain()
            assert site.codes() == dict.fromkeys(names, codes)
    assert {(site.dest / name).stat().st_mtime for name in names} == {arrives_with}
    sent = [report["message"] for report in site.reports() if report["code"] == 201]
    assert all("SFTP has no such modification time" in message for message in sent)


def _announced(site: Site) -> int:
    try:
        return site.queued()
    except ChannelClosedByBroker:  # the queue is not declared yet
        return 0


# Locales.


def test_names_are_the_same_bytes_in_every_locale(site: Site, latin1: dict[str, str]) -> None:
    names = {"latin1": latin1, "C": {"LC_ALL": "C"}, "POSIX": {"LC_ALL": "POSIX"}}
    raw = os.fsencode(site.source)
    for number, (locale, env) in enumerate(names.items()):
        for name in ACCENTS:
            with open(raw + b"/%d %b" % (number, name), "wb") as file:  # noqa: PTH123  bytes
                file.write(locale.encode())
        posted = site.shell(f"sr_post --log-level warning {number}*", site.source, **env)
        assert (posted.returncode, posted.stderr) == (0, b""), locale
        sent = site.shell("sr_sender --drain --log-level warning", site.source, **env)
        assert (sent.returncode, sent.stderr) == (0, b""), locale
        listed = site.shell(f"sr_log --broker {site.broker}", site.source, **env)
        assert listed.returncode == 0, listed.stderr
        assert b"Traceback" not in listed.stderr
        assert listed.stdout.count(b"\n") == (number + 1) * len(ACCENTS)
    arrived = os.listdir(os.fsencode(site.dest))  # noqa: PTH208  bytes
    assert sorted(arrived) == sorted(os.listdir(raw))  # noqa: PTH208


# Paths and signals.


def test_paths_and_base_directory_may_be_reached_by_a_symbolic_link(
    site: Site, tmp_path: Path
) -> None:
    (site.source / "d").mkdir()
    (site.source / "d" / "f").write_text("x")
    (site.source / "d" / "link").symlink_to("/nowhere")
    (tmp_path / "home").symlink_to(site.source)
    site.run("sr_post", tmp_path / "home" / "d" / "f")
    home = ["--base-url", f"file:{tmp_path / 'home'}"]
    site.run("sr_post", *home, site.source / "d" / "link")
    site.drain()
    assert site.codes() == {"d/f": [201], "d/link": [201]}
    assert (site.dest / "d" / "link").readlink().name == "nowhere"


def test_a_wrong_duration_is_told_before_anything_is_announced(site: Site) -> None:
    (site.source / "f").write_text("x")
    done = site.run("sr_post", "--timeout", "5x", site.source / "f", status=2)
    assert "argument --timeout: not a duration like 5m: '5x'" in done.stderr
    assert _announced(site) == 0


def test_a_signal_ends_sr_post_while_it_reads_a_large_file(site: Site) -> None:
    with (site.source / "large").open("wb") as file:
        file.truncate(60 * 2**30)
    with site.running("sr_post", "--block-size", "100Gi", site.source / "large") as post:
        wait_until(lambda: post.cpu_seconds() > 1.0)
        post.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert post.wait(20) != 0
        assert time.monotonic() - begun < 5


# sr_config check.


@pytest.mark.parametrize(
    ("component", "lines", "error"),
    [
        ("post", 'baseUrl = "file:/data#x"\n', "baseUrl: has # or ?"),
        ("post", 'baseUrl = "file:/data?x=1"\n', "baseUrl: has # or ?"),
        ("post", 'baseUrl = "file:~/data"\n', "baseUrl: only shells expand ~"),
        ("post", 'baseUrl = "file:/not/there"\n', "baseUrl: no directory: /not/there"),
        ("post", 'baseDir = "~/data"\n', "baseDir: only shells expand ~"),
        ("post", 'baseDir = "/not/there"\n', "baseDir: no directory: /not/there"),
        ("sender", 'baseDir = "/not/there"\n', "baseDir: no directory: /not/there"),
        ("sender", 'directory = "~/in"\n', "directory: only shells expand ~"),
        ("sender", 'directory = "in/${7}"\n', "directory: ${7}: no rule has so many groups"),
        ("sender", 'rules = [{accept = "a", directory = "${0}"}]\n', "rule 1: directory: ${0}:"),
        ("sender", 'knownHosts = "/not/there"\n', "knownHosts: no such file: /not/there"),
    ],
)
def test_the_check_finds_what_cannot_work(
    site: Site, component: str, lines: str, error: str
) -> None:
    file = site.config / component / "default.toml"
    key = lines.partition(" =")[0]
    kept = [line for line in file.read_text().splitlines() if not line.startswith(key)]
    file.write_text("\n".join([*kept, lines]))
    done = site.run("sr_config", "check", component, status=78)
    assert f"{file}: {error}" in done.stderr or error in done.stderr
    assert len(done.stderr.splitlines()) == 1
