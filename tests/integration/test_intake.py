"""How many announcements a sender takes while the SFTP server does nothing with them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.site import Site

FEW = 32  # 16 for each of two connections


@pytest.fixture
def frozen(site: Site) -> Iterator[Site]:
    """A site whose SFTP server does not answer."""
    site.run("sr_sender", "--declare")
    site.sshd.freeze()
    yield site
    site.sshd.thaw()


def make(site: Site, name: str, count: int, size: int) -> None:
    for number in range(count):
        path = site.source / f"{name}{number}"
        path.touch()
        os.truncate(path, size)


def test_large_ones_are_left_for_other_senders(frozen: Site) -> None:
    make(frozen, "large", 60, 1024 * 1024)
    frozen.run("sr_post", frozen.source)
    with frozen.running("sr_sender"):
        wait_until(lambda: frozen.queued() == 60 - FEW, tell=lambda: str(frozen.queued()))


def test_small_ones_are_taken_in_numbers_and_each_is_reported_once(frozen: Site) -> None:
    make(frozen, "small", 500, 10)
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


def test_few_are_taken_again_when_large_ones_come(frozen: Site) -> None:
    frozen.sshd.thaw()
    make(frozen, "small", 200, 10)
    with frozen.running("sr_sender"):
        frozen.run("sr_post", "--wait", frozen.source)
        frozen.sshd.freeze()
        make(frozen, "large", FEW, 1024 * 1024)
        frozen.run("sr_post", *frozen.source.glob("large*"))
        wait_until(lambda: frozen.queued() == 0, tell=lambda: str(frozen.queued()))
        make(frozen, "later", 50, 1024 * 1024)
        frozen.run("sr_post", *frozen.source.glob("later*"))
        time.sleep(1)
        # Those taken before do not count for the broker.
        assert frozen.queued() >= 50 - FEW
