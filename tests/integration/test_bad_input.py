"""Errors of users and bad messages of others: one clear line, an exit status, no lost message."""

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


def test_all_errors_of_a_configuration_are_shown_with_file_and_key(site: Site) -> None:
    file = site.configure("sender", 'blockSize = "many"\nprefech = 3\n')
    done = site.drain(status=78)
    first, second = done.stderr.splitlines()
    assert f"{file}: blockSize: not a size like 64Mi" in first
    assert f"{file}: prefech: unknown key; did you mean prefetch?" in second


def test_missing_credentials_are_reported_with_the_line_to_add(site: Site) -> None:
    site.credentials.unlink()
    line = _one_line(site.run("sr_post", site.source, status=78).stderr)
    assert f"{site.credentials}: no password for {site.broker}" in line
    assert site.user + ":PASSWORD@" in line


def test_credentials_that_others_may_read_are_refused(site: Site) -> None:
    site.credentials.chmod(0o640)
    line = _one_line(site.run("sr_post", site.source, status=78).stderr)
    assert line.endswith(f"do: chmod 600 {site.credentials}")


def test_a_wrong_password_ends_the_program_without_a_retry(site: Site) -> None:
    _edit(site.credentials, site.password, "wrong")
    for program, arguments in (("sr_post", [site.source]), ("sr_sender", [])):
        line = _one_line(site.run(program, *arguments, status=77).stderr)
        assert "user or password refused by the broker" in line


