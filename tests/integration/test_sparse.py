"""Holes of sparse files are holes at the destination, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.site import Site

MB = 1_000_000
SIZE = 40 * MB + 1
DATA = {  # offsets of what is no hole
    "between": [0, 20 * MB + 5, SIZE - 10],
    "at_begin_and_end": [13 * MB],
    "at_the_end": [0],
    "everywhere": [],
    "nowhere": list(range(0, SIZE, 2048)),
}


def write(path: Path, offsets: list[int]) -> None:
    """Write a file of SIZE bytes with data at some offsets and holes between them."""
    with path.open("wb") as file:
        for offset in offsets:
            file.seek(offset)
            file.write(b"data" * 2)
        file.truncate(SIZE)


@pytest.mark.parametrize("how", [[], ["--block-size", "3M"]], ids=["whole", "blocks"])
def test_holes_stay_holes_and_the_content_is_the_same(site: Site, how: list[str]) -> None:
    for name, offsets in DATA.items():
        write(site.source / name, offsets)
    if (site.source / "everywhere").stat().st_blocks > 8:
        pytest.skip("this file system has no holes")
    site.run("sr_post", "--block-size", "1", *how, site.source)
    site.drain("--block-size", "1", *how)
    assert set(map(tuple, site.codes().values())) == {(201,)}
    for name, offsets in DATA.items():
        source, dest = site.source / name, site.dest / name
        assert source.read_bytes() == dest.read_bytes(), name
        allowed = len(offsets) * 128 * 1024
        found, there = source.stat(), dest.stat()
        assert there.st_blocks * 512 <= found.st_blocks * 512 + allowed, name


def test_only_the_data_of_a_sparse_file_is_transferred(site: Site) -> None:
    """At 2 MB a second, 2 GB of zeros would take a quarter of an hour."""
    with (site.source / "f").open("wb") as file:
        file.write(os.urandom(MB))
        os.truncate(file.fileno(), 2000 * MB)
    site.run("sr_post", "--identity", "none", "--block-size", "1", site.source / "f")
    site.drain("--block-size", "1", "--limit", "2M", timeout=30)
    assert (site.dest / "f").stat().st_size == 2000 * MB
    assert (site.dest / "f").stat().st_blocks * 512 < 2 * MB
