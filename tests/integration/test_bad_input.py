"""Every error that a user or a stranger can cause: one clear line, a status, nothing lost."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.disks import remount_read_only, small_disk
from tests.lab.rabbitmq import User
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def _one_line(text: str) -> str:
    [line] = text.strip().splitlines()
    return line


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


# Configuration.


def test_two_errors_in_one_file_are_told_at_once_with_file_and_key(site: Site) -> None:
    file = site.configure("sender", 'blockSize = "many"\nprefech = 3\n')
    done = site.drain(status=78)
    first, second = done.stderr.splitlines()
    assert f"{file}: blockSize: not a size like 64Mi" in first
    assert f"{file}: prefech: unknown key; did you mean prefetch?" in second


def test_missing_credentials_are_told_with_the_line_to_add(site: Site) -> None:
    site.credentials.unlink()
    line = _one_line(site.run("sr_post", site.source, status=78).stderr)
    assert f"{site.credentials}: no password for {site.broker}" in line
    assert site.user + ":PASSWORD@" in line


def test_credentials_that_others_may_read_are_refused(site: Site) -> None:
    site.credentials.chmod(0o640)
    line = _one_line(site.run("sr_post", site.source, status=78).stderr)
    assert line.endswith(f"do: chmod 600 {site.credentials}")


def test_a_wrong_password_is_told_and_not_tried_again(site: Site) -> None:
    _edit(site.credentials, site.password, "wrong")
    for program, more in (("sr_post", [site.source]), ("sr_sender", [])):
        line = _one_line(site.run(program, *more, status=77).stderr)
        assert "user or password refused by the broker" in line


def test_a_broker_that_does_not_answer_is_told_in_time(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        for file in (site.config / "post" / "default.toml", site.credentials):
            _edit(file, f":{site.rabbit.port}/", f":{port}/")
        began = time.monotonic()
        site.run("sr_post", site.source, status=69)
        assert time.monotonic() - began < 20


def test_a_sender_waits_for_a_broker_that_is_away_without_spinning(site: Site) -> None:
    for file in (site.config / "sender" / "default.toml", site.credentials):
        _edit(file, f":{site.rabbit.port}/", ":1/")
    with site.running("sr_sender") as sender:
        sender.wait_for("trying again")
        before = sender.cpu_seconds()
        time.sleep(3)
        assert sender.cpu_seconds() - before < 0.3
        sender.terminate()
        assert sender.wait(5) == 0


# The SFTP host.


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_an_unknown_host_key_is_refused_with_the_command_that_accepts_it(
    site: Site, stream: str
) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    site.known_hosts.write_text("")
    line = _one_line(site.drain("--stream", stream, status=78).stderr)
    assert "SHA256:" in line
    command = line[line.index("ssh-keyscan") :]
    assert os.system(f"{command} 2>/dev/null") == 0  # noqa: S605  as the user would type it
    site.drain("--stream", stream)
    assert (site.dest / "f").exists()


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_a_host_key_that_changed_is_refused(site: Site, stream: str) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    other = site.sshd.user_key.with_suffix(".pub").read_text()
    host = site.sshd.host_key_line.split()[0]
    site.known_hosts.write_text(f"{host} {other}")
    line = _one_line(site.drain("--stream", stream, status=78).stderr)
    assert "somebody may be in between" in line
    assert list(site.dest.iterdir()) == []


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_a_key_that_the_host_does_not_take_is_told(site: Site, stream: str) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    _edit(site.credentials, str(site.sshd.user_key), str(site.sshd.host_key))
    line = _one_line(site.drain("--stream", stream, status=77).stderr)
    assert site.sshd.url in line
    assert site.queued() == 1


def test_an_sftp_host_that_is_away_is_told_and_nothing_is_lost(site: Site) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    site.sshd.stop()
    try:
        done = site.drain("--timeout", "2s", status=69)
    finally:
        site.sshd.start()
    assert "Connection refused" in done.stderr.splitlines()[-1]
    site.drain()
    assert site.codes() == {"f": [201]}


def test_a_key_file_that_is_not_there_is_told(site: Site) -> None:
    _edit(site.credentials, str(site.sshd.user_key), "/no/such/key")
    line = _one_line(site.drain(status=78).stderr)
    assert "ssh_keyfile" in line
    assert "/no/such/key" in line


# Files at the source.


def test_a_path_that_is_not_there_fails_and_the_others_are_announced(site: Site) -> None:
    (site.source / "f").write_text("x")
    done = site.run("sr_post", site.source / "none", site.source / "f", status=1)
    assert "none: no such file or directory" in done.stderr
    assert "1 announced, 1 not" in done.stderr
    assert site.queued() == 1


def test_a_path_outside_of_the_base_is_refused(site: Site) -> None:
    line = _one_line(site.run("sr_post", "/etc/hostname", status=2).stderr)
    assert f"not below baseDir {site.source}" in line


@pytest.mark.bound_by_modes
def test_a_path_that_is_not_readable_is_told(site: Site) -> None:
    (site.source / "f").touch(mode=0)
    done = site.run("sr_post", site.source / "f", status=1)
    assert "f: permission denied" in done.stderr


def test_a_socket_is_not_announced(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(site.source)  # its path may be 107 bytes at most
        made.bind("s")
        done = site.run("sr_post", site.source, status=1)
    assert "s: neither file, directory nor link; skipped" in done.stderr


@pytest.mark.parametrize("blocks", [False, True], ids=["whole", "blocks"])
@pytest.mark.parametrize("change", ["vanishes", "changes"])
def test_a_file_that_changed_after_it_was_announced_is_not_sent(
    site: Site, change: str, *, blocks: bool
) -> None:
    file = site.source / "f"
    file.write_bytes(os.urandom(300_000))
    site.run("sr_post", "--block-size", "100k" if blocks else "0", file)
    if change == "vanishes":
        file.unlink()
    else:
        file.write_bytes(os.urandom(300_000))
    site.drain(status=1)
    assert list(site.dest.iterdir()) == []
    [report] = [r for r in site.reports() if "block" not in r]
    assert report["code"] in ((499, 410) if blocks else (410,))


def test_a_file_that_changes_while_it_is_sent_is_never_mixed(site: Site) -> None:
    """Blocks of two versions never make a file: it is one of them, or it is not there."""
    file = site.source / "f"
    old, new = b"o" * 8_000_000, b"n" * 8_000_000
    file.write_bytes(old)
    site.run("sr_post", "--block-size", "100k", file)
    with site.running("sr_sender", "--connections", "1") as sender:
        wait_until(lambda: any(site.dest.iterdir()))
        file.write_bytes(new)
        site.run("sr_post", "--wait", "--block-size", "100k", file)
        sender.terminate()
        sender.wait()
    assert (site.dest / "f").read_bytes() == new
    assert site.leftovers() == []


# Announcements.

BAD_BODIES = [
    b"",
    b"garbage",
    b"\xff\xfe\x00",
    b"[1, 2]",
    b'{"pubTime": 1}',
    b'{"pubTime":"20260101T000000","baseUrl":"file:/","relPath":"x","size":"many"}',
    b'{"pubTime":"20260101T000000","baseUrl":"file:/","relPath":"x","size":-1}',
    b'{"pubTime":"20260101T000000","baseUrl":"file:/","relPath":7}',
    b'{"pubTime":"20260101T000000","baseUrl":"file:/","relPath":"a\\u0000b"}',
    b'{"pubTime":"yesterday","baseUrl":"file:/","relPath":"x"}',
    b'{"pubTime":"20260101T000000","baseUrl":"file:/","relPath":"x","blocks":{"size":0}}',
    b'{"pubTime":"20260101T000000","baseUrl":"https://h/","relPath":"x"}',
    b"[" * 100_000,
    b"20260101000000.1 file:/ x y z",
]


def test_poisoned_messages_are_reported_and_stop_nobody(site: Site) -> None:
    (site.source / "good").write_text("x")
    site.run("sr_sender", "--declare")
    with site.rabbit.channel(site.user, site.password) as channel:
        for body in BAD_BODIES:
            channel.basic_publish(site.exchange, "v03.post", body)
    site.run("sr_post", site.source / "good")
    site.drain(status=1)
    reports = site.reports()
    assert [r["code"] for r in reports].count(417) == len(BAD_BODIES)
    assert site.codes()["good"] == [201]
    assert site.queued() == 0


def test_a_body_of_100_MB_is_refused(site: Site) -> None:
    site.run("sr_sender", "--declare")
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.basic_publish(site.exchange, "v03.post", b"[" + b" " * 100_000_000 + b"]")
    site.drain(status=1)
    [report] = site.reports()
    assert report["code"] == 417
    assert "at most" in report["message"]


def test_an_announcement_that_someone_else_forged_is_refused(site: Site) -> None:
    """Somebody who may write to the exchange announces a file under his own name."""
    (site.source / "f").write_text("x")
    site.run("sr_sender", "--declare")
    site.rabbit.add_users(User("mallory", "pw", write=".*"))
    body = json.dumps(
        {"pubTime": "20260101T000000", "baseUrl": f"file:{site.source}", "relPath": "f"}
    ).encode()
    _publish_as(site, "mallory", "pw", body)
    site.drain(status=1)
    [report] = site.reports()
    assert report["code"] == 403
    assert "announced by mallory" in report["message"]
    assert list(site.dest.iterdir()) == []


def test_a_colleague_whom_the_configuration_names_may_announce(site: Site) -> None:
    site.configure("sender", 'acceptUsers = ["colleague"]\n')
    (site.source / "f").write_text("x")
    site.run("sr_sender", "--declare")
    site.rabbit.add_users(User("colleague", "pw", write=".*"))
    body = {"pubTime": "20260101T000000", "baseUrl": f"file:{site.source}", "relPath": "f"}
    _publish_as(site, "colleague", "pw", json.dumps(body).encode())
    site.drain()
    assert (site.dest / "f").exists()


def _publish_as(site: Site, user: str, password: str, body: bytes) -> None:
    import pika  # noqa: PLC0415

    with site.rabbit.channel(user, password) as channel:
        properties = pika.BasicProperties(user_id=user, content_type="application/json")
        channel.confirm_delivery()
        channel.basic_publish(site.exchange, "v03.post", body, properties)


# The destination.


def test_a_destination_that_is_read_only_fails_at_once(site: Site) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    with small_disk(site.dest, 1_000_000):
        remount_read_only(site.dest)
        site.drain(status=1)
    [report] = site.reports()
    assert (report["code"], report["message"]) == (403, "destination: read-only file system")


def test_a_destination_that_takes_no_more_files_is_tried_again_slowly(site: Site) -> None:
    """As over a quota of names: there is room for bytes, and for no file."""
    for number in range(40):
        (site.source / f"{number}").write_text("x")
    site.run("sr_post", site.source)
    with small_disk(site.dest, 10_000_000, names=20):
        site.drain(status=75)
        retried = [r for r in site.reports() if r["code"] == 507]
        assert retried
        assert all(r["willRetry"] for r in retried)
    site.drain()
    assert set(site.codes()) == {f"{number}" for number in range(40)}
    assert site.queued() == 0


def test_a_file_where_a_directory_should_be_is_told(site: Site) -> None:
    (site.source / "f").write_text("x")
    (site.dest / "way").write_text("y")
    site.run("sr_post", site.source / "f")
    site.drain("--directory", site.dest / "way", status=1)
    [report] = site.reports()
    assert report["code"] == 409
    assert "way is in the way" in report["message"]
