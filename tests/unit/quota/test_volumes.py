"""What counts as sent, when a group has reached its volume, and what is kept."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sarra_lite.config import schema
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.errors import ConfigError
from sarra_lite.messages.structs import Announcement, Blocks, Report
from sarra_lite.messages.usage import Disk, Used
from sarra_lite.quota.store import FRESH, Store, read
from sarra_lite.quota.volumes import MOST, Volumes, content_of, line

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
BASE = {
    "broker": "amqp://uquota@localhost/",
    "rate": {"cloudmech": "1 Mbit/s"},
    "member": {"uann": "cloudmech", "ubob": "cloudmech"},
}


def config(**values: Any) -> QuotaConfig:
    return schema.build(QuotaConfig, BASE | values, "quota.toml")


def reported(code: int = 201, blocks: Blocks | None = None, **values: Any) -> Announcement:
    report = Report(code, "", values.pop("when", "20261127T110000"), bytes=100, **values)
    return Announcement("20261127T100000", "", "f", source="uann", blocks=blocks, report=report)


BLOCK = Blocks(100, 3, number=1)
FINISH = Blocks(100, 3, finish=True)


@pytest.mark.parametrize(
    ("message", "counted"),
    [
        (reported(), ("2026-11-27", "uann", 100)),
        (reported(206, BLOCK), ("2026-11-27", "uann", 100)),
        (reported(201, FINISH), None),
        (reported(304), None),
        (reported(507, will_retry=5.0), None),
        (reported(rejected="not proven"), None),
        (reported(when="20261103T000000"), ("2026-11-03", "uann", 100)),
        (reported(when="20991231T000000"), ("2026-11-27", "uann", 100)),
    ],
)
def test_content_counts_once_whatever_is_reported(
    message: Announcement, counted: tuple[str, str, int] | None
) -> None:
    assert content_of(message, NOW) == counted


def test_a_group_gets_nothing_at_its_daily_limit_until_the_next_day() -> None:
    volumes = Volumes(config(dailyVolume={"cloudmech": "1000"}), {})
    volumes.add("2026-11-26", "uann", 5000)
    volumes.add("2026-11-27", "uann", 790)
    assert volumes.refusal("cloudmech", NOW) is None
    volumes.add("2026-11-27", "ubob", 10)
    assert volumes.refusal("cloudmech", NOW) is None
    volumes.add("2026-11-27", "ubob", 200)
    for _ in range(2):
        refusal = volumes.refusal("cloudmech", NOW)
    assert refusal is not None
    assert refusal.reason == ("volume quota of group cloudmech reached until 2026-11-28 00:00 UTC")
    assert (refusal.bytes, refusal.until) == (0, "20261128T000000")
    assert volumes.refusal("cloudmech", datetime(2026, 11, 28, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("now", "end"), [((2026, 11, 30), "20261201T000000"), ((2026, 12, 31), "20270101T000000")]
)
def test_a_month_ends_with_its_last_day(now: tuple[int, int, int], end: str) -> None:
    moment = datetime(*now, tzinfo=UTC)
    limits = config(dailyVolume={"cloudmech": "1"}, monthlyVolume={"cloudmech": "1k"})
    volumes = Volumes(limits, {(f"{moment:%Y-%m}-01", "uann"): 1000})
    refusal = volumes.refusal("cloudmech", moment)
    assert refusal is not None
    assert refusal.until == end


def test_the_table_has_groups_and_users_and_lines_show_shares() -> None:
    volumes = Volumes(config(monthlyVolume={"cloudmech": "1000"}), {("2026-11-02", "uann"): 250})
    table = volumes.table(NOW)
    assert table[0] == Used("group", "cloudmech", 0, None, 250, 1000)
    assert [entry.name for entry in table[1:]] == ["uann", "ubob"]
    assert "250 B of 1000 B (25 %)" in line(table[0])


def test_the_table_has_disk_space_also_of_those_who_have_sent_nothing() -> None:
    disks = {("user", "uann"): Disk(96, 100), ("user", "udan"): Disk(0, 5)}
    rows = {used.name: used for used in Volumes(config(), {}).table(NOW, disks)}
    assert rows["uann"] == Used("user", "uann", 0, None, 0, None, 96, 100)
    assert rows["udan"].diskLimit == 5
    assert rows["ubob"].disk is None
    assert line(rows["uann"]).endswith("96 B of 100 B (96 %)")


def test_counts_and_offset_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "quota.sqlite"
    for offset in (3, 7):
        store = Store(file)
        store.add({("2026-11-27", "uann"): 5, ("2026-10-31", "uann"): 1}, "q_xlog", offset)
    store = Store(file)
    assert store.offset("q_xlog") == 7
    assert store.offset("other") is None
    assert store.kept("2026-11") == ({("2026-11-27", "uann"): 10}, None)


def test_disk_space_is_kept_in_place_of_what_was_told_before_and_not_for_long(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "quota.sqlite")
    now = time.time()
    store.keep_disks({("user", "uann"): Disk(1, 2), ("group", "gone"): Disk(1, 2)}, now)
    store.keep_disks({("user", "uann"): Disk(2, 2)}, now)
    assert read(tmp_path / "quota.sqlite", "2026-11").disks == {("user", "uann"): Disk(2, 2)}
    store.keep_disks({("user", "uann"): Disk(2, 2)}, now - FRESH - 1)
    assert store.kept("2026-11").disks is None


def test_whatever_sizes_users_report_the_sums_can_be_kept(tmp_path: Path) -> None:
    """One user's lies must not end the program that gives grants to all."""
    store, volumes = Store(tmp_path / "quota.sqlite"), Volumes(config(), {})
    for offset in range(3):
        volumes.add("2026-11-27", "uann", 2**63 - 1)
        store.add({("2026-11-27", "uann"): 2 * (2**63 - 1)}, "q_xlog", offset)
    assert store.kept("2026-11").counts == {("2026-11-27", "uann"): MOST}
    assert msgspec.json.encode(volumes.table(NOW))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "quota.sqlite"
    file.write_text("x" * 1000)
    with pytest.raises(ConfigError, match=f"{file}: cannot keep volumes"):
        Store(file)


def test_a_limit_of_a_group_without_members_is_refused() -> None:
    with pytest.raises(ConfigError, match="dailyVolume: other has no member"):
        config(dailyVolume={"other": "1T"})
