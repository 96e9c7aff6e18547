"""sr_status tells where a file is, with a user's own account at the broker and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from tests.lab.disks import small_disk
from tests.lab.rabbitmq import User
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.sshd import Sshd

MIB = 1024 * 1024
ARRIVED, FAILED, NOT_ANNOUNCED, UNFINISHED = 0, 1, 66, 75


def make(site: Site, name: str, content: bytes = b"x") -> Path:
    file = site.source / name
    file.write_bytes(content)
    return file


def state(site: Site, name: str) -> dict[str, Any]:
    """Return what sr_status says of one file, for programs."""
    told = json.loads(site.run("sr_status", "--json", name, status=None).stdout)
    [file] = told["files"]
    return dict(file)


def test_what_nobody_has_announced_is_not_announced(site: Site) -> None:
    done = site.run("sr_status", "f", status=NOT_ANNOUNCED)
    assert "f: not announced since" in done.stdout
    assert f"there is no q_{site.user}_reports" in done.stderr
    site.run("sr_post", make(site, "other"))
    assert state(site, "f") == {"relPath": "f", "state": "not announced"}


def test_a_file_waits_while_there_is_no_sender_and_then_has_arrived(
    rabbit: Rabbit, sshd: Sshd, tmp_path: Path
) -> None:
    """Over AMQPS, with what the role broker_objects permits."""
    site = Site(rabbit, sshd, tmp_path / "site", tls=True)
    own = f"^(q_{site.user}[._].*|{site.exchange})$"
    rabbit.add_users(
        User(site.user, site.password, f"^q_{site.user}[._](default|reports)$", own, own)
    )
    with rabbit.channel() as channel:
        channel.exchange_declare(site.exchange, "topic", durable=True)
    site.run("sr_post", make(site, "f", b"content"))
    done = site.run("sr_status", site.source / "f", status=UNFINISHED)
    assert f"{site.queue}: 1 announcement in it, no sender connected" in done.stdout
    assert re.search(
        r"^f: waiting, announced \d+ s ago, 0 announcements before", done.stdout, re.MULTILINE
    )
    site.drain()
    done = site.run("sr_status", "f")
    assert re.match(r"f: arrived .* UTC, 7 B in .*/s: file sent\n", done.stdout)
    assert "sha512 as announced" in done.stdout
    assert "1 arrived since" in site.run("sr_status").stdout


def test_a_file_waits_behind_others_while_the_sender_is_stopped(site: Site) -> None:
    """A file that is sent in one piece has no progress: a sender has taken it."""
    large = make(site, "large", bytes(8 * MIB))
    options = ("--prefetch", "1", "--connections", "1", "--limit", "100Ki", "--block-size", "1")
    with site.running("sr_sender", *options) as sender:
        site.run("sr_post", "--block-size", "1", large)
        wait_until(lambda: sender.has_open(large))
        site.run("sr_post", make(site, "a"), make(site, "b"))
        sender.send_signal(signal.SIGSTOP)
        assert (
            "large: taken by a sender" in site.run("sr_status", "large", status=UNFINISHED).stdout
        )
        assert [state(site, name)["messagesBefore"] for name in "ab"] == [0, 1]
        assert [state(site, name)["filesBefore"] for name in "ab"] == [1, 2]
        text = site.run("sr_status").stdout
        assert text.startswith("1 taken by a sender, 2 waiting, 0 arrived since ")
        assert f"{site.queue}: 2 announcements in it, 1 sender connected" in text


def test_a_large_file_has_per_cent_rate_and_time_left(site: Site) -> None:
    large = make(site, "large", os.urandom(12 * MIB))
    with site.running("sr_sender", "--limit", "1Mi", "--connections", "2") as sender:
        site.run("sr_post", "--block-size", "1Mi", large)
        wait_until(lambda: state(site, "large")["state"] == "being sent")
        done = site.run("sr_status", "large", status=UNFINISHED)
        line = r"large: being sent, \d+ %: \d+\.\d MiB of 12.0 MiB, .*iB/s, \d+ (s|min) left\n"
        assert re.search(line, done.stdout), done.stdout
        assert re.search(r" of 12 blocks, by default/\d+ on ", done.stdout), done.stdout
        sender.terminate()
        assert sender.wait(20) == UNFINISHED
    before = state(site, "large")
    assert 0 < before["percent"] < 100
    # Of what is announced before that time, all of it is counted.
    later = json.loads(site.run("sr_status", "--json", "--since", before["pubTime"][:15]).stdout)
    assert later["files"][0]["bytes"] == before["bytes"]


def test_without_room_it_says_since_when_and_when_the_next_try_is(site: Site) -> None:
    site.run("sr_post", "--block-size", "1", make(site, "f", os.urandom(20 * MIB)))
    with small_disk(site.dest, 18 * MIB), site.running("sr_sender", "--block-size", "1"):
        wait_until(lambda: state(site, "f")["state"] == "waiting for room")
        told = site.run("sr_status", "f", status=UNFINISHED).stdout
    assert re.search(r"f: waiting for room since .* UTC, next try in \d+ s: .*no space left", told)
    assert "what to do: free space at the destination" in told


def test_what_failed_has_the_reason_and_what_to_do(site: Site) -> None:
    """No room when there is no other try, and an event that the sender does not take."""
    site.configure("sender", "retry_ttl = 0\nblockSize = 1\n")
    site.run("sr_post", "--block-size", "1", make(site, "full", os.urandom(20 * MIB)))
    gone = make(site, "gone")
    site.run("sr_post", "--events", "remove", "--remove", gone)
    with small_disk(site.dest, 18 * MIB):
        site.drain(status=1)
    told = site.run("sr_status", "full", "gone", status=FAILED).stdout
    assert re.search(r"full: failed .* UTC: .*no space left.* \(507\)", told), told
    assert re.search(r"gone: failed .* UTC: .* \(403\)", told), told
    assert told.count("what to do: ") == 2
    assert "2 failed, 0 arrived" in site.run("sr_status").stdout


def test_what_reached_no_queue_is_to_be_posted_again(site: Site) -> None:
    lines = (site.config / "post/default.toml").read_text().splitlines()
    without = [line for line in lines if not line.startswith("queueName")]
    (site.config / "post/default.toml").write_text("\n".join(without))
    site.run("sr_sender", "--declare")
    with site.rabbit.channel() as channel:
        channel.queue_delete(site.queue)
    site.run("sr_post", make(site, "f"))
    done = site.run("sr_status", "f", status=UNFINISHED)
    assert f"there is no queue {site.queue}" in done.stderr
    site.run("sr_sender", "--declare")
    assert "f: in no queue" in site.run("sr_status", "f", status=UNFINISHED).stdout


def test_a_stream_that_does_not_reach_back_so_far_is_told(site: Site) -> None:
    """The broker deletes the oldest messages, a whole segment at a time."""
    site.configure("sender", "reportMaxBytes = 1000000\n")
    site.run("sr_sender", "--declare")
    now = time.gmtime()
    done = {"code": 201, "message": "", "timeCompleted": time.strftime("%Y%m%dT%H%M%S", now)}
    body = {"pubTime": "20261128T100000", "baseUrl": "file:/", "relPath": "f", "report": done}
    text = json.dumps(body | {"more": "x" * 60_000}).encode()
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.confirm_delivery()
        for _ in range(60):
            channel.basic_publish(site.exchange, "v03.report", text)

    def reaches_back_to_today() -> bool:
        told = site.run("sr_status", "g", status=NOT_ANNOUNCED).stdout
        return f"g: not announced since {time.strftime('%Y-%m-%d', now)}" in told

    wait_until(reaches_back_to_today)


def test_the_queue_is_that_of_the_senders_configuration(site: Site) -> None:
    site.configure("sender", name="science")
    assert "there is no queue" in site.run("sr_status", "-c", "science").stderr
    site.run("sr_sender", "-c", "science", "--declare")
    told = site.run("sr_status", "-c", "science").stdout
    assert f"q_{site.user}_science: 0 announcements in it, no sender connected" in told
    site.configure("sender", 'queueName = "q_elsewhere"\n', name="science")
    assert "there is no queue q_elsewhere" in site.run("sr_status", "-c", "science").stderr
    assert "no such configuration" in site.run("sr_status", "-c", "none", status=78).stderr


def test_a_name_of_control_characters_is_escaped(site: Site) -> None:
    site.run("sr_post", make(site, "\x1b[2J\n\udcff"))
    for names in ((), ("\x1b[2J\n\udcff",), ("*",)):
        done = site.run("sr_status", *names, status=None)
        assert "\\x1b[2J\\n\\xff: waiting" in done.stdout
        assert "\x1b" not in done.stdout
    done = site.run("sr_status", "\x1b]0;x\x07", status=NOT_ANNOUNCED)
    assert "\\x1b]0;x\\x07: not announced" in done.stdout


def test_an_unreachable_broker_is_one_line(site: Site) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"amqp://{site.user}@127.0.0.1:{port}/"
    site.credentials.write_text(url.replace("@", ":p@") + "\n")
    done = site.run("sr_status", "--broker", url, "f", status=69)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_stream_that_has_no_announcements_is_told(site: Site) -> None:
    """As before sr_post and sr_sender of this version have run."""
    site.run("sr_sender", "--declare")
    done = {"code": 201, "message": "file sent", "timeCompleted": "20261128T100000"}
    body = {"pubTime": "20261128T100000", "baseUrl": "file:/", "relPath": "f", "report": done}
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.basic_publish(site.exchange, "v03.report", json.dumps(body).encode())
        wait_until(lambda: site.rabbit.queues()[f"q_{site.user}_reports"] == 1)
    told = site.run("sr_status")
    assert f"q_{site.user}_reports has reports, but no announcements" in told.stderr
