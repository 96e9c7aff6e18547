"""sr_monitor keeps one row a file from the streams, whatever happens to it, and shows metrics."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from sarra_lite import units
from tests.lab.monitor import Monitor
from tests.lab.processes import free_port
from tests.lab.site import Site, wait_until

TOPICS = ("v03.post.#", "v03.finish.#")  # of the stream of announcements
NONE = {"group": "", "user": ""}  # of the labels of a metric


@pytest.fixture
def monitor(site: Site) -> Monitor:
    return Monitor(site)


def copying(site: Site, stream: str) -> None:
    """Configure an sr_src2log that copies the reports of this user to a stream."""
    (site.config / "src2log").mkdir()
    (site.config / "src2log" / "default.toml").write_text(
        f'broker = "{site.rabbit.url("admin")}"\nqueueName = "q_src2log_{site.name}"\n'
        f'exchanges = ["{site.exchange}"]\nxlog = "xlog_{site.name}"\nxlogStream = "{stream}"\n'
    )
    with site.credentials.open("a") as file:
        file.write(site.rabbit.url("admin", site.rabbit.admin_password) + "\n")


def test_a_file_is_seen_from_its_announcement_to_its_report(site: Site) -> None:
    monitor = Monitor(site, posts=True)
    copying(site, monitor.stream)
    (site.source / "f").write_bytes(b"x" * 1000)
    (site.source / "blocks").write_bytes(b"x" * 300_000)
    site.run("sr_sender", "--declare")
    with site.rabbit.channel() as channel:
        for topic in TOPICS:
            channel.queue_bind(monitor.posts, site.exchange, topic)
    with site.running("sr_monitor"), site.running("sr_src2log"):
        site.run("sr_post", "--block-size", "100k", site.source / "f", site.source / "blocks")
        wait_until(lambda: monitor.metric("sarra_files_now", state="waiting") == 2)
        assert 0 < monitor.metric("sarra_oldest_unreported_seconds") < 60
        site.drain()
        wait_until(lambda: len(monitor.files()) == 2)
        [found] = monitor.files("--user", site.user, "--path", "f", "--code", "201")
        assert (found["size"], found["group"], found["text"]) == (1000, monitor.group, "file sent")
        assert found["announced"] <= found["begun"] <= found["ended"]
        assert [entry["size"] for entry in monitor.files("--path", "blocks")] == [300_000]
        wait_until(lambda: monitor.metric("sarra_files_now", state="waiting") == 0)
        wait_until(lambda: monitor.metric("sarra_files_now", state="running") == 0)
        assert monitor.metric("sarra_files_total", **{"class": "2xx"}) == 2
        assert monitor.metric("sarra_bytes_total") == 301_000
        assert monitor.metric("sarra_delivery_seconds_count", user="") == 2
        assert monitor.metric("sarra_stream_lag_messages", **NONE, stream=monitor.stream) == 0


def test_the_topics_of_the_stream_of_announcements_have_one_block_of_a_file_and_its_finish(
    site: Site,
) -> None:
    (site.source / "f").write_bytes(b"x" * 1000)
    (site.source / "blocks").write_bytes(b"x" * 300_000)
    site.run("sr_sender", "--declare")
    counted = f"q_counted_{site.name}"
    with site.rabbit.channel() as channel:
        channel.queue_declare(counted)
        for topic in TOPICS:
            channel.queue_bind(counted, site.exchange, topic)
        site.run("sr_post", "--block-size", "10k", site.source / "f", site.source / "blocks")
        assert channel.queue_declare(counted, passive=True).method.message_count == 1 + 2
        channel.queue_delete(counted)
    site.drain()
    assert (site.dest / "blocks").stat().st_size == 300_000


def test_reports_that_are_missing_changed_or_of_another_program_are_counted(site: Site) -> None:
    monitor = Monitor(site)
    copying(site, monitor.stream)
    for name in ("a", "b", "c"):
        (site.source / name).write_text(name)
    site.run("sr_sender", "--declare")
    with site.running("sr_src2log"):
        site.run("sr_post", site.source)
        site.drain()
        with site.running("sr_monitor"):
            wait_until(lambda: len(monitor.files()) == 3)
    copies = monitor.bodies(3)
    changed = copies[1].replace(b'"size":1', b'"size":2')
    monitor.publish(*copies, changed, monitor.report("d"))
    with site.running("sr_monitor"):
        wait_until(lambda: monitor.files("--path", "d"))
        breaks = {kind: broken(monitor, kind) for kind in ("changed", "missing", "unlinked")}
        assert breaks == {"changed": 1, "missing": 0, "unlinked": 1}


def broken(monitor: Monitor, kind: str) -> float:
    return monitor.metric("sarra_chain_breaks_total", **NONE, kind=kind)


def test_killed_and_started_again_it_counts_each_file_once(monitor: Monitor) -> None:
    names = [f"d/{number}" for number in range(3000)]
    monitor.publish(*map(monitor.report, names[:1500]))
    for part in range(3):
        known = len(monitor.files())
        with monitor.site.running("sr_monitor") as process:
            wait_until(lambda known=known: len(monitor.files()) > known)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        monitor.publish(*map(monitor.report, names[1500 + part * 500 : 2000 + part * 500]))
    monitor.publish(monitor.report("end"))
    with monitor.site.running("sr_monitor"):
        wait_until(lambda: monitor.files("--path", "end"))
    assert sorted(entry["path"] for entry in monitor.files()) == sorted([*names, "end"])
    [(files, size)] = query(monitor, "SELECT sum(files), sum(bytes) FROM hours")
    assert (files, size) == (3001, 30010)


def query(monitor: Monitor, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(monitor.history)) as database:
        return list(database.execute(sql))


def test_a_full_disk_is_told_in_one_line_and_nothing_is_lost(monitor: Monitor) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))

    names = [f"d{number}/{'x' * 200}" for number in range(6000)]
    monitor.publish(*map(monitor.report, names))
    with monitor.site.running("sr_monitor", preexec_fn=limit) as process:
        process.wait_for("is read when there is room")
        wait_until(lambda: monitor.metrics()["sarra_store_full"] == 1)
        endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, endless)
        process.wait_for("there is room again")
        wait_until(lambda: len(monitor.files()) == 6000)
        assert process.said().count("cannot keep history") == 1
        assert monitor.metrics()["sarra_store_full"] == 0


def test_what_a_stream_no_longer_has_is_one_warning_and_a_gap(site: Site) -> None:
    monitor = Monitor(site)
    with site.rabbit.channel() as channel:
        channel.queue_delete(monitor.stream)
    limits = {"x-max-length-bytes": 20_000, "x-stream-max-segment-size-bytes": 10_000}
    monitor.declare(monitor.stream, **limits)
    monitor.publish(monitor.report("first"))
    with site.running("sr_monitor"):
        wait_until(monitor.files)
    large = [monitor.report(f"{number}", message="x" * 900) for number in range(200)]
    monitor.publish(*large)
    with site.running("sr_monitor") as process:
        wait_until(lambda: monitor.files("--path", "199"))
        monitor.publish(monitor.report("last"))
        wait_until(lambda: monitor.files("--path", "last"))
        assert process.said().count("warning") == 1
        process.wait_for(f"{monitor.stream} no longer has the offsets 1 to ")
    [(first, last)] = query(monitor, "SELECT first, last FROM gaps")
    assert first == 1
    assert last > 100
    assert 1 < len(monitor.files()) < 100


def test_a_stream_that_was_made_anew_is_read_from_its_beginning(monitor: Monitor) -> None:
    monitor.publish(*(monitor.report(f"old{number}") for number in range(5)))
    with monitor.site.running("sr_monitor"):
        wait_until(lambda: len(monitor.files()) == 5)
    with monitor.site.rabbit.channel() as channel:
        channel.queue_delete(monitor.stream)
    monitor.declare(monitor.stream)
    monitor.publish(monitor.report("new"))
    with monitor.site.running("sr_monitor") as process:
        wait_until(lambda: len(monitor.files()) == 6)
        process.wait_for("is a new stream")
    with monitor.site.running("sr_monitor") as process:
        process.wait_for("files that nobody reports are not seen")
        assert "is a new stream" not in process.said()
    assert query(monitor, "SELECT first, last FROM gaps") == [(5, None)]


def test_reports_of_any_content_stop_nothing_and_stay_in_range(monitor: Monitor) -> None:
    later = monitor.report("later", timeCompleted="99991231T235959", seconds=1e12)
    early = monitor.report("early", timeCompleted="19700101T000000") | {
        "pubTime": "99990101T000000"
    }
    monitor.publish(
        b"not json",
        monitor.report("year1", timeCompleted="00010101T000000"),
        monitor.report("negative", bytes=-5),
        monitor.report("size") | {"size": -5},
        monitor.report("rejected", rejected="author not proven"),
        monitor.report("huge") | {"size": 2**63 - 1},
        later,
        early,
        monitor.report("<script>\x1b[31m\u202e"),
        monitor.report("last"),
    )
    with monitor.site.running("sr_monitor") as process:
        wait_until(lambda: monitor.files("--path", "last"))
        found = {entry["path"]: entry for entry in monitor.files()}
        assert found.keys() == {"huge", "later", "early", "<script>\x1b[31m\u202e", "last"}
        for entry in found.values():
            assert abs(entry["ended"] - time.time()) < 60
            assert entry["announced"] <= entry["ended"]
            assert 0 <= entry["size"] <= 2**50
        text = monitor.site.run("sr_monitor", "--show").stdout
        assert "\x1b" not in text
        assert monitor.metric("sarra_rejected_reports_total") == 1
        assert monitor.metric("sarra_unusable_messages_total", **NONE, stream=monitor.stream) == 4
        assert not any("script" in name or "path" in name for name in monitor.metrics())
        process.terminate()
        assert process.wait(10) == 0


def test_two_monitors_each_keep_the_whole_history(monitor: Monitor) -> None:
    default = monitor.site.config / "monitor" / "default.toml"
    second = default.with_name("second.toml")
    second.write_text(default.read_text().replace(str(monitor.port), str(free_port("127.0.0.1"))))
    with monitor.site.running("sr_monitor"), monitor.site.running("sr_monitor", "-c", "second"):
        monitor.publish(monitor.report("f"))
        wait_until(lambda: monitor.files() and monitor.files("-c", "second"))


def test_users_beyond_the_maximum_are_counted_together(site: Site) -> None:
    monitor = Monitor(site, more="maxUsers = 2\n")
    monitor.publish(*(monitor.report("f") | {"source": f"u{n}"} for n in range(5)))
    with site.running("sr_monitor"):
        wait_until(lambda: len(monitor.files()) == 5)
        names = [name for name in monitor.metrics() if name.startswith("sarra_files_total")]
        assert len(names) == 3
        assert monitor.metric("sarra_files_total", **{"class": "2xx"}, user="other", group="") == 0
        assert 'sarra_files_total{class="2xx",group="",user="other"}' in names


def test_it_goes_on_when_the_broker_was_away(monitor: Monitor) -> None:
    with monitor.site.running("sr_monitor") as process:
        monitor.publish(monitor.report("before"))
        wait_until(monitor.files)
        monitor.site.rabbit.close_all_connections()
        process.wait_for("trying again")
        monitor.publish(monitor.report("after"))
        wait_until(lambda: len(monitor.files()) == 2)
        process.wait_for("files that nobody reports are not seen")


def test_an_address_that_is_taken_and_a_newer_store_are_told_in_one_line(monitor: Monitor) -> None:
    with monitor.site.running("sr_monitor"):
        wait_until(lambda: monitor.site.run("sr_monitor", "--show", status=None).returncode == 1)
        done = monitor.site.run("sr_monitor", status=78)
        assert f"metricsAddress 127.0.0.1:{monitor.port}: Address already in use" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    with closing(sqlite3.connect(monitor.history)) as database:
        database.execute("PRAGMA user_version = 99")
    done = monitor.site.run("sr_monitor", status=78)
    assert "is of version 99" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_unusual_is_told_in_a_sentence_and_as_a_metric(monitor: Monitor) -> None:
    last = time.time() // 3600 * 3600 - 1 - 3600  # the last hour may not be over for long enough
    usual = [last - hours * 3600 for hours in range(1, 24 * 40) for _ in range(4)]
    monitor.publish(
        *(
            monitor.report(f"d/{number}", timeCompleted=units.time_string(int(ended) * 10**9))
            for number, ended in enumerate([*usual, *[last] * 300])
        )
    )
    with monitor.site.running("sr_monitor"):
        wait_until(lambda: monitor.anomalies("--user", monitor.site.user), 60)
        [found] = [
            one for one in monitor.anomalies("--user", monitor.site.user) if one["kind"] == "count"
        ]
        assert (found["value"], found["group"]) == (300, monitor.group)
        assert found["first"] == last + 1 - 3600
        text = monitor.site.run("sr_monitor", "--anomalies").stdout
        assert f"user {monitor.site.user} had 300 files in an hour; at most" in text
        assert f"group {monitor.group} had 300 files in an hour; at most" in text
    assert monitor.site.run("sr_monitor", "--anomalies", "--user", "nobody", status=1).stdout == ""


def test_flags_that_do_not_go_together_are_refused(monitor: Monitor) -> None:
    for flags in (["--json"], ["--anomalies", "--path", "f"], ["--anomalies", "--show"]):
        assert monitor.site.run("sr_monitor", *flags, status=2).stdout == ""


def test_expected_files_that_came_or_did_not_are_told_and_measured(site: Site) -> None:
    monitor = Monitor(site, more=f'expectFile = "{site.config}/expected.toml"\n')
    ended = time.time() // 86400 * 86400 - 1  # at the end of yesterday
    begin = "[[expect]]\n" + f'user = "{site.user}"\nby = "00:00"\n'
    text = f'{begin}name = "obs"\nmatch = "obs/*.nc"\nleast = 2\n'
    text += f'{begin}name = "radar"\nmatch = "radar/*"\n'
    text += f'[[expect]]\ngroup = "{monitor.group}"\nmatch = "*.nc"\nby = "00:00"\nleast = 2\n'
    (site.config / "expected.toml").write_text(text)
    times = [units.time_string(int(ended - days * 86400) * 10**9) for days in (0, 20)]
    monitor.publish(
        monitor.report("first", timeCompleted=times[1]),
        *(monitor.report(f"obs/{number}.nc", timeCompleted=times[0]) for number in range(2)),
    )
    with site.running("sr_monitor"):
        wait_until(lambda: monitor.metric("sarra_expected_missed", expected="radar") == 1, 60)
        assert monitor.metric("sarra_expected_missed", expected="obs") == 0
        assert monitor.metric("sarra_expected_least_files", expected="obs") == 2
        day = time.strftime("%Y-%m-%d", time.gmtime(ended + 1))
        shown = site.run("sr_monitor", "--expected", "--day", day, status=1).stdout
        assert f"{day} kept    user {site.user}, obs: 2 of 2 files by 00:00 UTC" in shown
        assert f"{day} missed  user {site.user}, radar: 0 of 1 files by 00:00 UTC" in shown
        assert f"{day} kept    group {monitor.group}, *.nc: 2 of 2 files" in shown
        calendar = site.run("sr_monitor", "--expected", status=1).stdout
        assert f"user {site.user}, radar" in calendar
        entries = site.run("sr_monitor", "--expected", "--json", status=1).stdout.splitlines()
        assert {"kept", "missed"} <= {json.loads(line)["state"] for line in entries}
    (site.config / "expected.toml").write_text(text.replace('"00:00"', '"0:00"', 1))
    refused = site.run("sr_monitor", status=78)
    assert "expectFile" in refused.stderr
    assert "expected.toml: expect 1: by: not a time of day like 06:00: '0:00'" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
