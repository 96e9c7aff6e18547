"""Names on a command line, of files as sr_post takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sarra_lite.commands.names import Name
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A home directory that is the current one; its base directory is ``data`` in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize("base", ["", "/data"])
@pytest.mark.parametrize(
    "name",
    [
        *("run[1].nc", "data/sub/run[1].nc", "./data/sub/run[1].nc", "~/data/sub/run[1].nc"),
        *("data//sub/../sub/run[1].nc", "run*", "*.nc", "data/sub/run*.nc", "~/data/s*/run*"),
        *("data", "data/", "./data/sub", "~/data", "~", ".", "{home}/data/sub/run[1].nc"),
    ],
)
def test_a_name_is_found_as_sr_post_takes_it(home: str, base: str, name: str) -> None:
    path = f"{home}/data/sub/run[1].nc".removeprefix(home + base).lstrip("/")
    announcement = Announcement("20261127T000000", f"file:{home}{base}", path)
    sought = Name(name.format(home=home))
    assert sought.matches(announcement)
    assert sought.may_be_in(v03.encode(announcement))


@pytest.mark.parametrize(
    "name", ["run.nc", "other/sub/run[1].nc", "dat", "~/data/run[1].nc", "sub/run[1].nc/x"]
)
def test_another_name_is_not_found(home: str, name: str) -> None:
    announcement = Announcement("20261127T000000", f"file:{home}/data", "sub/run[1].nc")
    assert not Name(name).matches(announcement)


def test_a_name_with_any_bytes_is_found(home: str) -> None:
    announcement = Announcement("20261127T000000", f"file:{home}", "d\udce9/\u00e9 1\udcff.nc")
    for name in ("\u00e9 1\udcff.nc", "./d\udce9/\u00e9 1\udcff.nc", "d\udce9"):
        assert Name(name).matches(announcement)
        assert Name(name).may_be_in(v03.encode(announcement))
