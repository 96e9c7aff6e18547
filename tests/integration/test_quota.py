"""sr_quota fills the queue of each group; one of several instances does."""

from __future__ import annotations

import json
import signal

import pika.exceptions
import pytest

from tests.lab.quota import Quota
from tests.lab.rabbitmq import User
from tests.lab.site import Site, wait_until

FILLING = "filling the queues of grants"
STANDING_BY = "standing by"


@pytest.fixture
def quota(site: Site) -> Quota:
    return Quota(site, "8 Mbit/s", burst="0.5s")


def test_a_queue_is_filled_up_to_the_burst_and_again_after_grants_were_taken(quota: Quota) -> None:
    with quota.site.running("sr_quota"):
        wait_until(lambda: quota.waiting() >= 10)
        # The broker lets a queue grow a little beyond its length.
        assert 10 <= quota.left() <= 13
        taken = quota.take_all()
        while len(taken) < 20:
            taken += quota.take_all()
        assert set(taken) == {50_000}


def test_of_two_instances_one_fills_and_the_other_when_that_one_is_killed(quota: Quota) -> None:
    with quota.site.running("sr_quota") as first:
        first.wait_for(FILLING)
        with quota.site.running("sr_quota") as second:
            second.wait_for(STANDING_BY)
            assert FILLING not in second.said()
            first.send_signal(signal.SIGKILL)
            second.wait_for(FILLING)
            quota.take_all()
            wait_until(quota.take_all)


def test_one_that_the_broker_has_given_up_fills_no_more_while_the_other_does(quota: Quota) -> None:
    with quota.site.running("sr_quota") as first:
        first.wait_for(FILLING)
        with quota.site.running("sr_quota") as second:
            second.wait_for(STANDING_BY)
            first.send_signal(signal.SIGSTOP)
            quota.site.rabbit.close_all_connections()  # as after missed heartbeats
            second.wait_for(FILLING)
            first.send_signal(signal.SIGCONT)
            wait_until(lambda: first.said().count(STANDING_BY) == 2)
            assert first.said().count(FILLING) == 1


def test_a_queue_that_was_deleted_is_made_again(quota: Quota) -> None:
    with quota.site.running("sr_quota") as process:
        wait_until(lambda: quota.waiting() >= 10)
        with quota.site.rabbit.channel() as channel:
            channel.queue_delete(quota.queue)
        process.wait_for(f"no queue for {quota.queue}")
        wait_until(quota.is_there)
        wait_until(quota.take_all)


def test_a_group_whose_queue_is_missing_and_may_not_be_made_leaves_the_others_their_grants(
    site: Site,
) -> None:
    quota = Quota(site, "8 Mbit/s")
    file = site.config / "quota" / "default.toml"
    other = f"{site.name}x"
    rates = f'rate = {{ {site.name} = "8 Mbit/s", {other} = "8 Mbit/s" }}'
    lines = file.read_text().splitlines()
    file.write_text("\n".join(rates if line.startswith("rate") else line for line in lines))
    with site.running("sr_quota") as process:
        wait_until(lambda: quota.waiting() >= 10)
    with site.rabbit.channel() as channel:
        channel.queue_delete(f"grant_{other}")
    quota.take_all()
    names = f"^({quota.exchange}|{quota.active_queue}|grant_.*)$"
    site.rabbit.add_users(User(quota.user, "pw", "^$", names, names))
    with site.running("sr_quota") as process:
        process.wait_for(f"group {other} gets no grants")
        wait_until(lambda: quota.waiting() >= 10)
        with site.rabbit.channel() as channel:  # as operators do, meanwhile
            channel.queue_declare(f"grant_{other}", durable=True)
            channel.queue_bind(f"grant_{other}", quota.exchange, f"grant_{other}")
            wait_until(lambda: channel.basic_get(f"grant_{other}")[2] is not None)


def test_members_may_take_grants_but_not_make_them(quota: Quota) -> None:
    site = quota.site
    quota.admit(site)
    with site.running("sr_quota"):
        wait_until(lambda: quota.waiting() >= 10)
    with site.rabbit.channel(site.user, site.password) as channel:
        assert channel.basic_get(quota.queue)[2] is not None
    for exchange in ("", quota.exchange):
        with site.rabbit.channel(site.user, site.password) as channel:
            channel.confirm_delivery()
            with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
                channel.basic_publish(exchange, quota.queue, b'{"bytes":1000000}')
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.queue_declare(f"q_{site.user}_x")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            channel.queue_bind(quota.queue, site.exchange, "#")


def test_a_group_that_has_reached_its_volume_gets_no_grants_and_its_senders_say_so(
    site: Site,
) -> None:
    quota = Quota(
        site,
        "80 Mbit/s",
        more=f'xlogStream = "q_xlog_{site.name}"\nmember = {{ {site.user} = "{site.name}" }}\n'
        f'dailyVolume = {{ {site.name} = "1000" }}\n',
    )
    quota.admit(site)
    site.configure("sender", f'grants = "{quota.queue}"\n')

    def used() -> list[int]:
        done = site.run("sr_quota", "--show", "--json")
        return [json.loads(line)["day"] for line in done.stdout.splitlines()]

    quota.count(700)
    with site.running("sr_quota"):
        wait_until(lambda: used() == [700, 700])
    quota.count(500)
    # Killed, it counts nothing twice; the report that came meanwhile is not lost.
    with site.running("sr_quota") as process:
        wait_until(lambda: used() == [1200, 1200])
        process.wait_for("volume quota")
        quota.take_all()
        (site.source / "f").write_bytes(b"x")
        site.run("sr_post", site.source / "f")
        with site.running("sr_sender") as sender:
            sender.wait_for(f"volume quota of group {site.name} reached until")
            assert not (site.dest / "f").exists()
