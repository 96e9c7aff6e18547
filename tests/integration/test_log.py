"""What happened to my file, when, how fast, by whom."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.lab.site import Site, wait_until


@pytest.fixture
def told(site: Site) -> Site:
    """A site with a file that has arrived and one that failed."""
    (site.source / "good").write_text("x" * 1000)
    (site.source / "bad").write_text("y")
    site.run("sr_post", site.source)
    (site.source / "bad").unlink()
    site.drain(status=1)
    return site


def test_a_line_tells_time_code_size_rate_user_host_and_name(told: Site) -> None:
    [line] = told.run("sr_log", "good").stdout.splitlines()
    date, clock, code, size, _, rate, unit, user, host, name = line.split()
    assert date == time.strftime("%Y-%m-%d", time.gmtime())
    assert (code, size, user, name) == ("201", "1000", told.user, "good")
    assert clock.count(":") == 2
    assert float(rate) > 0
    assert unit.endswith("/s")
    assert host


def test_what_failed_says_why(told: Site) -> None:
    [line] = told.run("sr_log", "--failed").stdout.splitlines()
    assert line.endswith("bad: gone at the source")


def test_json_lines_have_the_names_of_the_wire(told: Site) -> None:
    [line] = told.run("sr_log", "--json", "go*").stdout.splitlines()
    report = json.loads(line)
    assert report["relPath"] == "good"
    assert report["code"] == 201
    assert report["bytes"] == 1000
    assert report["identity"]["method"] == "sha512"
    assert {"host", "user", "instance", "seconds", "timeCompleted"} <= set(report)


def test_since_leaves_out_what_is_older(told: Site) -> None:
    time.sleep(2)
    assert told.run("sr_log", "--since", "1s").stdout == ""
    line = told.run("sr_log", "--since", "soon", status=2).stderr
    assert "--since: neither 5m, 2h, 7d nor" in line


def test_user_shows_one_users_files(told: Site) -> None:
    assert len(told.run("sr_log", "--user", told.user).stdout.splitlines()) == 2
    assert told.run("sr_log", "--user", "nobody").stdout == ""


def test_follow_goes_on_with_what_comes_and_ends_when_told(told: Site) -> None:
    with told.running("sr_log", "--follow", "--since", "0s") as log:
        (told.source / "next").write_text("z")
        time.sleep(1)
        told.run("sr_post", told.source / "next")
        told.drain()
        log.wait_for("next")
        log.terminate()
        assert log.wait(5) == 0


def test_reading_ends_though_the_stream_is_never_quiet(told: Site) -> None:
    """A reader that waits for silence never ends on a busy stream."""
    body = json.dumps(
        {
            "pubTime": "20260101T000000",
            "baseUrl": "file:/",
            "relPath": "busy",
            "report": {"code": 201, "message": "", "timeCompleted": "20260101T000000"},
        }
    )
    with told.rabbit.channel(told.user, told.password) as channel, told.running("sr_log") as log:

        def ended() -> bool:
            for _ in range(20):
                channel.basic_publish(told.exchange, "v03.report", body.encode())
            return log.poll() is not None

        wait_until(ended, 20)
        assert log.returncode == 0


def test_output_that_nobody_reads_any_more_is_no_error(told: Site) -> None:
    [program] = told.command("sr_log")
    pipe = f"{program} | head -c 1"
    done = subprocess.run(["sh", "-c", pipe], env=told.env, capture_output=True, check=True)
    assert done.stderr == b""
