"""sr_post --watch and a sender keep the destination equal to the source directory."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import ALL_EVENTS, Running, Site, wait_until
from tests.lab.trees import listing, same, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def mirrored(site: Site) -> Iterator[Site]:
    """A site whose source is watched, and whose sender is running."""
    site.configure("sender", ALL_EVENTS)
    site.run("sr_sender", "--declare")
    with site.running("sr_sender"), _watch(site):
        yield site


def _watch(site: Site):  # type: ignore[no-untyped-def]  # noqa: ANN202  a context manager
    return site.running("sr_post", "--watch", "--mirror", "--settle", "0.5s", site.source)


def _wait_until_same(site: Site, seconds: float = 30) -> None:
    wait_until(
        lambda: listing(site.source) == listing(site.dest), seconds, lambda: _difference(site)
    )


def _difference(site: Site) -> str:
    source, dest = listing(site.source), listing(site.dest)
    return f"{dict(source.items() - dest.items())} != {dict(dest.items() - source.items())}"


def test_created_changed_renamed_and_removed_names_are_the_same_at_the_destination(
    mirrored: Site,
) -> None:
    site = mirrored
    write_tree(site.source)
    _wait_until_same(site)
    (site.source / "a" / "hello.txt").write_text("changed")
    (site.source / "a" / "b" / "empty").unlink()
    (site.source / "with blank").rename(site.source / "renamed")
    (site.source / "dangling").unlink()
    _wait_until_same(site)
    shutil.rmtree(site.source / "a")
    (site.source / "deep" / "er").mkdir(parents=True)
    (site.source / "deep" / "er" / "f").write_text("at once")
    _wait_until_same(site)
    assert site.leftovers() == []


def test_a_file_is_announced_only_when_it_is_complete(mirrored: Site) -> None:
    site = mirrored
    with (site.source / "slow").open("w") as file:
        for _ in range(8):
            file.write("x" * 1000)
            file.flush()
            time.sleep(0.25)
            assert not (site.dest / "slow").exists()
    _wait_until_same(site)
    assert site.codes()["slow"] == [201]


def test_a_file_that_is_written_while_its_directory_is_renamed_is_announced_when_complete(
    mirrored: Site,
) -> None:
    site = mirrored
    (site.source / "old").mkdir()
    _wait_until_same(site)
    with (site.source / "old" / "slow").open("w") as file:
        for number in range(8):
            file.write("x" * 1000)
            file.flush()
            if number == 2:
                (site.source / "old").rename(site.source / "new")
            time.sleep(0.25)
            assert not (site.dest / "new" / "slow").exists()
    _wait_until_same(site)
    assert site.codes()["new/slow"] == [201]


def test_a_directory_renamed_before_its_files_are_sent_arrives_with_all_of_them(site: Site) -> None:
    site.configure("sender", ALL_EVENTS)
    site.run("sr_sender", "--declare")
    (site.source / "old").mkdir()
    with _watch(site):
        for number in range(5):
            (site.source / "old" / f"{number}").write_text(f"{number}")
        wait_until(lambda: site.queued() >= 6)
        (site.source / "old").rename(site.source / "new")
        wait_until(lambda: site.queued() >= 7)
        with site.running("sr_sender"):
            _wait_until_same(site)


@pytest.mark.parametrize("stop_method", ["kill", "terminate"])
def test_after_a_restart_only_the_changes_since_are_announced(site: Site, stop_method: str) -> None:
    site.configure("sender", ALL_EVENTS)
    site.run("sr_sender", "--declare")
    for name in ("stays", "changes", "goes"):
        (site.source / name).write_text(name)
    with _watch(site) as post:
        wait_until(lambda: site.queued() == 3)
        time.sleep(1)  # until the announcements are confirmed and recorded
        getattr(post, stop_method)()
        post.wait(5)
    (site.source / "changes").write_text("other")
    (site.source / "goes").unlink()
    (site.source / "new").write_text("new")
    with _watch(site):
        wait_until(lambda: site.queued() == 6)
        (site.source / "last").touch()  # whatever else were announced would be so before it
        wait_until(lambda: site.queued() > 6)
        assert site.queued() == 7
    site.drain(status=None)
    assert same(site.source, site.dest)
    assert site.codes()["stays"] == [201]


def test_no_change_is_missed_when_the_broker_closes_connections(mirrored: Site) -> None:
    site = mirrored
    for number in range(20):
        (site.source / f"{number}").write_text(f"{number}")
        if number % 7 == 0:
            site.rabbit.close_all_connections()
        time.sleep(0.05)
    _wait_until_same(site)


def test_rules_apply_to_watched_files(site: Site) -> None:
    site.configure("sender", ALL_EVENTS)
    site.run("sr_sender", "--declare")
    site.configure("post", 'rules = [{ reject = ".*[.]raw$" }]\n')
    with site.running("sr_sender"), _watch(site):
        (site.source / "f.raw").write_text("not yet")
        (site.source / "marker").touch()  # completed later, so announced later
        wait_until((site.dest / "marker").exists)
        assert not (site.dest / "f.raw").exists()
        (site.source / "marker").unlink()
        (site.source / "f.raw").rename(site.source / "f")
        wait_until((site.dest / "f").exists)
        (site.source / "f").rename(site.source / "g.raw")
        wait_until(lambda: list(site.dest.iterdir()) == [])


def test_a_second_watcher_of_the_same_directory_is_refused(site: Site) -> None:
    with _watch(site) as first:
        ledgers = partial((site.directory / "state").rglob, "*.ledger")
        wait_until(lambda: list(ledgers()) or first.poll() is not None)
        done = site.run("sr_post", "--watch", site.source, status=78)
    assert "another sr_post --watch" in done.stderr


def test_an_idle_watcher_uses_no_processor_time(site: Site) -> None:
    write_tree(site.source)
    with _watch(site) as post:
        time.sleep(3)
        before = _cpu_seconds(post)
        time.sleep(3)
        assert _cpu_seconds(post) - before < 0.15


def _cpu_seconds(process: Running) -> float:
    assert process.poll() is None
    return process.cpu_seconds()


def test_a_file_whose_name_is_not_utf_8_is_sent(mirrored: Site) -> None:
    site = mirrored
    with open(os.fsencode(site.source) + b"/\xff\nname", "w") as file:  # noqa: PTH123  bytes
        file.write("x")
    _wait_until_same(site)
