"""A destination without room for a large file says so before the file is sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.lab.disks import grow, small_disk

if TYPE_CHECKING:
    from tests.lab.site import Site

MIB = 1024 * 1024


def test_a_large_file_that_does_not_fit_is_not_sent(site: Site) -> None:
    (site.source / "f").write_bytes(os.urandom(20 * MIB))
    with small_disk(site.dest, 18 * MIB):
        (site.dest / "old").write_bytes(bytes(3 * MIB))
        site.run("sr_post", "--block-size", "1", site.source / "f")
        done = site.drain("--block-size", "1", status=75)
        assert [path.name for path in site.dest.iterdir()] == ["old"]
    (report,) = (r for r in site.reports() if r["code"] == 507)
    text = f"no space left: 20.0 MiB needed, 15.0 MiB of 18.0 MiB left, file system of {site.dest}"
    assert text in report["message"]
    assert text in done.stderr


def test_no_block_of_a_file_that_does_not_fit_is_sent_until_there_is_room(site: Site) -> None:
    (site.source / "f").write_bytes(os.urandom(20 * MIB))
    with small_disk(site.dest, 18 * MIB):
        site.run("sr_post", "--block-size", "5M", site.source / "f")
        site.drain(status=75)
        assert [path for path in site.dest.rglob("*") if path.is_file()] == []
        grow(site.dest, 40 * MIB)
        site.drain()
        assert (site.dest / "f").read_bytes() == (site.source / "f").read_bytes()


def test_holes_need_no_room(site: Site) -> None:
    with (site.source / "f").open("wb") as file:
        file.write(os.urandom(MIB))
        file.truncate(100 * MIB)
    with small_disk(site.dest, 18 * MIB):
        site.run("sr_post", "--block-size", "1", site.source / "f")
        site.drain("--block-size", "1")
        assert (site.dest / "f").stat().st_size == 100 * MIB
