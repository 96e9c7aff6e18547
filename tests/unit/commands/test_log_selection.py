"""What sr_log shows: what has failed and is not repaired."""

from __future__ import annotations

import argparse
from typing import Any

from sarra_lite.commands.log_selection import Selection
from sarra_lite.messages.v03 import Announcement, Blocks, Report


def reported(
    path: str, code: int = 201, *, second: int = 0, block: int | None = None, **more: Any
) -> tuple[Announcement, Report]:
    """Return an announcement and a report on it; ``second`` tells when it was made."""
    report = Report(code=code, message="", time_completed=f"20261127T0000{second:02}", **more)
    blocks = None if block is None else Blocks(10, 3, number=block)
    made = Announcement("20261127T000000", "file:/home/ea/da%20ta", path, blocks=blocks)
    return made, report


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


def test_what_is_under_way_is_shown_with_blocks_only_and_is_no_failure() -> None:
    on_the_way = reported("f", 102, bytes=10)
    assert not selection().take(*on_the_way)
    assert selection(blocks=True).take(*on_the_way)
    assert not selection(blocks=True, failed=True, follow=True).take(*on_the_way)
    assert remaining(selection(failed=True), on_the_way) == []
    assert remaining(selection(unfinished=True), on_the_way) == ["f 102"]
    assert remaining(selection(unfinished=True), on_the_way, reported("f", second=1)) == []
