"""sr_sender --tidy removes what nobody completes any more, and nothing else."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from pika import BasicProperties

from sarra_lite import units
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement
from tests.lab.trees import same

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.site import Site

MIB = 2**20
WEEK = 7 * 86400
OLD = WEEK + 3600


def aged(path: Path, seconds: float) -> Path:
    """Set the times of a path, and of all below it, to so many seconds ago."""
    then = time.time() - seconds
    for one in [*path.rglob("*"), path] if path.is_dir() else [path]:
        os.utime(one, (then, then), follow_symlinks=False)
    return path


def left(path: Path, seconds: float = OLD) -> Path:
    """Make a staging file that was written so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    return aged(path, seconds)


def lines(site: Site, *options: str) -> list[str]:
    """Return what --tidy says it removed, relative to the destination."""
    out = site.run("sr_sender", "--tidy", *options).stdout
    return sorted(
        line.removeprefix(f"{site.dest}/").partition(": ")[0] for line in out.splitlines()
    )


def names(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


def send_without_finish(site: Site, name: str) -> None:
    """Leave blocks at the destination whose poster was killed before it announced the finish."""
    file = site.source / name
    file.write_bytes(os.urandom(3 * MIB))
    mtime = units.time_string(file.stat().st_mtime_ns)
    whole = Announcement(v03.now(), f"file:{site.source}", name, size=3 * MIB, mtime=mtime)
    *pieces, _finish = blocks.split(whole, MIB)
    site.run("sr_sender", "--declare")
    properties = BasicProperties(content_type=v03.CONTENT_TYPE, user_id=site.user)
    with site.rabbit.channel(site.user, site.password) as channel:
        for piece in pieces:
            channel.basic_publish(site.exchange, "v03.post", v03.encode(piece), properties)
    site.drain()


def test_what_a_killed_poster_left_is_removed_once_it_is_old(site: Site) -> None:
    send_without_finish(site, "f")
    before = names(site.dest)
    assert len(before) == 5  # with three markers
    assert lines(site) == []
    for path in site.dest.iterdir():
        aged(path, OLD)
    [stem] = lines(site, "--dry-run")
    assert names(site.dest) == before
    assert lines(site) == [stem]
    assert stem.startswith(".f.")
    assert names(site.dest) == set()
    site.run("sr_post", "--block-size", "1Mi", site.source / "f")
    site.drain()
    assert same(site.source, site.dest)


def test_what_is_held_is_left(site: Site) -> None:
    send_without_finish(site, "blocks")
    for path in site.dest.iterdir():
        aged(path, OLD)
    (directory,) = site.dest.glob(".blocks.*.blocks")
    (directory / "1.0.0123abcd.claim").touch()  # a block in progress, of which nothing is written
    left(site.dest / ".slow.0123abcd.inflight", 2 * 86400)  # has waited for room
    left(site.dest / ".future.0123abcd.inflight", -86400)
    before = names(site.dest)
    assert lines(site) == []
    assert lines(site, "--older-than", "1h") == []  # less than a finish waits
    assert names(site.dest) == before
    assert lines(site, "--older-than", "1h", "--retry-ttl", "0") == [".slow.0123abcd"]


def test_what_is_finished_at_this_moment_is_left(site: Site) -> None:
    finishing = left(site.dest / ".f.0123abcd.inflight")
    stale = left(site.dest / ".g.0123abcd.inflight")
    with site.running("sr_sender", "--tidy", "--log-level", "debug") as tidy:
        tidy.wait_for("looking again")
        finishing.rename(site.dest / "f")
        left(finishing, 0)
        assert tidy.wait(20) == 0
    assert finishing.exists()
    assert not stale.exists()


def test_only_what_senders_make_is_removed(site: Site) -> None:
    ours = [
        left(site.dest / "d/e/.x.0123abcd.inflight"),
        left(site.dest / "d/.a\nb.0123abcd.inflight"),
        left(site.dest / "d/.gone.0123abcd.gone.blocks/4.failed"),
        site.dest / "d/.link.0123abcd.inflight",
    ]
    ours[2].write_bytes(b"")
    aged(ours[2].parent, OLD)
    ours[3].symlink_to("nowhere")
    aged(ours[3], OLD)
    for name in (
        ".bashrc",
        "x.0123abcd.inflight",
        ".x.0123abc.inflight",
        ".x.0123ABCD.inflight",
        ".x.0123abcd.inflight.txt",
        ".tmp.inflight",
        "notes.blocks/1",
        ".x.0123abcd.blocks",
        ".y.0123abcd.blocks/1",  # with content
        ".z.0123abcd.blocks/readme",
        ".w.0123abcd.inflight/1",
        ".d.0123abcd.blocks/1/2",
    ):
        left(site.dest / name)
    (site.dest / ".z.0123abcd.blocks/readme").write_bytes(b"")
    for path in site.dest.iterdir():
        if path.name != "d":
            aged(path, OLD)
    before = names(site.dest)
    assert len(lines(site)) == len(ours)
    gone = {str(path.relative_to(site.dest)) for path in (*ours, ours[2].parent)}
    assert before - names(site.dest) == gone


def test_no_link_leads_it_elsewhere(site: Site) -> None:
    outside = left(site.directory / "outside/.f.0123abcd.inflight")
    marker = left(site.directory / "outside/.g.0123abcd.blocks/1")
    marker.write_bytes(b"")
    aged(marker.parent, OLD)
    (site.dest / "link").symlink_to(outside.parent)
    (site.dest / ".g.0123abcd.blocks").symlink_to(marker.parent)
    (site.dest / ".f.0123abcd.inflight").symlink_to(outside)
    aged(site.dest / ".f.0123abcd.inflight", OLD)
    assert lines(site) == [".f.0123abcd"]
    assert outside.exists()
    assert marker.exists()
    assert (site.dest / ".g.0123abcd.blocks").is_symlink()


@pytest.mark.bound_by_modes
def test_what_cannot_be_removed_is_named_and_the_status_says_so(site: Site) -> None:
    old = left(site.dest / "d/.f.0123abcd.inflight")
    old.parent.chmod(0o500)
    private = site.dest / "private"
    private.mkdir(mode=0)
    try:
        said = site.run("sr_sender", "--tidy", status=1).stderr
    finally:
        old.parent.chmod(0o700)
        private.chmod(0o700)
    assert ".f.0123abcd: old, but could not be removed" in said
    assert "private: not searched: permission denied" in said


def test_it_says_in_one_line_that_the_host_is_away(site: Site) -> None:
    site.sshd.stop()
    try:
        said = site.run("sr_sender", "--tidy", status=69).stderr
    finally:
        site.sshd.start()
    assert len(said.splitlines()) == 1


def test_a_directory_that_is_not_there_yet_has_nothing(site: Site) -> None:
    assert lines(site, "--directory", f"{site.dest}/new") == []


def test_nothing_is_removed_while_announcements_wait(site: Site) -> None:
    """What waits may be the other blocks of a file that is half there."""
    send_without_finish(site, "f")
    aged(site.dest, OLD)
    before = names(site.dest)
    (site.source / "g").touch()
    site.run("sr_post", site.source / "g")
    done = site.run("sr_sender", "--tidy", status=75)
    assert "1 announcements wait" in done.stderr
    assert names(site.dest) == before