def test_sr_post_gives_up_on_a_broker_that_does_not_answer(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for file in (site.config / "post" / "default.toml", site.credentials):
            _edit(file, f":{site.rabbit.port}/", f":{port}/")
        start = time.monotonic()
        site.run("sr_post", site.source, status=69)
        assert time.monotonic() - start < 20


def test_a_sender_waits_for_an_unreachable_broker_without_using_the_processor(site: Site) -> None:
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
def test_an_unknown_host_key_is_refused_with_the_command_that_adds_it(
    site: Site, stream: str
) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    site.known_hosts.write_text("")
    line = _one_line(site.drain("--stream", stream, status=78).stderr)
    assert "SHA256:" in line
    command = line[line.index("ssh-keyscan") :]
    assert os.system(f"{command} 2>/dev/null") == 0  # noqa: S605  as a user would run it
    site.drain("--stream", stream)
    assert (site.dest / "f").exists()


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_a_changed_host_key_is_refused(site: Site, stream: str) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    other_key = site.sshd.user_key.with_suffix(".pub").read_text()
    host = site.sshd.host_key_line.split()[0]
    site.known_hosts.write_text(f"{host} {other_key}")
    line = _one_line(site.drain("--stream", stream, status=78).stderr)
    assert "somebody may be in between" in line
    assert list(site.dest.iterdir()) == []


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_authorities_in_known_hosts_are_no_obstacle(site: Site, stream: str) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    host, key = site.sshd.host_key_line.split()[0], site.sshd.user_key.with_suffix(".pub")
    authority = f"@cert-authority {host} {key.read_text()}"
    site.known_hosts.write_text(f"# of the site\n\n{authority}{site.sshd.host_key_line}\n")
    site.drain("--stream", stream)
    assert (site.dest / "f").read_text() == "x"


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_the_next_key_of_a_host_may_be_in_known_hosts_beside_the_present_one(
    site: Site, stream: str
) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    host, key = site.sshd.host_key_line.split()[0], site.sshd.user_key.with_suffix(".pub")
    site.known_hosts.write_text(f"{site.sshd.host_key_line}\n{host} {key.read_text()}")
    site.drain("--stream", stream)
    assert (site.dest / "f").read_text() == "x"


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_a_host_key_that_is_revoked_is_refused(site: Site, stream: str) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    line = site.sshd.host_key_line
    site.known_hosts.write_text(f"{line}\n@revoked * {line.partition(' ')[2]}\n")
    assert site.drain("--stream", stream, status=78).stderr
    assert list(site.dest.iterdir()) == []


@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_a_user_key_that_the_host_refuses_is_reported(site: Site, stream: str) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    _edit(site.credentials, str(site.sshd.user_key), str(site.sshd.host_key))
    line = _one_line(site.drain("--stream", stream, status=77).stderr)
    assert site.sshd.url in line
    assert site.queued() == 1


def test_an_sftp_host_that_is_down_is_reported_and_no_announcement_is_lost(site: Site) -> None:
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


def test_a_missing_key_file_is_reported(site: Site) -> None:
    _edit(site.credentials, str(site.sshd.user_key), "/no/such/key")
    line = _one_line(site.drain(status=78).stderr)
    assert "ssh_keyfile" in line
    assert "/no/such/key" in line


# Files at the source.


def test_a_missing_path_fails_and_the_others_are_announced(site: Site) -> None:
    (site.source / "f").write_text("x")
    done = site.run("sr_post", site.source / "none", site.source / "f", status=1)
    assert "none: no such file or directory" in done.stderr
    assert "1 announced, 1 not" in done.stderr
    assert site.queued() == 1


def test_a_path_outside_the_base_directory_is_refused(site: Site) -> None:
    line = _one_line(site.run("sr_post", "/etc/hostname", status=2).stderr)
    assert f"not below baseDir {site.source}" in line


@pytest.mark.bound_by_modes
def test_an_unreadable_file_is_reported(site: Site) -> None:
    (site.source / "f").touch(mode=0)
    done = site.run("sr_post", site.source / "f", status=1)
    assert "f: permission denied" in done.stderr


def test_a_socket_is_not_announced(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as unix_socket:
        os.chdir(site.source)  # a socket's path is limited to 107 bytes
        unix_socket.bind("s")
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


def test_blocks_of_two_versions_are_never_mixed(site: Site) -> None:
    """The destination has one version or none, never a file with blocks of both."""
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


def test_malformed_announcements_are_reported_and_do_not_stop_the_sender(site: Site) -> None:
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


def test_a_message_body_of_100_MB_is_refused(site: Site) -> None:
    site.run("sr_sender", "--declare")
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.basic_publish(site.exchange, "v03.post", b"[" + b" " * 100_000_000 + b"]")
    site.drain(status=1)
    [report] = site.reports()
    assert report["code"] == 417
    assert "at most" in report["message"]


def test_an_announcement_of_another_user_is_refused(site: Site) -> None:
    """The other user may write to the exchange, and RabbitMQ verifies his user_id."""
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


def test_a_user_listed_in_acceptUsers_may_announce(site: Site) -> None:
    site.configure("sender", f'acceptUsers = ["colleague"]\nbaseDir = "{site.source}"\n')
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


def test_a_read_only_destination_fails_at_once(site: Site) -> None:
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    with small_disk(site.dest, 1_000_000):
        remount_read_only(site.dest)
        site.drain(status=1)
    [report] = site.reports()
    assert (report["code"], report["message"]) == (403, "destination: read-only file system")


def test_a_disk_that_fills_while_connections_share_blocks_is_a_report_without_a_trace(
    site: Site,
) -> None:
    mib = 1024 * 1024
    for number in range(3):
        (site.source / f"{number}").write_bytes(bytes(1) + os.urandom(24 * mib))
    site.run("sr_post", "--block-size", "16Mi", site.source)
    with small_disk(site.dest, 12 * mib):
        done = site.drain("--connections", "4", "--log-level", "debug", status=75)
    assert "Traceback" not in done.stderr
    assert {r["code"] for r in site.reports(blocks=True)} <= {206, 507}


def test_a_destination_without_free_inodes_is_retried_slowly(site: Site) -> None:
    """As with a quota of inodes: the disk has free bytes, but no file can be created."""
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


def test_a_file_in_place_of_a_directory_is_reported(site: Site) -> None:
    (site.source / "f").write_text("x")
    (site.dest / "way").write_text("y")
    site.run("sr_post", site.source / "f")
    site.drain("--directory", site.dest / "way", status=1)
    [report] = site.reports()
    assert report["code"] == 409
    assert "way is in the way" in report["message"]
