"""Lanes: what becomes of one that cannot work."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import pytest

from sarra_lite.job import Job
from sarra_lite.lanes import Done, Down, Fatal, Lanes, wanted
from sarra_lite.limit import Limit
from sarra_lite.message import Announcement

if TYPE_CHECKING:
    from sarra_lite.sftp import Connection


@pytest.mark.parametrize(
    ("milliseconds", "count"), [(0, 2), (0.2, 2), (10, 2), (20, 3), (50, 4), (100, 7), (500, 8)]
)
def test_the_farther_the_destination_the_more_connections(milliseconds: float, count: int) -> None:
    assert wanted(milliseconds / 1000) == count


def test_a_lane_that_breaks_says_so_instead_of_ending_silently() -> None:
    def broken() -> Connection:
        raise FileNotFoundError("no usable temporary directory")

    told: queue.SimpleQueue[Done | Down | Fatal] = queue.SimpleQueue()
    lanes = Lanes(1, broken, Limit(0), told.put, lambda _count: None)
    announcement = Announcement(pub_time="20261125T000000", base_url="file:", rel_path="a")
    lanes.submit(Job(announcement, "/a", "a"))
    event = told.get(timeout=5)
    lanes.close(1.0)
    assert isinstance(event, Fatal)
    assert "temporary" in str(event.error)
