"""The store of sr_monitor: each message counts once, whatever happens in between."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite.errors import ConfigError
from sarra_lite.monitor import history, overview, schema, steps
from sarra_lite.monitor.files import RETRYING, RUNNING, WAITING, FileTables
from sarra_lite.monitor.history import Wanted, files
from sarra_lite.monitor.records import DAY, Outcome, Record
from sarra_lite.monitor.schema import StoreFull
from sarra_lite.monitor.store import Batch, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = time.time_ns() // 10**6
BEGUN = NOW - 4000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "monitor.sqlite", 90, {"uearnest": "cloudmech"})) as opened:
        yield opened


def outcome(code: int = 201, **changed: Any) -> Outcome:
    arrived = code < 300 or code == 304
    plain = Outcome(NOW, 2000, code, "said", 1, "default/1", "ec1", 0, final=True, arrived=arrived)
    return plain._replace(**changed)


def record(path: bytes = b"data/f", result: Outcome | None = None, **changed: Any) -> Record:
    return Record("uearnest", path, BEGUN, 10, block=False, outcome=result)._replace(**changed)


def take(store: Store, *records: Record, offset: int = 0) -> list[Record]:
    return store.take(Batch(list(records), {"q_xlog": offset}))


def states(store: Store) -> dict[int, int]:
    with closing(schema.connect(store.file)) as database:
        return {entry.state: entry.files for entry in history.unreported(database)}


def hours(store: Store) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store.file)) as database:
        query = "SELECT user, grp, code, files, bytes FROM hours WHERE files <> 0 ORDER BY code"
        return list(database.execute(query))


def test_a_file_that_was_sent_is_one_row_with_all_that_is_known_of_it(store: Store) -> None:
    assert len(take(store, record(), record(result=outcome()))) == 1
    [found] = files(store.file, Wanted())
    assert found == {
        "user": "uearnest",
        "group": "cloudmech",
        "path": "data/f",
        "size": 10,
        "announced": BEGUN / 1000,
        "begun": (NOW - 2000) / 1000,
        "ended": NOW / 1000,
        "seconds": 2.0,
        "rate": 5.0,
        "code": 201,
        "text": "said",
        "attempts": 1,
        "sender": "default/1",
        "host": "ec1",
        "limitedBy": None,
        "why": None,
        "connections": None,
    }
    assert hours(store) == [("uearnest", "cloudmech", 201, 1, 10)]
    assert states(store) == {}


def test_a_final_report_that_comes_twice_counts_once(store: Store) -> None:
    assert len(take(store, record(result=outcome()), record(result=outcome()))) == 1
    assert take(store, record(result=outcome(304, ended=NOW + 1))) == []
    assert [entry["code"] for entry in files(store.file, Wanted())] == [201]
    assert hours(store) == [("uearnest", "cloudmech", 201, 1, 10)]


def test_an_announcement_that_comes_after_the_report_waits_for_nothing(store: Store) -> None:
    take(store, record(result=outcome()))
    take(store, record(), record(block=True, result=outcome(206)))
    assert states(store) == {}


def test_a_file_that_failed_and_then_arrived_has_arrived(store: Store) -> None:
    take(store, record(result=outcome(499)))
    assert len(take(store, record(result=outcome(201)))) == 1
    assert [entry["code"] for entry in files(store.file, Wanted())] == [201]
    assert hours(store) == [("uearnest", "cloudmech", 201, 1, 10)]


def test_a_correction_counts_for_the_group_that_the_user_had(tmp_path: Path) -> None:
    file = tmp_path / "monitor.sqlite"
    with closing(Store(file, 90, {"uearnest": "old"})) as store:
        take(store, record(result=outcome(499)))
    with closing(Store(file, 90, {"uearnest": "new"})) as store:
        take(store, record(result=outcome(201)))
        assert hours(store) == [("uearnest", "old", 201, 1, 10)]


def test_the_same_path_announced_again_is_another_row(store: Store) -> None:
    later = record(result=outcome(), announced=BEGUN + 1)
    assert len(take(store, record(result=outcome()), later)) == 2
    assert len(files(store.file, Wanted(path="data/f"))) == 2


def test_blocks_are_progress_and_no_rows(store: Store) -> None:
    block = outcome(206, done=6, ended=NOW - 1000, took=500)
    take(store, record(), record(block=True, result=block))
    assert states(store) == {RUNNING: 1}
    assert files(store.file, Wanted()) == []
    take(store, record(block=True, result=block), record(result=outcome(took=10)))
    [found] = files(store.file, Wanted())
    assert found["seconds"] == 1.5  # since the first block was begun
    assert found["size"] == 10


def test_the_state_of_a_file_follows_its_reports(store: Store) -> None:
    take(store, record())
    assert states(store) == {WAITING: 1}
    take(store, record(result=outcome(503, final=False, arrived=False, attempts=3)))
    assert states(store) == {RETRYING: 1}
    take(store, record(result=outcome()))
    assert files(store.file, Wanted())[0]["attempts"] == 3


def test_queries_find_by_user_day_path_and_code(store: Store) -> None:
    take(
        store,
        record(b"a", outcome()),
        record(b"b", outcome(499)),
        record(b"c", outcome(ended=NOW - DAY), announced=NOW - DAY - 5),
        record(b"\xff/\xfe", outcome(), user="uother"),
    )
    names = [entry["path"] for entry in files(store.file, Wanted(user="uearnest"))]
    assert names == ["b", "a", "c"]
    yesterday = files(store.file, Wanted(user="uearnest", day=NOW // DAY - 1))
    assert [entry["path"] for entry in yesterday] == ["c"]
    assert [entry["path"] for entry in files(store.file, Wanted(code=499))] == ["b"]
    assert [entry["path"] for entry in files(store.file, Wanted(path="\udcff/\udcfe"))] == [
        "\udcff/\udcfe"
    ]
    assert len(files(store.file, Wanted(limit=2))) == 2
    assert files(store.file, Wanted(user="nobody")) == []


@pytest.mark.parametrize("wanted", [Wanted(path="d/f"), Wanted(code=499), Wanted(user="u")])
def test_queries_use_an_index(store: Store, wanted: Wanted) -> None:
    take(store, record(result=outcome()))
    day = schema.suffix(NOW // DAY)
    where, values = history.condition(wanted, b"")
    with closing(schema.connect(store.file)) as database:
        query = f"EXPLAIN QUERY PLAN SELECT id FROM file_{{0}} WHERE {where}"  # noqa: S608
        plan = " ".join(row[3] for row in database.execute(query.format(day), values))
    assert f"file_{day} USING" in plan
    assert "SCAN" not in plan


def test_a_batch_is_stored_with_its_offsets_or_not_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(FileTables, "add_hours", fail)
        with pytest.raises(RuntimeError, match="killed"):
            take(store, record(result=outcome()), offset=7)
    assert store.offset("q_xlog") is None
    assert len(take(store, record(result=outcome()), offset=7)) == 1
    assert (store.offset("q_xlog"), len(files(store.file, Wanted()))) == (7, 1)


def test_killed_in_the_middle_of_a_batch_nothing_of_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "monitor.sqlite"
    script = f"""
