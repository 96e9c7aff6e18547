"""Prefetch: how many announcements a sender takes while the SFTP server does not answer."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.site import Site

MINIMUM = 32  # 16 for each of two connections


@pytest.fixture
def frozen(site: Site) -> Iterator[Site]:
    """A site whose SFTP server does not answer."""
    site.run("sr_sender", "--declare")
    site.sshd.freeze()
    yield site
    site.sshd.thaw()


def write_sparse_files(site: Site, name: str, count: int, size: int) -> None:
    for number in range(count):
        path = site.source / f"{name}{number}"
        path.touch()
        os.truncate(path, size)


def test_a_sender_takes_few_large_files(frozen: Site) -> None:
    write_sparse_files(frozen, "large", 60, 1024 * 1024)
    frozen.run("sr_post", frozen.source)
    with frozen.running("sr_sender"):
        wait_until(lambda: frozen.queued() == 60 - MINIMUM, tell=lambda: str(frozen.queued()))


def test_a_sender_takes_many_small_files_and_reports_each_once(frozen: Site) -> None:
    write_sparse_files(frozen, "small", 500, 10)
    frozen.run("sr_post", frozen.source)
    with frozen.running("sr_sender") as sender:
        wait_until(lambda: frozen.queued() == 0, tell=lambda: str(frozen.queued()))
        frozen.sshd.thaw()
        frozen.run("sr_post", "--wait", frozen.source / "small0")
        sender.terminate()
        sender.wait()
    frozen.drain()
    codes = frozen.codes()
    assert len([name for name in codes if "small" in name]) == 500
    assert all(each[0] == 201 for each in codes.values()), codes


def test_a_sender_takes_few_files_again_after_large_ones_arrive(frozen: Site) -> None:
    frozen.sshd.thaw()
    write_sparse_files(frozen, "small", 200, 10)
    with frozen.running("sr_sender"):
        frozen.run("sr_post", "--wait", frozen.source)
        frozen.sshd.freeze()
        write_sparse_files(frozen, "large", MINIMUM, 1024 * 1024)
        frozen.run("sr_post", *frozen.source.glob("large*"))
        wait_until(lambda: frozen.queued() == 0, tell=lambda: str(frozen.queued()))
        time.sleep(1)  # it is changed while nothing is on its way
        write_sparse_files(frozen, "later", 50, 1024 * 1024)
        frozen.run("sr_post", *frozen.source.glob("later*"))
        time.sleep(1)
        # Changing the prefetch starts a new consumer, whose limit does not count the messages that
        # the earlier one took.
        assert frozen.queued() >= 50 - MINIMUM
