"""What sr_log shows: names as sr_post takes them, what has failed and is not repaired."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite.commands.log_selection import Selection
from sarra_lite.commands.names import Name
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Blocks, Report

if TYPE_CHECKING:
    from pathlib import Path


def reported(
    path: str, code: int = 201, *, second: int = 0, block: int | None = None, **more: Any
) -> tuple[Announcement, Report]:
    """Return an announcement and a report on it; ``second`` tells when it was made."""
    report = Report(code=code, message="", time_completed=f"20261127T0000{second:02}", **more)
    blocks = None if block is None else Blocks(10, 3, number=block)
    made = Announcement("20261127T000000", "file:/home/ea/da%20ta", path, blocks=blocks)
    return made, report


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


def selection(*names: str, **flags: bool) -> Selection:
    defaults = dict.fromkeys(("failed", "unfinished", "follow", "blocks"), False)
    args = argparse.Namespace(names=list(names), user=None, **(defaults | flags))
    return Selection(args, "20261127T000000")


def remaining(sought: Selection, *reports: tuple[Announcement, Report]) -> list[str]:
    shown_at_once = [sought.take(*one) for one in reports]
    assert not any(shown_at_once)
    return [f"{one.rel_path} {report.code}" for one, report in sought.remaining()]


def test_failed_lists_what_has_not_arrived_since() -> None:
    reports = [
        reported("repaired", 507, second=1, will_retry=5.0),
        reported("lost", 403, second=2),
        reported("lost", 410, second=3),
        reported("repaired", 201, second=4),
        reported("worse", 201, second=5),
        reported("worse", 500, second=6),
    ]
    assert remaining(selection(failed=True), *reports) == ["lost 403", "lost 410", "worse 500"]


def test_failed_forgets_a_block_when_it_or_the_whole_file_has_arrived() -> None:
    failed = [reported("f", 500, second=1, block=block) for block in (0, 1)]
    one, all_of_it = reported("f", second=2, block=0), reported("f", second=3)
    assert remaining(selection(failed=True), *failed, one) == ["f 500"]
    assert remaining(selection(failed=True), *failed, all_of_it) == []


def test_failed_shows_failures_as_they_come_when_it_follows() -> None:
    sought = selection(failed=True, follow=True)
    assert [sought.take(*reported("f", code)) for code in (500, 201)] == [True, False]


def test_unfinished_lists_the_last_report_on_what_has_no_final_one() -> None:
    reports = [
        reported("full", 507, second=1, will_retry=5.0),
        reported("full", 507, second=2, will_retry=10.0),
        reported("blocks", second=3, block=0),
        reported("blocks", second=4, block=1),
        reported("whole", second=5, block=0),
        reported("whole", second=6),
        reported("failed", 410, second=7),
    ]
    assert remaining(selection(unfinished=True), *reports) == ["full 507", "blocks 201"]


def test_names_without_a_report_are_known() -> None:
    sought = selection("f", "g", failed=True)
    sought.take(*reported("f"))
    assert [name.text for name in sought.unreported] == ["g"]
