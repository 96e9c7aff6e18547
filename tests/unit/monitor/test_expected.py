"""Expected files: when they are due in any time zone, and what became of them in the store."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.config.expected import DAYS, EVERY, Expected, read
from sarra_lite.errors import ConfigError
from sarra_lite.monitor.due import current, deadline, due, today
from sarra_lite.monitor.expected import Evaluator
from sarra_lite.monitor.records import Outcome, Record
from sarra_lite.monitor.store import Batch, Store

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400_000
NOW = 1_795_834_000_000  # 2026-11-28 02:06:40 UTC, a Saturday


def obs(**changed: Any) -> Expected:
    plain: dict[str, Any] = {"user": "uearnest", "match": "obs/*.nc", "by": "06:00", "least": 4}
    return Expected(**plain | changed)


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


def test_a_time_that_is_never_or_twice_means_the_later_moment() -> None:
    toronto = obs(timezone="America/Toronto", by="02:30")
    assert deadline(toronto, date(2026, 3, 8)) == at("2026-03-08T07:30")  # 03:30 by the new time
    twice = obs(timezone="America/Toronto", by="01:30")
    assert deadline(twice, date(2026, 11, 1)) == at("2026-11-01T06:30")


def test_a_day_of_23_or_25_hours_is_due_at_the_same_time_of_day() -> None:
    for day, hours in ((date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 7, 1), 24)):
        found = due(obs(timezone="America/Toronto"), day)
        assert found is not None
        assert found.end - found.begin == hours * 3_600_000
        assert found.warn - found.begin == hours * 3_600_000 * 3 // 4


zones = st.sampled_from(sorted(available_timezones() - {"Factory", "localtime"}))
days = st.dates(date(2013, 1, 1), date(2060, 1, 1))
times = st.times().map("{:%H:%M}".format)


@given(zone=zones, day=days, by=times)
def test_days_follow_each_other_without_gap_or_overlap(zone: str, day: date, by: str) -> None:
    expected = obs(timezone=zone, by=by)
    first, second = due(expected, day), due(expected, day + timedelta(days=1))
    assert first is not None
    assert second is not None
    assert first.begin < first.warn < first.end == second.begin
    assert 20 * 3_600_000 <= first.end - first.begin <= 28 * 3_600_000


@given(zone=zones, day=days, by=times)
def test_a_deadline_is_the_time_of_day_or_the_end_of_what_the_clock_leaves_out(
    zone: str, day: date, by: str
) -> None:
    end = datetime.fromtimestamp(deadline(obs(timezone=zone, by=by), day) / 1000, ZoneInfo(zone))
    shown = f"{end:%H:%M}"
    if shown != by:  # the clock is put forward over it
        before = (end.astimezone(UTC) - timedelta(hours=3)).astimezone(ZoneInfo(zone))
        assert end.utcoffset() != before.utcoffset()
        assert end.replace(tzinfo=None) > datetime.combine(day, datetime.min.time())


@given(
    zone=zones,
    by=times,
    every=st.one_of(st.sampled_from([*EVERY, *DAYS]), st.lists(st.sampled_from(DAYS), min_size=1)),
    now=st.integers(at("2013-01-09T00:00"), at("2060-01-01T00:00")),
)
def test_what_is_current_has_begun_and_the_last_is_over(
    zone: str, by: str, every: str | list[str], now: int
) -> None:
    expected = obs(timezone=zone, by=by, every=every)
    found = list(current(expected, now))
    assert found
    for one in found:
        assert one.begin <= now
        assert one.day.weekday() in expected.weekdays
    assert [one.end <= now for one in found] in ([True], [True, False], [False])
    if every == "day":
        assert [one.end <= now for one in found] == [True, False]
        assert abs((found[1].day - today(expected, now)).days) <= 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.sqlite"


def arrived(file: Path, *paths: str, at: int, user: str = "uearnest", code: int = 201) -> None:
    with closing(Store(file, 3650, {"uearnest": "cloudmech"})) as store:
        store.take(
            Batch(
                [
                    Record(
                        user, path.encode(), at - 1000, 5, block=False,
                        outcome=Outcome(
                            at, 5, code, "", 1, "", "", 0, final=True, arrived=code == 201
                        ),
                    )
                    for path in paths
                ],
                {"q_xlog": 1},
            )
        )  # fmt: skip


def states(file: Path, now: int, expected: Expected | None = None) -> list[tuple[str, int]]:
    evaluator = Evaluator(file, {"uearnest": "cloudmech"})
    return [(one.state, one.files) for one in evaluator.now([expected or obs()], now)]


NAMES = [f"obs/{number}.nc" for number in range(4)]


@pytest.fixture
def known(file: Path) -> Path:
    """A store whose history begins a month ago."""
    arrived(file, "other", at=NOW - 30 * DAY)
    return file


def test_what_came_in_time_is_kept_and_what_did_not_is_missed(known: Path) -> None:
    arrived(known, *NAMES, at=at("2026-11-26T06:00"))
    arrived(known, *NAMES[:3], at=at("2026-11-27T05:00"))
    arrived(known, NAMES[3], at=at("2026-11-27T06:00:01"))
    evaluator = Evaluator(known, {})
    days = [date(2026, 11, 26), date(2026, 11, 27), date(2026, 11, 28), date(2026, 11, 29)]
    found = evaluator.days([obs()], days, at("2026-11-28T05:59"))
    assert [(one.state, one.files) for one in found] == [
        ("kept", 4),
        ("missed", 3),
        ("warning", 1),
    ]


def test_half_missing_at_three_quarters_of_the_time_is_a_warning(known: Path) -> None:
    arrived(known, *NAMES[:2], at=at("2026-11-28T01:00"), code=201)
    assert states(known, at("2026-11-27T23:59"))[1] == ("open", 2)
    assert states(known, at("2026-11-28T00:00"))[1] == ("warning", 2)
    arrived(known, NAMES[2], at=at("2026-11-28T01:00"))
    assert states(known, at("2026-11-28T02:00"))[1] == ("open", 3)
    arrived(known, NAMES[3], at=at("2026-11-28T01:00"))
    assert states(known, at("2026-11-28T02:00"))[1] == ("kept", 4)


def test_only_files_that_arrived_and_match_count_and_each_once(known: Path) -> None:
    for code, name in ((499, "obs/0.nc"), (201, "obs/1.txt"), (201, "1.nc"), (201, "obs/1.nc")):
        arrived(known, name, at=NOW - 5000, code=code)
    arrived(known, "obs/1.nc", at=NOW - 3000)
    arrived(known, "obs/2.nc", at=NOW - 3000, user="uother")
    assert states(known, NOW)[1] == ("warning", 1)
    assert states(known, NOW, obs(match="obs/[!2-9].nc", least=1))[1] == ("kept", 1)
    assert states(known, NOW, obs(match="*.nc", least=2))[1] == ("kept", 2)


def test_the_members_of_a_group_send_together(known: Path) -> None:
    arrived(known, *NAMES, at=NOW - 3000)
    assert states(known, NOW, obs(user="", group="cloudmech"))[1] == ("kept", 4)
    assert states(known, NOW, obs(user="", group="nobody"))[1] == ("warning", 0)


def test_before_the_history_begins_nothing_is_known(file: Path) -> None:
    arrived(file, "other", at=NOW - DAY // 2)
    assert states(file, NOW) == [("unknown", 0), ("unknown", 0)]
    Store(file.with_name("empty"), 90, {}).close()
    assert states(file.with_name("empty"), NOW) == [("unknown", 0), ("unknown", 0)]


def test_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "expected.toml"
    file.write_text(
        '[[expect]]\nuser = "u"\nmatch = "obs/*.nc"\nby = "06:00"\n'
        'timezone = "America/Toronto"\nevery = ["weekday", "sunday"]\nleast = 24\n'
    )
    [found] = read(file)
    assert (found.title, found.owner, found.least) == ("obs/*.nc", "user u", 24)
    assert found.weekdays == {0, 1, 2, 3, 4, 6}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('by = "6:00"', "expect 1: by: not a time of day like 06:00: '6:00'"),
        ('timezone = "Mars"', "expect 1: timezone: not a time zone like America/Toronto: 'Mars'"),
        ('timezone = "../etc"', "expect 1: timezone: not a time zone"),
        ('timezone = "America"', "expect 1: timezone: not a time zone"),
        ('every = "never"', "expect 1: every: not one of day, weekday"),
        ("every = []", "expect 1: every: is an empty list"),
        ("every = 3", "expect 1: every: expected"),
        ("least = 0", "expect 1: least: not from 1 to"),
        ('least = "many"', "expect 1: least: expected a whole number"),
        ('match = ""', "expect 1: match: is missing"),
        ('group = "g"', "expect 1: user: either user or group"),
        ("lest = 3", "expect 1: lest: unknown key; did you mean least?"),
        ("[expected]", "expected: unknown key"),
        ("x", "Expected '='"),
        ('[[expect]]\nuser = "u"\nmatch = "m"\nby = "06:00"', "two of the same owner are called"),
    ],
)
def test_each_mistake_is_one_line_with_file_and_key(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "expected.toml"
    plain = {"user": '"u"', "match": '"m"', "by": '"06:00"'}
    plain.pop(text.partition(" ")[0], None)
    lines = [f"{key} = {value}" for key, value in plain.items()]
    file.write_text("\n".join(["[[expect]]", *lines, text]) + "\n")
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{file}: ")
    assert wrong in str(caught.value)
