"""A sender with the option grants sends as many bytes as the grants that it takes are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.quota import Quota
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.sshd import Sshd

MIB = 1024 * 1024


@pytest.fixture
def quota(site: Site) -> Quota:
    found = Quota(site, "80 Mbit/s")
    found.admit(site)
    site.configure("sender", f'grants = "{found.queue}"\n')
    return found


def arrived(site: Site) -> int:
    """Return the bytes at the destination, with those of files that are not complete."""
    return sum(path.stat().st_size for path in site.dest.rglob("*") if path.is_file())


def test_bytes_sent_are_those_of_the_grants_taken(quota: Quota) -> None:
    site = quota.site
    for number in range(4):
        (site.source / f"f{number}").write_bytes(bytes([number + 1]) * MIB)
    site.run("sr_post", site.source)
    quota.grant(*[MIB // 4] * 6)
    with site.running("sr_sender"):
        wait_until(lambda: arrived(site) > 1.4 * MIB and not quota.left())
        assert arrived(site) <= 1.5 * MIB
        quota.grant(*[MIB // 4] * 10)
        wait_until(lambda: list(site.codes().values()) == [[201]] * 4)
    assert sum(quota.take_all()) == 0


def test_small_files_take_grants_too_and_what_is_not_needed_stays(quota: Quota) -> None:
    site = quota.site
    for number in range(50):
        (site.source / f"f{number}").write_bytes(b"x" * 1000)
    site.run("sr_post", site.source)
    quota.grant(*[10_000] * 8)
    site.drain()
    assert quota.take_all() == [10_000] * 3


def test_grants_in_hand_go_back_when_a_sender_is_killed(quota: Quota) -> None:
    quota.grant(*[1000] * 10)
    with quota.site.running("sr_sender"):
        wait_until(lambda: quota.left() == 6)
    wait_until(lambda: quota.left() == 10)


def test_an_idle_sender_gives_grants_back(quota: Quota) -> None:
    quota.grant(*[1000] * 10)
    with quota.site.running("sr_sender"):
        wait_until(lambda: quota.left() == 6)
        wait_until(lambda: quota.left() == 10)


def test_a_user_of_another_group_is_refused(rabbit: Rabbit, sshd: Sshd, tmp_path: Path) -> None:
    quota = Quota(Site(rabbit, sshd, tmp_path / "member"), "8 Mbit/s")
    quota.grant(1000)
    stranger = Site(rabbit, sshd, tmp_path / "stranger")
    done = stranger.drain("--grants", quota.queue, status=77)
    assert f"access to queue '{quota.queue}'" in done.stderr


def test_two_senders_share_what_sr_quota_gives(quota: Quota) -> None:
    site = quota.site
    (site.source / "f").write_bytes(b"x" * 8 * MIB)
    site.run("sr_post", "--block-size", "1Mi", site.source)
    with site.running("sr_quota"), site.running("sr_sender"), site.running("sr_sender"):
        wait_until(lambda: site.codes().get("f") == [201])
    assert (site.dest / "f").read_bytes() == b"x" * 8 * MIB


def test_while_no_grants_come_a_sender_says_so_and_waits_until_they_do(quota: Quota) -> None:
    site = quota.site
    quota.grant()
    (site.source / "f").write_bytes(b"x" * 1000)
    site.run("sr_post", site.source / "f")
    with site.running("sr_sender", "--grants-timeout", "1s") as sender:
        sender.wait_for(f"no grants come from {quota.queue}; waiting (option grantsMissing)")
        assert not (site.dest / "f").exists()
        quota.grant(1000)
        sender.wait_for("grants come again")
        wait_until(lambda: site.codes() == {"f": [201]})


def test_while_no_grants_come_a_sender_may_send_without_them_until_they_do(quota: Quota) -> None:
    site = quota.site
    quota.grant()
    for name in ("without", "with"):
        (site.source / name).write_bytes(b"x" * 1000)
    site.run("sr_post", site.source / "without")
    options = ("--grants-timeout", "1s", "--grants-missing", "send")
    with site.running("sr_sender", *options) as sender:
        sender.wait_for(f"no grants come from {quota.queue}; sending without them")
        wait_until(lambda: site.codes() == {"without": [201]})
        quota.grant(*[500] * 4)
        sender.wait_for("grants come again")
        site.run("sr_post", site.source / "with")
        wait_until(lambda: site.codes().get("with") == [201])
    assert quota.take_all() == [500] * 2


def test_a_wait_for_grants_longer_than_the_consumer_timeout_loses_nothing(quota: Quota) -> None:
    site = quota.site
    quota.grant()
    (site.source / "small").write_bytes(b"x" * 1000)
    (site.source / "big").write_bytes(b"y" * 3 * MIB)
    site.run("sr_post", "--block-size", "1Mi", site.source)
    with site.rabbit.consumer_timeout(1000), site.running("sr_sender") as sender:
        wait_until(lambda: sender.said().count("trying again") >= 2, 30, sender.said)
        quota.grant(*[MIB] * 4)
        wait_until(lambda: site.codes() == {"small": [201], "big": [201]}, 30, sender.said)
    assert (site.dest / "big").read_bytes() == b"y" * 3 * MIB
    assert site.queued() == 0


def test_a_broker_that_restarts_costs_neither_files_nor_grants(sshd: Sshd, tmp_path: Path) -> None:
    with Rabbit(tmp_path / "rabbit") as rabbit:
        quota = Quota(Site(rabbit, sshd, tmp_path / "site"), "80 Mbit/s")
        site = quota.site
        quota.admit(site)
        site.configure("sender", f'grants = "{quota.queue}"\n')
        quota.grant(*[MIB // 4] * 12)
        (site.source / "f").write_bytes(b"x" * 2 * MIB)
        site.run("sr_post", site.source / "f")
        # Slow, so that grants are in hand while the file is sent.
        with site.running("sr_sender", "--limit", "512Ki") as sender:
            wait_until(lambda: arrived(site) > MIB // 2)
            assert quota.left() < 12 - 2
            rabbit.stop()
            rabbit.start()
            wait_until((site.dest / "f").exists, 40, sender.said)
            wait_until(lambda: rabbit.queues()[site.queue] == 0, tell=sender.said)
        # No more is gone than what was sent; at most the grants in hand were given twice.
        wait_until(lambda: quota.left() >= 12 - 8)
        assert len(quota.take_all()) <= 12 - 8 + 4
    assert (site.dest / "f").read_bytes() == b"x" * 2 * MIB
