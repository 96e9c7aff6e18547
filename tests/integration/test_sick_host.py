"""SFTP hosts that are sick: what they fail at is sent when another one, or they again, can."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.lab.disks import disconnected
from tests.lab.processes import alive
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from tests.lab.sshd import Sshd

COUNT = 30
OLD = 1_600_000_000
KIB = 1024


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


def test_a_session_that_was_frozen_does_not_change_the_time_of_a_complete_file(
    site: Site, sshd: Sshd
) -> None:
    """Its server still has writes to carry out when another session has completed the file."""
    source = site.source / "f"
    source.write_bytes(os.urandom(600 * KIB))
    os.utime(source, (OLD, OLD))
    site.run("sr_post", "--block-size", "1", source)  # not in blocks
    options = (
        "--block-size",
        "1",
        "--limit",
        "300Ki",
        "--timeout",
        "1",
        "--connections",
        "1",
    )
    with site.running("sr_sender", *options) as sender:
        wait_until(lambda: any(one.stat().st_size for one in site.dest.glob(".f.*.inflight")))
        (listener,) = sshd.pids() & {int((sshd.directory / "sshd.pid").read_text())}
        frozen = {max(sshd.pids() - {listener})}  # the SFTP server, not the session that feeds it
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: site.codes() == {"f": [201]}, tell=sender.said)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not alive(frozen))
    assert (site.dest / "f").read_bytes() == source.read_bytes()
    assert (site.dest / "f").stat().st_mtime == OLD
