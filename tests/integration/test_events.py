"""The option events: what is announced and what a sender does; nothing is removed by default."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import ALL_EVENTS, Site, wait_until
from tests.lab.trees import same

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.lab.site import Running


def watching(site: Site, *options: str) -> AbstractContextManager[Running]:
    return site.running("sr_post", "--watch", "--settle", "0.2s", *options, site.source)


def contents(site: Site) -> dict[str, str]:
    return {path.name: path.read_text() for path in site.dest.iterdir()}


def test_a_source_that_is_cleaned_keeps_its_copy_and_a_new_name_is_sent_beside_the_old(
    site: Site,
) -> None:
    for name in ("gone", "old"):
        (site.source / name).write_text(name)
    site.run("sr_sender", "--declare")
    with site.running("sr_sender"), watching(site):
        wait_until(lambda: len(contents(site)) == 2)
        (site.source / "gone").unlink()
        (site.source / "old").rename(site.source / "new")
        wait_until(lambda: "new" in contents(site))
        (site.source / "last").write_text("last")
        wait_until(lambda: "last" in contents(site))
    assert contents(site) == {"gone": "gone", "old": "old", "new": "old", "last": "last"}
    assert {code for codes in site.codes().values() for code in codes} == {201}


@pytest.mark.parametrize("flags", [["--mirror"], ["--events", "create", "--events", "remove"]])
def test_removals_need_the_word_of_both_sides(site: Site, flags: list[str]) -> None:
    (site.source / "gone").write_text("gone")
    site.run("sr_sender", "--declare")
    with watching(site, *flags):
        wait_until(lambda: site.queued() == 1)
        (site.source / "gone").unlink()
        wait_until(lambda: site.queued() == 2)
    site.run("sr_sender", "--drain", status=1)
    assert contents(site) == {}  # it was gone before it was sent
    assert 403 in site.codes()["gone"]


def test_a_removal_asked_for_by_hand_is_refused_by_a_sender_that_removes_nothing(
    site: Site,
) -> None:
    (site.source / "f").write_text("kept")
    site.run("sr_post", site.source / "f")
    site.drain()
    (site.source / "f").unlink()
    site.run("sr_post", "--remove", site.source / "f")
    site.drain(status=1)
    assert contents(site) == {"f": "kept"}
    assert site.codes() == {"f": [201, 403]}
    (report,) = [one for one in site.reports() if one["code"] == 403]
    assert report["message"] == "remove: not in events of configuration default"
    site.configure("sender", ALL_EVENTS)
    site.run("sr_post", "--remove", site.source / "f")
    site.drain()
    assert contents(site) == {}


def test_a_sender_that_only_creates_replaces_nothing(site: Site) -> None:
    site.configure("sender", 'events = ["create", "link"]\n')
    for name, size in (("small", 10), ("blocks", 3000)):
        (site.source / name).write_bytes(b"1" * size)
    (site.source / "link").symlink_to("one")
    split = ("sr_post", "--block-size", "1000", site.source)
    site.run(*split)
    site.drain()
    assert same(site.source, site.dest)
    site.run(*split)
    site.drain()  # what is there is what was announced: nothing to do
    for name, size in (("small", 11), ("blocks", 3001)):
        (site.source / name).write_bytes(b"2" * size)
    (site.source / "link").unlink()
    (site.source / "link").symlink_to("two")
    site.run(*split)
    site.drain(status=1)
    assert (site.dest / "small").read_bytes() == b"1" * 10
    assert (site.dest / "blocks").read_bytes() == b"1" * 3000
    assert (site.dest / "link").readlink().as_posix() == "one"
    codes = {name: set(codes) for name, codes in site.codes().items()}
    assert codes == {name: {201, 304, 403} for name in ("small", "blocks", "link")}
    assert site.leftovers() == []


def test_a_sender_that_only_modifies_creates_nothing(site: Site) -> None:
    site.configure("sender", 'events = ["modify"]\n')
    for name in ("new", "known"):
        (site.source / name).write_text(name)
    (site.dest / "known").write_text("before")
    site.run("sr_post", site.source / "new", site.source / "known")
    site.drain(status=1)
    assert contents(site) == {"known": "known"}


def test_a_sender_without_the_event_attributes_leaves_the_mode(site: Site) -> None:
    site.configure("sender", 'events = ["create", "modify"]\n')
    (site.source / "f").write_text("f")
    (site.source / "f").chmod(0o640)
    site.run("sr_post", site.source / "f")
    site.drain()
    (site.source / "f").chmod(0o600)
    site.run("sr_post", site.source / "f")
    site.drain()
    assert (site.dest / "f").stat().st_mode & 0o777 == 0o640
    assert site.codes() == {"f": [201, 304]}


def test_only_the_events_of_the_poster_are_announced(site: Site) -> None:
    """A change that is not announced is not made good later either."""
    site.run("sr_sender", "--declare")
    (site.source / "d").mkdir()
    (site.source / "link").symlink_to("f")
    with watching(site, "--events", "create", "--events", "attributes"):
        (site.source / "f").write_text("1")
        wait_until(lambda: site.queued() == 1)
        (site.source / "f").write_text("22")
        (site.source / "e").write_text("1")
        wait_until(lambda: site.queued() == 2)
        (site.source / "e").chmod(0o600)
        wait_until(lambda: site.queued() == 3)
    site.run("sr_post", "--events", "mkdir", site.source)
    with site.rabbit.channel() as channel:
        bodies = [channel.basic_get(site.queue, auto_ack=True)[2] for _ in range(5)]
    assert [json.loads(body)["relPath"] for body in bodies if body] == ["f", "e", "e", "d"]


def test_an_event_that_there_is_not_is_named(site: Site) -> None:
    done = site.run("sr_post", "--events", "delete", site.source, status=78)
    assert "--events: no event: delete; the events are create, modify," in done.stderr
