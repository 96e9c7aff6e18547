"""Blocks whose poster announces no finish, as sr3 does: the file has a report, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace
from pika import BasicProperties

from sarra_lite import units
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement
from tests.lab.trees import same

if TYPE_CHECKING:
    from tests.lab.site import Site

SIZE = 5 * 2**20 + 7


def test_a_file_in_blocks_without_a_finish_has_one_report_on_the_whole(site: Site) -> None:
    file = site.source / "f"
    file.write_bytes(os.urandom(SIZE))
    mtime = units.time_string(file.stat().st_mtime_ns)
    whole = Announcement(v03.now(), f"file:{site.source}", "f", size=SIZE, mtime=mtime, mode=0o644)
    *pieces, _finish = blocks.split(whole, 2**20)
    site.run("sr_sender", "--declare")
    properties = BasicProperties(content_type=v03.CONTENT_TYPE, user_id=site.user)
    with site.rabbit.channel(site.user, site.password) as channel:
        for piece in pieces:
            assert piece.blocks
            body = v03.encode(replace(piece, blocks=replace(piece.blocks, finish=False)))
            channel.basic_publish(site.exchange, "v03.post", body, properties)
    done = site.drain("--prefetch", 1)  # one block after the other
    assert "1 arrived, 0 failed" in done.stderr
    assert same(site.source, site.dest)
    [of_whole] = site.reports()
    assert (of_whole["code"], of_whole["bytes"]) == (201, SIZE)
    assert "block" not in of_whole
    assert [one["code"] for one in site.reports(blocks=True)].count(206) == len(pieces)
