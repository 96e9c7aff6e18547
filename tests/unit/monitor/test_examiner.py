"""What is unusual is found in the store once an hour is over, and told in a sentence."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite.monitor import anomalies, schema
from sarra_lite.monitor.directories import DirectoryTable, shape
from sarra_lite.monitor.examiner import Examiner
from sarra_lite.monitor.files import HOUR
from sarra_lite.monitor.habits import MOST_DIRECTORIES
from sarra_lite.monitor.records import DAY, Outcome, Record
from sarra_lite.monitor.store import Batch, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_795_834_000_000 // HOUR * HOUR + 600_000  # ten minutes after 2026-11-28 02:00
GROUPS = {"uearnest": "cloudmech"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(time, "time_ns", lambda: NOW * 10**6)
    with closing(Store(tmp_path / "monitor.sqlite", 90, GROUPS)) as opened:
        yield opened


def record(ended: int, number: int, path: bytes = b"obs/f", **changed: Any) -> Record:
    result = Outcome(ended, 2000, 201, "sent", 1, "", "", 0, final=True, arrived=True)
    return Record(
        "uearnest", path, ended - 5000 - number, 10**6, block=False, outcome=result
    )._replace(**changed)


def work(store: Store, hours: range) -> None:
    """Send four or five files in each of so many hours before the last one."""
    last = NOW // HOUR * HOUR - 1000
    store.take(
        Batch(
            [
                record(last - hour * HOUR, number)
                for hour in reversed(hours)
                for number in range(4 + hour % 2)
            ],
            {"q_xlog": 1},
        )
    )


def found(store: Store, **wanted: Any) -> list[tuple[str, str, str]]:
    keys = ("group", "user", "kind")
    events = anomalies.events(store.file, **wanted)
    return sorted(tuple(event[key] for key in keys) for event in events)


def test_an_hour_with_many_files_is_an_anomaly_of_user_and_group(store: Store) -> None:
    work(store, range(1, 40 * 24))
    ended = NOW // HOUR * HOUR - 1000
    many = [record(ended, number, size=100) for number in range(400)]
    store.take(Batch(many, {"q_xlog": 2}))
    assert Examiner(store, GROUPS, 100).examine() == NOW // HOUR - 1
    kinds = {("cloudmech", "", "count"), ("cloudmech", "uearnest", "count")}
    assert kinds <= set(found(store))
    [event] = [one for one in anomalies.events(store.file, "uearnest") if one["kind"] == "count"]
    assert anomalies.sentence(event) == (
        "2026-11-28 01:00 to 02:00 user uearnest had 400 files in an hour; at most 5 were expected."
    )
    assert set(anomalies.now(store.file)) == set(map(tuple, found(store)))
    assert found(store, user="nobody") == []
    assert found(store, day=NOW // DAY - 1) == []
    assert len(found(store, limit=1)) == 1


def test_an_hour_is_judged_once_and_not_before_it_is_over(store: Store) -> None:
    work(store, range(1, 10))
    examiner = Examiner(store, GROUPS, 100)
    assert examiner.examine() == NOW // HOUR - 1
    assert examiner.examine() is None
    assert Examiner(store, GROUPS, 100).examine() == NOW // HOUR - 1
    with closing(schema.connect(store.file)) as database:
        assert anomalies.judged(database) == NOW // HOUR - 1


def test_after_a_start_the_past_is_known_and_not_told_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(store, range(1, 40 * 24))
    Examiner(store, GROUPS, 100).examine()
    assert found(store) == []
    later = NOW + HOUR
    monkeypatch.setattr(time, "time_ns", lambda: later * 10**6)
    ended = later // HOUR * HOUR - 1000
    elsewhere = record(ended, 0, b"elsewhere/f")
    store.take(Batch([elsewhere], {"q_xlog": 3}))
    Examiner(store, GROUPS, 100).examine()
    assert ("cloudmech", "uearnest", "directory") in found(store)
    [event] = anomalies.events(store.file, "uearnest")
    assert "wrote to elsewhere, where nothing was before" in anomalies.sentence(event)


def test_a_file_left_behind_is_found_and_one_with_progress_is_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(store, range(1, 40 * 24))
    stuck = record(0, 0, b"obs/stuck", announced=NOW - 9 * HOUR, outcome=None)
    store.take(Batch([stuck], {"q_xlog": 2}))
    last = NOW // HOUR * HOUR - 1000
    store.take(Batch([record(last, 9)], {"q_xlog": 3}))
    Examiner(store, GROUPS, 100).examine()
    assert ("cloudmech", "uearnest", "stuck") in found(store)
    later = NOW + 2 * DAY
    monkeypatch.setattr(time, "time_ns", lambda: later * 10**6)
    last = later // HOUR * HOUR - 1000
    part = record(later - 60_000, 0).outcome
    assert part is not None
    progress = stuck._replace(block=True, outcome=part._replace(code=206, done=5, final=False))
    store.take(Batch([progress, record(last, 9)], {"q_xlog": 4}))
    Examiner(store, GROUPS, 100).examine()
    assert "stuck" not in {event.kind for event in anomalies.now(store.file)}


def test_what_goes_on_is_one_event_with_its_worst_hour(store: Store) -> None:
    work(store, range(4, 40 * 24))
    last = NOW // HOUR * HOUR - 1000
    for ago, count in ((3, 300), (2, 600), (1, 300)):
        many = [record(last - (ago - 1) * HOUR, number, size=9) for number in range(count)]
        store.take(Batch(many, {"q_xlog": 9}))
    Examiner(store, GROUPS, 100).examine()
    [event] = [one for one in anomalies.events(store.file, "uearnest") if one["kind"] == "count"]
    assert event["value"] == 600
    assert event["last"] - event["first"] >= 2 * 3600


def test_no_more_users_are_judged_than_the_maximum(store: Store) -> None:
    work(store, range(1, 40 * 24))
    last = NOW // HOUR * HOUR - 1000
    store.take(Batch([record(last, number, size=9) for number in range(400)], {"q_xlog": 2}))
    Examiner(store, GROUPS, 0).examine()
    assert found(store) == []


def test_directories_are_noted_without_numbers_up_to_a_depth_and_a_number(store: Store) -> None:
    assert shape(b"obs/2026/11/28") == b"obs/#/#/#"
    assert shape(b"/".join([b"a"] * 9)) == b"a/a/a/a/a/a"
    with store.transaction() as database:
        table = DirectoryTable(database)
        for number in range(MOST_DIRECTORIES + 10):
            table.add("u", b"d/" + f"{number:b}".replace("0", "a").replace("1", "b").encode(), 7)
        (count,) = database.execute("SELECT count(*) FROM directories").fetchone()
    assert count == MOST_DIRECTORIES


def test_a_name_with_anything_in_it_is_safe_to_print() -> None:
    entry = {"group": "", "user": "u\x1b[31m", "kind": "directory", "first": 0, "last": 3600}
    entry |= {"value": 1.0, "expected": 0.0, "about": "\u202e\udcff\n", "score": 9.0}
    assert anomalies.sentence(entry).isprintable()
