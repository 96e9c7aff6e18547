"""Sending through the ssh program and through paramiko, with the same results."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import wait_until
from tests.lab.trees import same, write_tree

if TYPE_CHECKING:
    from tests.lab.site import Site

MIB = 1024 * 1024

pytestmark = pytest.mark.parametrize("stream", ["ssh", "paramiko"])


def test_a_tree_with_blocks_arrives_unchanged(site: Site, stream: str) -> None:
    write_tree(site.source)
    site.run("sr_post", "--block-size", "1M", site.source)
    site.drain("--stream", stream)
    assert same(site.source, site.dest)
    assert site.leftovers() == []


def test_hundreds_of_small_files_are_sent_by_one_connection(site: Site, stream: str) -> None:
    for number in range(600):
        (site.source / f"{number}").write_bytes(os.urandom(number))
    site.run("sr_post", site.source)
    done = site.drain("--stream", stream, "--connections", 1)
    assert same(site.source, site.dest)
    assert "600 arrived, 0 failed" in done.stderr


def test_large_and_small_files_share_a_connection(site: Site, stream: str) -> None:
    (site.source / "large").write_bytes(os.urandom(40 * MIB))
    for number in range(100):
        (site.source / f"{number}").write_bytes(os.urandom(10_000))
    site.run("sr_post", site.source)
    site.drain("--stream", stream, "--connections", 1)
    assert same(site.source, site.dest)


def test_no_file_is_lost_when_the_server_drops_the_connection(site: Site, stream: str) -> None:
    for number in range(400):
        (site.source / f"{number}").write_bytes(os.urandom(100_000))
    site.run("sr_post", site.source)
    with site.running("sr_sender", "--stream", stream, "--limit", "20Mi") as sender:
        wait_until(lambda: len(list(site.dest.glob("[0-9]*"))) > 50, tell=sender.said)
        site.sshd.drop_sessions()
        wait_until(lambda: len(list(site.dest.glob("[0-9]*"))) == 400, tell=sender.said)
        site.run("sr_post", "--wait", site.source / "0")
    assert same(site.source, site.dest)
    assert site.leftovers() == []
    assert len(site.codes()) == 400


def test_files_are_sent_with_verify_and_fsync(site: Site, stream: str) -> None:
    (site.source / "large").write_bytes(os.urandom(5 * MIB))
    (site.source / "small").write_bytes(os.urandom(100))
    (site.source / "empty").touch()
    site.run("sr_post", "--block-size", "2M", site.source)
    site.drain("--stream", stream, "--verify", "--fsync")
    assert same(site.source, site.dest)
    assert set(map(tuple, site.codes().values())) == {(201,)}


def test_the_rate_limit_is_not_exceeded(site: Site, stream: str) -> None:
    for number in range(3):
        (site.source / f"{number}").write_bytes(os.urandom(MIB))
    site.run("sr_post", site.source)
    start = time.monotonic()
    site.drain("--stream", stream, "--limit", "1Mi")
    assert time.monotonic() - start > 2.5
    assert same(site.source, site.dest)
