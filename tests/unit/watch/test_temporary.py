"""Which names count as temporary."""

from __future__ import annotations

import pytest

from sarra_lite.watch.temporary import is_temporary


@pytest.mark.parametrize(
    "name",
    [
        ".data.nc.Xa3b9Q",
        "film.mkv.part",
        "image.iso.crdownload",
        "a.nc.filepart",
        "report.tmp",
        ".f.mtime-size.inflight",
        ".goutputstream-AB12CD",
        "notes.txt~",
        "#notes.txt#",
        ".#notes.txt",
        ".notes.txt.swp",
        "4913",
        "~$letter.docx",
        ".~lock.letter.odt#",
        ".~tmp~/data.nc",
        "a\nb.part",
    ],
)
def test_a_name_that_a_program_writes_to_before_it_renames_is_temporary(name: str) -> None:
    assert is_temporary(f"/data/{name}", is_dir=False, size=0)


@pytest.mark.parametrize(
    "name",
    [
        "data.nc",
        ".bashrc",
        ".bashrc.backup",
        ".a.sqlite",
        "part",
        "data.nc.abc123",
        "a~b",
        "a#1.nc",
        "4913",  # with content it is not vim's
    ],
)
def test_other_names_are_not_temporary(name: str) -> None:
    assert not is_temporary(f"/data/{name}", is_dir=False, size=1)


def test_a_directory_of_such_a_name_is_watched() -> None:
    assert not is_temporary("/data/results.part", is_dir=True, size=0)
    assert is_temporary("/data/.~tmp~", is_dir=True, size=0)
