"""Files are announced, sent and reported; sr_post, sr_sender and sr_log are run as programs."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import ALL_EVENTS, Site
from tests.lab.trees import same, write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.sshd import Sshd

ODD_NAMES = [
    b"with blank",
    b"#hash *star%20",
    "Übermaß-été-文件".encode(),
    b"new\nline",
    b"tab\tand\x1bescape",
    b"quote\"and'",
    b"not-utf8-\xff\xfe",
    b"$(touch x) `y` \\back",
    b"-rf",
    b"n" * 255,
]


def test_a_tree_arrives_unchanged_and_every_name_is_reported_once(site: Site) -> None:
    write_tree(site.source)
    site.run("sr_post", site.source)
    site.drain()
    assert same(site.source, site.dest)
    assert site.leftovers() == []
    assert set(map(tuple, site.codes().values())) == {(201,)}
    assert site.queued() == 0


def test_sr_post_wait_returns_when_the_file_has_arrived(site: Site) -> None:
    (site.source / "f").write_text("x")
    with site.running("sr_sender"):
        site.run("sr_post", "--wait", site.source / "f")
        assert (site.dest / "f").read_text() == "x"


def test_sr_post_wait_exits_with_1_when_a_file_failed(site: Site) -> None:
    (site.source / "f").write_text("x")
    (site.dest / "f").mkdir()
    with site.running("sr_sender"):
        done = site.run("sr_post", "--wait", site.source / "f", status=1)
    assert "f: a directory is in the way at the destination (409)" in done.stderr


def test_sr_post_wait_ends_at_the_timeout(site: Site) -> None:
    (site.source / "f").write_text("x")
    done = site.run("sr_post", "--wait", "--timeout", "1s", site.source / "f", status=75)
    assert "1 not reported in time" in done.stderr


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name[:20]))
def test_a_name_of_any_bytes_arrives_unchanged(site: Site, name: bytes) -> None:
    directory = os.fsencode(site.source) + b"/in " + name[:200]
    os.mkdir(directory)  # noqa: PTH102  bytes
    with open(directory + b"/" + name, "wb") as file:  # noqa: PTH123  bytes
        file.write(name)
    site.run("sr_post", site.source)
    site.drain()
    assert same(site.source, site.dest)
    done = site.run("sr_log", "--broker", site.broker)
    assert len(done.stdout.splitlines()) == 2


def test_sr_post_reads_names_from_find_print0(site: Site) -> None:
    (site.source / "a\nb").write_text("1")
    (site.source / "c").write_text("2")
    names = b"\0".join(os.fsencode(path) for path in site.source.iterdir()) + b"\0"
    site.run("sr_post", "-0", "-", input=names.decode())
    site.drain()
    assert same(site.source, site.dest)


def test_a_large_file_arrives_in_blocks_and_is_reported_once(site: Site) -> None:
    big = site.source / "big"
    big.write_bytes(os.urandom(2_500_000))
    site.run("sr_post", "--block-size", "1M", big)
    site.drain()
    assert same(site.source, site.dest)
    reports = site.reports(blocks=True)
    assert sorted(r["code"] for r in reports) == [201, 206, 206, 206]
    assert site.leftovers() == []


def test_the_duration_of_a_file_in_blocks_depends_on_no_other_hosts_clock(site: Site) -> None:
    (site.source / "big").write_bytes(os.urandom(250_000))
    site.run("sr_post", "--block-size", "100k", site.source / "big")
    with site.rabbit.channel() as channel:
        for _ in range(4):
            _, _, body = channel.basic_get(site.queue, auto_ack=True)
            fields = json.loads(body or b"") | {"pubTime": "20200101T000000"}
            channel.basic_publish("", site.queue, json.dumps(fields).encode())
    site.drain()
    [report] = site.reports()
    assert report["code"] == 201
    assert 0 < report["seconds"] < 60
    assert report["rate"] > 0


def test_several_senders_share_the_blocks_of_one_file(site: Site) -> None:
    big = site.source / "big"
    big.write_bytes(os.urandom(12_000_000))
    with (
        site.running("sr_sender", "--prefetch", "2", "--connections", "1"),
        site.running("sr_sender", "--prefetch", "2", "--connections", "1"),
    ):
        site.run("sr_post", "--wait", "--block-size", "100k", big)
    assert same(site.source, site.dest)
    reports = site.reports(blocks=True)
    assert [r["code"] for r in reports if "block" not in r] == [201]
    assert len({r["instance"] for r in reports}) == 2
    assert site.leftovers() == []


def test_a_large_file_announced_whole_is_sent_in_blocks(site: Site) -> None:
    big = site.source / "big"
    big.write_bytes(os.urandom(2_500_000))
    site.run("sr_post", "--block-size", "1", big)  # one announcement for the whole file
    site.drain("--block-size", "1M")
    assert same(site.source, site.dest)
    assert sorted(r["code"] for r in site.reports(blocks=True)) == [201, 206, 206, 206]


def test_files_with_equal_content_at_the_destination_are_not_sent_again(site: Site) -> None:
    write_tree(site.source)
    site.run("sr_post", site.source)
    site.drain()
    site.run("sr_post", site.source)
    done = site.drain()
    assert "0 B moved" in done.stderr
    assert set(map(tuple, site.codes().values())) == {(201, 304)}


def test_a_file_that_differs_within_the_same_second_is_sent_again(site: Site) -> None:
    file = site.source / "f"
    file.write_text("one")
    os.utime(file, ns=(0, 5_000_000_000))
    site.run("sr_post", file)
    site.drain()
    file.write_text("two")
    os.utime(file, ns=(0, 5_500_000_000))
    site.run("sr_post", file)
    site.drain()
    assert (site.dest / "f").read_text() == "two"


def test_a_rename_a_removal_and_an_update_are_applied_at_the_destination(site: Site) -> None:
    for name in ("old", "gone", "kept"):
        (site.source / name).write_text(name)
    (site.source / "dir").mkdir()
    site.configure("sender", ALL_EVENTS)
    site.run("sr_post", site.source)
    site.drain()
    (site.source / "old").rename(site.source / "new")
    (site.source / "gone").unlink()
    (site.source / "dir").rmdir()
    (site.source / "kept").write_text("changed")
    site.run("sr_post", "--renamed-from", site.source / "old", site.source / "new")
    site.run("sr_post", "--remove", site.source / "gone", f"{site.source}/dir/")
    site.run("sr_post", site.source / "kept")
    site.drain()
    assert same(site.source, site.dest)


def test_rules_select_files_and_their_directories(site: Site) -> None:
    site.configure(
        "sender",
        f"""
        rules = [
          {{ reject = ".*[.]tmp$" }},
          {{ accept = ".*/([a-z]+)[.]dat$", directory = "{site.dest}/${{0}}", mirror = false }},
        ]
        acceptUnmatched = false
        """,
    )
    (site.source / "deep").mkdir()
    for name in ("x.tmp", "deep/sun.dat", "other"):
        (site.source / name).write_text(name)
    site.run("sr_post", site.source)
    site.drain(status=1)
    assert [p.relative_to(site.dest).as_posix() for p in site.dest.rglob("*.*")] == ["sun/sun.dat"]
    assert site.codes() == {"x.tmp": [404], "deep": [404], "deep/sun.dat": [201], "other": [404]}


def test_programs_connect_to_the_broker_by_tls(rabbit: Rabbit, sshd: Sshd, tmp_path: Path) -> None:
    site = Site(rabbit, sshd, tmp_path / "site", tls=True)
    (site.source / "f").write_text("x")
    site.run("sr_post", site.source / "f")
    site.drain()
    assert site.codes() == {"f": [201]}


def test_an_untrusted_certificate_of_the_broker_is_refused(
    rabbit: Rabbit, sshd: Sshd, tmp_path: Path
) -> None:
    site = Site(rabbit, sshd, tmp_path / "site", tls=True)
    site.configure("post")  # without tlsCaFile
    done = site.run("sr_post", site.source, status=77)
    assert "certificate" in done.stderr


@pytest.mark.parametrize("program", ["sr_post", "sr_sender", "sr_log"])
def test_a_certificate_for_another_name_of_the_broker_is_refused(
    rabbit: Rabbit, sshd: Sshd, tmp_path: Path, program: str
) -> None:
    """127.1 is an address of the broker, too, but its certificate has 127.0.0.1 only."""
    site = Site(rabbit, sshd, tmp_path / "site", tls=True)
    other = site.broker.replace("127.0.0.1", "127.1")
    with site.credentials.open("a") as file:
        file.write(rabbit.url(site.user, site.password, tls=True).replace("127.0.0.1", "127.1"))
    arguments: dict[str, list[object]] = {"sr_post": [site.source], "sr_sender": ["--drain"]}
    trust = ("--broker", other, "--tls-ca-file", rabbit.ca_file)
    done = site.run(program, *trust, *arguments.get(program, []), status=77)
    assert "certificate" in done.stderr
    assert "127.1" in done.stderr


def test_options_replace_the_configuration_files(site: Site) -> None:
    (site.source / "f").write_text("x")
    for component in ("post", "sender"):
        (site.config / component / "default.toml").unlink()
    broker = ["--broker", site.broker, "--queue-name", site.queue]
    site.run("sr_post", *broker, "--base-url", f"file:{site.source}", site.source / "f")
    destination = ["--send-to", site.sshd.url, "--directory", site.dest]
    site.run("sr_sender", "--drain", *broker, *destination, "--known-hosts", site.known_hosts)
    assert same(site.source, site.dest)


def test_an_idle_sender_delivers_within_half_a_second(site: Site) -> None:
    site.run("sr_sender", "--declare")
    with site.running("sr_sender", "-v") as sender:
        sender.wait_for("ready")
        seconds = []
        for number in range(3):
            file = site.source / f"f{number}"
            file.write_text("x")
            site.run("sr_post", "--wait", file)
            [report] = [r for r in site.reports() if r["relPath"] == file.name]
            seconds.append(_seconds(report["timeCompleted"]) - _seconds(report["pubTime"]))
    assert sorted(seconds)[1] < 0.5


def _seconds(text: str) -> float:
    whole, _, fraction = text.partition(".")
    return time.mktime(time.strptime(whole, "%Y%m%dT%H%M%S")) + float(f"0.{fraction}")
