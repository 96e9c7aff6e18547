"""Sending to a distant server, with a round trip of 50 ms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.lab.distance import Distance
from tests.lab.trees import same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.site import Site

MIB = 1024 * 1024


@pytest.fixture
def distance(site: Site) -> Iterator[Distance]:
    """A relay with delay to the SFTP server, which the site's configuration uses."""
    with Distance(site.sshd.address, site.sshd.port, 0.05) as relay:
        site.lead_to(relay.port)
        yield relay


def test_more_connections_are_opened_than_to_a_near_server(site: Site, distance: Distance) -> None:
    (site.source / "large").write_bytes(os.urandom(60 * MIB))
    site.run("sr_post", "--block-size", "4M", site.source)
    site.drain()
    assert same(site.source, site.dest)
    assert distance.connections > 2


def test_small_files_do_not_wait_for_each_other(site: Site, distance: Distance) -> None:
    """One at a time they would take two minutes, which exceeds the timeout of the test."""
    for number in range(600):
        (site.source / f"{number}").write_bytes(os.urandom(1000))
    site.run("sr_post", site.source)
    site.drain("--connections", 1, timeout=60)
    assert same(site.source, site.dest)
    assert distance.connections == 1


def test_a_slow_connection_does_not_delay_a_file(site: Site, distance: Distance) -> None:
    distance.first_connection_rate = 2 * MIB
    (site.source / "large").write_bytes(os.urandom(64 * MIB))
    site.run("sr_post", "--block-size", "32M", site.source)
    site.drain("--connections", 2)
    assert same(site.source, site.dest)
    slow, fast = distance.sent_bytes
    assert slow < 16 * MIB, "it sent its block nearly alone"
    assert fast > 48 * MIB
