"""What --tidy finds, at a server whose clock is another than ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sarra_lite.delivery import tidy
from tests.lab.disk import Connection, Disk, Node
from tests.lab.scripted import logged_in

if TYPE_CHECKING:
    from sarra_lite.delivery.tidy import Leftover

DAY = 86400
STAGING = b"d/.f.0123abcd.inflight"


def found(disk: Disk) -> list[Leftover]:
    """Return what was not written for a week."""

    async def find() -> list[Leftover]:
        async with logged_in(Connection(disk)) as (client, _):
            return [one async for one in tidy.find(client, "d", 7 * DAY)]

    return asyncio.run(find())


@pytest.fixture
def disk() -> Disk:
    disk = Disk()
    disk.mkdir(b"d", 0o755)
    return disk


@pytest.mark.parametrize("now", [1_000_000_000, 4_000_000_000])
def test_the_age_is_by_the_clock_of_the_server(disk: Disk, now: int) -> None:
    disk.now = now
    disk.nodes[STAGING] = Node(0o100600, now - 6 * DAY)
    assert found(disk) == []
    disk.now += 2 * DAY
    assert [(one.stem, one.age) for one in found(disk)] == [("d/.f.0123abcd", 8 * DAY)]


def test_reading_the_clock_leaves_nothing(disk: Disk) -> None:
    disk.nodes[STAGING] = Node(0o100600, disk.now - 8 * DAY)
    found(disk)
    assert disk.nodes.keys() == {b"d", STAGING}