import os
from pathlib import Path
from sarra_lite.monitor.files import FileTables
from sarra_lite.monitor.records import Outcome, Record
from sarra_lite.monitor.store import Batch, Store
store = Store(Path({str(file)!r}), 90, {{}})
result = Outcome({NOW}, 1, 201, "", 1, "", "", 1, True, True)
def batch(first, last, offset):
    records = [Record("u", b"%d" % i, {BEGUN}, 1, False, result) for i in range(first, last)]
    return Batch(records, {{"q": offset}})
store.take(batch(0, 100, 99))
FileTables.add_hours = lambda self: os.kill(os.getpid(), 9)
store.take(batch(100, 30000, 29999))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -9
    with closing(Store(file, 90, {})) as store:
        assert store.offset("q") == 99
        assert len(files(file, Wanted(limit=1000))) == 100


def test_a_full_store_takes_the_same_batch_when_there_is_room_again(store: Store) -> None:
    take(store, record(result=outcome()))
    pages = store.database.execute("PRAGMA page_count").fetchone()[0]
    store.database.execute(f"PRAGMA max_page_count = {pages}")
    batch = Batch([record(b"%d" % i * 50, outcome()) for i in range(2000)], {"q_xlog": 5})
    with pytest.raises(StoreFull, match="full"):
        store.take(batch)
    assert store.offset("q_xlog") == 0
    store.database.execute("PRAGMA max_page_count = 1000000")
    assert len(store.take(batch)) == 2000
    assert store.offset("q_xlog") == 5


def test_whole_days_are_dropped_after_the_retention(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "m.sqlite", 2, {})) as store:
        old = NOW - 5 * DAY
        take(
            store,
            record(b"old", outcome(ended=old), announced=old),
            record(b"new", outcome()),
        )
        assert store.expire() is False
        assert [entry["path"] for entry in files(store.file, Wanted())] == ["new"]
        assert len(schema.days(store.database)) == 1
        assert len(hours(store)) == 1
        # The days that are left are known.
        assert len(take(store, record(b"old", outcome(ended=old), announced=old))) == 1


