"""A GlusterFS volume that is not as the inventory says is told, not passed over."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.lab.plugins import load

volume = load("roles/shared_fs/library/gluster_volume.py")


def info(*servers: str, arbiters: int = 0) -> ET.Element:
    """Return a volume as ``gluster --xml volume info`` tells it."""
    bricks = "".join(
        f'<brick uuid="1">{name}:/srv/gluster/homes<name>{name}:/srv/gluster/homes</name>'
        f"<isArbiter>0</isArbiter></brick>"
        for name in servers
    )
    return ET.fromstring(  # noqa: S314  our own text
        f"<volume><name>homes</name><statusStr>Started</statusStr>"
        f"<arbiterCount>{arbiters}</arbiterCount><bricks>{bricks}</bricks></volume>"
    )


def wanted(*servers: str, arbiter: bool = True) -> dict[str, Any]:
    return {
        "name": "homes",
        "brick": "/srv/gluster/homes",
        "servers": list(servers),
        "arbiter": arbiter,
    }


@pytest.mark.parametrize(
    ("there", "given"),
    [
        (info("a"), wanted("a")),
        (info("c", "a", "b", arbiters=1), wanted("a", "b", "c")),
        (info("a", "b", "c"), wanted("a", "b", "c", arbiter=False)),
    ],
)
def test_a_volume_that_is_as_wanted_is_no_mistake(there: ET.Element, given: dict[str, Any]) -> None:
    assert volume.mistake(there, given) == ""


@pytest.mark.parametrize(
    ("there", "given", "said"),
    [
        (
            info("a"),
            wanted("a", "b", "c"),
            "has its bricks at a:/srv/gluster/homes, not a:/srv/gluster/homes, b:/srv",
        ),
        (info("a", "b", "c", arbiters=1), wanted("a"), "has its bricks at a:/srv"),
        (info("a", "b", "c"), wanted("a", "b", "c"), "has three copies, and no arbiter"),
        (info("a", "b", "c", arbiters=1), wanted("a", "b", "c", arbiter=False), "has an arbiter"),
    ],
)
def test_other_bricks_than_wanted_are_told_with_what_to_do(
    there: ET.Element, given: dict[str, Any], said: str
) -> None:
    found = volume.mistake(there, given)
    assert said in found
    assert "README.md" in found
    assert "\n" not in found
