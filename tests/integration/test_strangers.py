"""Announcements of other users: they reach nothing outside the directories that are meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pika
import pytest

from tests.lab.rabbitmq import User
from tests.lab.site import ALL_EVENTS, Site

if TYPE_CHECKING:
    from pathlib import Path

# The kinds of names that a symbolic link to the outside may be part of.
THROUGH_A_LINK = (
    {"relPath": "out/f"},
    {"relPath": "out/sub", "fileOp": {"directory": ""}},
    {"relPath": "out", "fileOp": {"directory": ""}, "mode": "700"},
    {"relPath": "out/l", "fileOp": {"link": "f"}},
    {"relPath": "out/kept", "fileOp": {"remove": ""}},
    {"relPath": "f", "fileOp": {"rename": "/out/kept"}},
    {"relPath": "out/f", "fileOp": {"rename": "/a"}},
    {"relPath": "chain/f"},
    {"relPath": "dangling/f"},
    {"relPath": "home/f"},
)


@pytest.fixture
def others(site: Site) -> Site:
    """A site whose sender sends also for colleague, who may write to its exchange."""
    options = f'acceptUsers = ["colleague"]\nbaseDir = "{site.source}"\nconnections = 1\n'
    site.configure("sender", options + ALL_EVENTS)
    site.run("sr_sender", "--declare")
    site.rabbit.add_users(User("colleague", "pw", write=".*"))
    return site


def publish(site: Site, *announcements: dict[str, Any], proven: bool = True) -> None:
    """Announce as colleague; all announcements are on different files of today."""
    with site.rabbit.channel("colleague", "pw") as channel:
        channel.confirm_delivery()
        properties = pika.BasicProperties(
            user_id="colleague" if proven else None, content_type="application/json"
        )
        for number, fields in enumerate(announcements):
            body = {"pubTime": f"20261127T000000.{number + 1}", "baseUrl": "file:/", **fields}
            channel.basic_publish(site.exchange, "v03.post", json.dumps(body).encode(), properties)


def reasons(site: Site) -> list[str]:
    return [f"{report['code']} {report['message']}" for report in site.reports()]


def tree(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): path.read_text() if path.is_file() else ""
        for path in directory.rglob("*")
    }


def test_who_leaves_his_name_out_is_refused(others: Site) -> None:
    (others.source / "f").write_text("f")
    publish(others, {"relPath": "f"}, proven=False)
    others.drain(status=1)
    assert reasons(others) == ["403 announcement without a proven author (no user_id)"]
    assert list(others.dest.iterdir()) == []


def test_the_report_names_the_proven_author(others: Site) -> None:
    (others.source / "f").write_text("f")
    publish(others, {"relPath": "f", "source": "mallory"}, {"relPath": "../f", "source": "mallory"})
    others.drain(status=1)
    assert {report["source"] for report in others.reports()} == {"colleague"}


def test_acceptUsers_needs_baseDir(site: Site) -> None:
    site.configure("sender", 'acceptUsers = ["colleague"]\n')
    done = site.run("sr_sender", "--declare", status=78)
    assert "default.toml: acceptUsers: needs baseDir" in done.stderr


@pytest.mark.parametrize("target", ["/", "..", "../outside", "d/../../outside", ".ssh", "/etc/x"])
def test_a_link_to_the_outside_is_not_made_for_others(others: Site, target: str) -> None:
    publish(others, {"relPath": "l", "fileOp": {"link": target}})
    others.drain(status=1)
    (reason,) = reasons(others)
    assert reason.startswith("403 ")
    assert list(others.dest.iterdir()) == []


def test_nothing_is_written_through_a_link_to_the_outside(others: Site, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("kept")
    before = tree(outside)
    for name in ("f", "a"):
        (others.source / name).write_text(name)
    for name in ("out", "chain", "dangling", "home"):
        (others.source / name).mkdir()
        (others.source / name / "f").write_text("f")
    (others.dest / "a").write_text("a")
    (others.dest / "out").symlink_to(outside)
    (others.dest / "chain").symlink_to("out")
    (others.dest / "dangling").symlink_to(tmp_path / "nowhere")
    (others.dest / "keys").mkdir()
    (others.dest / "keys" / ".ssh").mkdir()
    (others.dest / "home").symlink_to("keys/.ssh")
    publish(others, *THROUGH_A_LINK)
    others.drain(status=1)
    assert tree(outside) == before
    assert outside.stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "nowhere").exists()
    assert list((others.dest / "keys" / ".ssh").iterdir()) == []
    assert [reason[:3] for reason in reasons(others)] == ["403"] * len(THROUGH_A_LINK)


def test_links_inside_the_directory_are_followed(others: Site) -> None:
    (others.source / "d").mkdir()
    (others.source / "d" / "f").write_text("f")
    (others.source / "l").symlink_to("d")
    directory = {"relPath": "d", "fileOp": {"directory": ""}}
    link = {"relPath": "l", "fileOp": {"link": "d"}}
    for announcement in (directory, link, {"relPath": "l/f"}):
        publish(others, announcement)
        others.drain()
    assert (others.dest / "d" / "f").read_text() == "f"
    assert (others.dest / "l").is_symlink()


@pytest.mark.parametrize(
    "name", [".f.0123abcd.inflight", ".f.0123abcd.blocks/1", ".f.0123abcd.gone.blocks/1"]
)
def test_others_announce_no_names_of_the_senders_own_files(others: Site, name: str) -> None:
    publish(others, {"relPath": name, "fileOp": {"link": "g"}})
    others.drain(status=1)
    assert reasons(others)[0].endswith("is a name of the sender's own files")


def test_no_file_outside_baseDir_is_sent_for_others(others: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "beside").mkdir()
    (others.source / ".ssh").mkdir()
    (others.source / ".ssh" / "id").write_text("secret")
    (others.source / "link").symlink_to(secret)
    (others.source / "up").symlink_to(tmp_path)
    (others.source / "key").symlink_to(".ssh/id")
    names = ("link", "up/secret", "key", ".ssh/id")
    publish(others, *({"relPath": name, "size": 6} for name in names))
    others.drain(status=1)
    assert [reason[:3] for reason in reasons(others)] == ["403"] * len(names)
    assert [path for path in others.dest.rglob("*") if path.is_file()] == []


def test_a_large_file_of_others_is_sent_whole(others: Site) -> None:
    """The announcements of its blocks would be those of the sender's own user."""
    (others.source / "f").write_bytes(b"1" * 5000)
    publish(others, {"relPath": "f", "size": 5000})
    others.drain("--block-size", "1000")
    assert others.codes(blocks=True) == {"f": [201]}


def test_keys_and_passwords_are_not_announced_without_the_word(site: Site) -> None:
    site.run("sr_sender", "--declare")
    (site.source / ".ssh").mkdir()
    for name in ("f", ".netrc", ".ssh/id", ".ssh/config"):
        (site.source / name).write_text("x")
    done = site.run("sr_post", site.source, status=1)
    assert site.queued() == 1
    assert done.stderr.count(f"{site.source}/.ssh: not announced") == 1
    assert "--private-files" in done.stderr
    site.run("sr_post", "--private-files", site.source)
    assert site.queued() == 1 + 5
    reject = ("--reject", ".*/([.]ssh|[.]netrc)")
    site.run("sr_post", *reject, site.source)