def test_a_file_that_nobody_reports_is_forgotten_after_the_retention(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, record())
    store.expire()
    assert states(store) == {WAITING: 1}
    later = time.time_ns() + 91 * DAY * 10**6
    monkeypatch.setattr(time, "time_ns", lambda: later)
    store.expire()
    assert states(store) == {}


def test_a_report_settles_older_announcements_of_the_same_path(store: Store) -> None:
    lost, other = record(announced=BEGUN - 9), record(b"other", announced=BEGUN - 9)
    take(store, lost, other, record(announced=BEGUN + 9))
    take(store, record(result=outcome()))
    with closing(schema.connect(store.file)) as database:
        left = database.execute("SELECT path, announced FROM pending ORDER BY path").fetchall()
    assert left == [(b"data/f", BEGUN + 9), (b"other", BEGUN - 9)]


def test_what_was_announced_more_than_a_week_ago_is_counted_but_not_waited_for(
    store: Store,
) -> None:
    take(store, record(announced=NOW - 8 * DAY), record(b"g", announced=NOW - 6 * DAY))
    take(store, record(b"h", announced=NOW - 8 * DAY)._replace(user="ubob"))
    with closing(schema.connect(store.file)) as database:
        found = {entry.user: (entry.files, entry.oldest) for entry in history.unreported(database)}
    assert found == {"uearnest": (2, NOW - 6 * DAY), "ubob": (1, None)}


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "monitor.sqlite"
    Store(file, 90, {}).close()
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
    for use in (lambda: Store(file, 90, {}), lambda: files(file, Wanted())):
        with pytest.raises(ConfigError, match=r"monitor.sqlite: is of version 99"):
            use()


def test_an_older_store_gets_what_later_versions_have(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, record(result=outcome()), offset=3)
    step = "CREATE TABLE more (a);\nALTER TABLE gaps ADD COLUMN b"
    monkeypatch.setattr(steps, "STEPS", [*steps.STEPS, step])
    with pytest.raises(ConfigError, match="start sr_monitor first"):
        files(store.file, Wanted())
    with closing(Store(store.file, 90, {})) as newer:
        assert newer.database.execute("PRAGMA user_version").fetchone() == (len(steps.STEPS),)
        assert newer.database.execute("SELECT b FROM gaps, more").fetchall() == []
        assert newer.offset("q_xlog") == 3
        assert len(files(store.file, Wanted())) == 1


def test_what_cannot_be_a_store_is_told_with_the_option(tmp_path: Path) -> None:
    (tmp_path / "monitor.sqlite").write_text("not a database, but longer than a header of one")
    with pytest.raises(ConfigError, match="stateDir"):
        Store(tmp_path / "monitor.sqlite", 90, {})
    with pytest.raises(ConfigError, match="stateDir"):
        files(tmp_path / "monitor.sqlite", Wanted())


def test_gaps_are_kept(store: Store) -> None:
    store.take(Batch([], {"q_xlog": 9}, [("q_xlog", 3, 8)]))
    [gap] = history.gaps(store.database)
    assert (gap["stream"], gap["first"], gap["last"]) == ("q_xlog", 3, 8)


def test_what_limits_a_file_is_kept_while_it_is_sent_and_after_it(store: Store) -> None:
    slow: dict[str, Any] = {"limited": "receiver", "why": "no room", "connections": "2 connections"}
    going = outcome(102, final=False, arrived=False, under_way=True, written=4, **slow)
    take(store, record(), record(result=going))
    [found] = overview.unfinished(store.file, None, 10)
    assert (found.state, found.done) == (RUNNING, 4)
    assert found[-3:] == ("receiver", "no room", "2 connections")
    take(store, record(result=going._replace(written=99, why="")))
    [found] = overview.unfinished(store.file, None, 10)
    assert (found.done, found.why) == (10, "")
    take(store, record(result=outcome(**slow)), record(b"quick", outcome()))
    told = {
        entry["path"]: (entry["limitedBy"], entry["why"]) for entry in files(store.file, Wanted())
    }
    assert told == {"data/f": ("receiver", "no room"), "quick": (None, None)}


def test_what_limited_a_file_is_dropped_with_its_day(store: Store) -> None:
    slow = outcome(limited="line", why="full", connections="2", ended=NOW - 100 * DAY)
    take(store, record(result=slow, announced=NOW - 100 * DAY))
    store.expire()
    assert files(store.file, Wanted()) == []
    with closing(schema.connect(store.file)) as database:
        assert database.execute("SELECT count(*) FROM slow").fetchone() == (0,)
