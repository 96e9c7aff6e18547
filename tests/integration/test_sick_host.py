"""SFTP hosts that are sick: what they fail at is sent when another one, or they again, can."""

from __future__ import annotations

import pytest

from tests.lab.disks import disconnected
from tests.lab.site import Site, wait_until

COUNT = 30


@pytest.mark.parametrize("blocks", [False, True])
def test_files_posted_while_the_file_system_of_the_host_is_away_arrive(
    site: Site, *, blocks: bool
) -> None:
    size = 300_000 if blocks else 1_000
    contents = {f"f{number}": bytes([number]) * size for number in range(COUNT)}
    for name, content in contents.items():
        (site.source / name).write_bytes(content)
    more = ["--block-size", "100k"] if blocks else []
    with site.running("sr_sender", "--block-size", "100k") as sender:
        with disconnected(site.dest):
            site.run("sr_post", *more, *(site.source / name for name in contents))
            sender.wait_for("next attempt in 2 s")
        wait_until(lambda: len(site.codes()) == COUNT, tell=sender.said)
    assert set(map(tuple, site.codes().values())) == {(201,)}
    assert {path.name: path.read_bytes() for path in site.dest.iterdir()} == contents
    retried = [report for report in site.reports(blocks=True) if "willRetry" in report]
    assert {report["code"] for report in retried} <= {499, 507}
    assert retried
