"""sr_log: what it shows of the reports, and how it filters and follows them."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.lab.site import Site, wait_until


@pytest.fixture
def reported(site: Site) -> Site:
    """A site with a file that has arrived and one that failed."""
    (site.source / "good").write_text("x" * 1000)
    (site.source / "bad").write_text("y")
    site.run("sr_post", site.source)
    (site.source / "bad").unlink()
    site.drain(status=1)
    return site


def test_a_line_shows_time_code_size_rate_user_host_and_name(reported: Site) -> None:
    [line] = reported.run("sr_log", "good").stdout.splitlines()
    date, clock, code, size, _, rate, unit, user, host, name = line.split()
    assert date == time.strftime("%Y-%m-%d", time.gmtime())
    assert (code, size, user, name) == ("201", "1000", reported.user, "good")
    assert clock.count(":") == 2
    assert float(rate) > 0
    assert unit.endswith("/s")
    assert host


def test_a_failed_file_is_shown_with_the_reason(reported: Site) -> None:
    [line] = reported.run("sr_log", "--failed").stdout.splitlines()
    assert line.endswith("bad: gone at the source")


def test_json_lines_have_the_field_names_of_the_report(reported: Site) -> None:
    [line] = reported.run("sr_log", "--json", "go*").stdout.splitlines()
    report = json.loads(line)
    assert report["relPath"] == "good"
    assert report["code"] == 201
    assert report["bytes"] == 1000
    assert report["identity"]["method"] == "sha512"
    assert {"host", "user", "instance", "seconds", "timeCompleted"} <= set(report)


def test_since_omits_older_reports(reported: Site) -> None:
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert reported.run("sr_log", "--since", later.isoformat()).stdout == ""
    assert reported.run("sr_log", "--since", "1m").stdout != ""
    line = reported.run("sr_log", "--since", "soon", status=2).stderr
    assert "--since: neither 5m, 2h, 7d nor" in line


def test_user_shows_only_that_users_files(reported: Site) -> None:
    assert len(reported.run("sr_log", "--user", reported.user).stdout.splitlines()) == 2
    assert reported.run("sr_log", "--user", "nobody").stdout == ""


def test_follow_shows_new_reports_and_ends_on_sigterm(reported: Site) -> None:
    with reported.running("sr_log", "--follow") as log:
        log.wait_for("good")  # it follows
        (reported.source / "next").write_text("z")
        reported.run("sr_post", reported.source / "next")
        reported.drain()
        log.wait_for("next")
        log.terminate()
        assert log.wait(5) == 0


def test_reading_ends_while_reports_are_still_published(reported: Site) -> None:
    """A reader that waits until no message comes would never end on a busy stream."""
    body = json.dumps(
        {
            "pubTime": "20260101T000000",
            "baseUrl": "file:/",
            "relPath": "busy",
            "report": {"code": 201, "message": "", "timeCompleted": "20260101T000000"},
        }
    )
    with (
        reported.rabbit.channel(reported.user, reported.password) as channel,
        reported.running("sr_log") as log,
    ):

        def ended() -> bool:
            for _ in range(20):
                channel.basic_publish(reported.exchange, "v03.report", body.encode())
            return log.poll() is not None

        wait_until(ended, 20)
        assert log.returncode == 0


def test_a_closed_output_pipe_is_not_an_error(reported: Site) -> None:
    [program] = reported.command("sr_log")
    pipeline = f"{program} | head -c 1"
    done = subprocess.run(["sh", "-c", pipeline], env=reported.env, capture_output=True, check=True)
    assert done.stderr == b""


def test_before_anything_was_sent_there_is_nothing_to_show_and_no_error(site: Site) -> None:
    done = site.run("sr_log")
    assert done.stdout == ""
    assert f"no reports: there is no q_{site.user}_reports" in done.stderr
    assert "f: no report since" in site.run("sr_log", "f", status=1).stderr
    done = site.run("sr_log", "--queue-name", f"q_{site.user}_x", status=77)
    assert f"no queue 'q_{site.user}_x'" in done.stderr


def test_a_name_without_a_report_is_told(reported: Site) -> None:
    done = reported.run("sr_log", "good", "goood", status=1)
    assert done.stdout.endswith("good\n")
    assert done.stderr.count("no report since") == 1
    assert "goood: no report since" in done.stderr
    assert reported.run("sr_log", "--failed", "good").stderr == ""


def test_follow_goes_on_when_the_connection_is_lost_or_the_stream_made_again(site: Site) -> None:
    def send(name: str) -> None:
        (site.source / name).touch()
        site.run("sr_post", site.source / name)
        site.drain()

    stream = f"q_{site.user}_reports"
    with site.running("sr_log", "--follow") as log:
        log.wait_for(f"waiting for reports: there is no {stream}")
        send("first")
        log.wait_for("first")
        site.rabbit.close_all_connections()
        log.wait_for("closed by the broker")
        send("second")
        log.wait_for("second")
        with site.rabbit.channel() as channel:
            channel.queue_delete(stream)
        log.wait_for(f"{stream} was deleted")
        send("third")
        log.wait_for("third")
        assert log.said().count(" 201 ") == 3
        log.terminate()
        assert log.wait(5) == 0


def test_wait_goes_on_when_the_stream_of_reports_is_deleted(site: Site) -> None:
    (site.source / "first").touch()
    (site.source / "second").touch()
    site.run("sr_post", site.source / "first")
    site.drain()
    with site.running("sr_post", "--wait", site.source / "second") as post:
        wait_until(lambda: site.queued() == 1)
        with site.rabbit.channel() as channel:
            channel.queue_delete(f"q_{site.user}_reports")
        post.wait_for("was deleted, or is moving to another node; trying again")
        site.drain()
        assert post.wait(20) == 0, post.said()
