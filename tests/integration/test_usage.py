"""Users see with sr_status what sr_quota has counted of them and their group, and nobody's lies."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from sarra_lite import units
from sarra_lite.messages import usage
from sarra_lite.messages.usage import Usage, Used
from tests.lab.prometheus import Target, prometheus
from tests.lab.quota import Quota
from tests.lab.rabbitmq import User
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.sshd import Sshd

DISK = 'sftp_disk_%s_bytes{kind="user",name="%s"} %d\n'
LIE = (Used("user", "lie", 1, 2, 3, 4),)


def lead(site: Site, exchange: str) -> None:
    """Bind and permit as the role broker_objects does."""
    own = f"^(q_{site.user}[._].*|{site.exchange})$"
    create = f"^q_{site.user}[._](default|reports)$"
    site.rabbit.add_users(User(site.user, site.password, create, own, own))
    with site.rabbit.channel() as channel:
        for name in (site.exchange, exchange):
            channel.exchange_declare(name, "topic", durable=True)
        channel.exchange_bind(site.exchange, exchange, f"usage.{site.user}")


@pytest.fixture
def quota(site: Site) -> Quota:
    """A group with a volume; its users are told each second."""
    quota = Quota(
        site,
        "8 Mbit/s",
        more=f'xlogStream = "q_xlog_{site.name}"\nmember = {{ {site.user} = "{site.name}" }}\n'
        f'dailyVolume = {{ {site.name} = "1000" }}\n'
        f'usageExchange = "xusage_{site.name}"\nusageEvery = "1s"\n',
    )
    lead(site, f"xusage_{site.name}")
    # As the role has it: whom it may tell, but not what else there is.
    names = f"^({quota.exchange}|{quota.active_queue}|grant_.*)$"
    write = f"^({quota.exchange}|{quota.active_queue}|grant_.*|xusage_{site.name})$"
    read = f"^({quota.exchange}|{quota.active_queue}|grant_.*|q_xlog_{site.name})$"
    site.rabbit.add_users(User(quota.user, "pw", names, write, read))
    return quota


def told(site: Site) -> Any:
    """Return the usage that sr_status shows, also when it is asked for the last minute only."""
    return json.loads(site.run("sr_status", "--json", "--since", "1m").stdout)["usage"]


def rows(site: Site) -> list[dict[str, Any]]:
    return list((told(site) or {"used": [{"day": None, "disk": None}]})["used"])


def counted(site: Site) -> list[dict[str, Any]]:
    """Return what sr_quota has counted of the user and the group."""
    shown = site.run("sr_quota", "--show", "--json").stdout.splitlines()
    return [json.loads(line) for line in reversed(shown)]


def publish(site: Site, exchange: str, topic: str, user: str, author: str | None) -> None:
    now = units.time_string(time.time_ns())
    with site.rabbit.channel(site.user, site.password) as channel:
        channel.confirm_delivery()
        properties = pika.BasicProperties(user_id=author)
        channel.basic_publish(exchange, topic, usage.encode(Usage(now, user, LIE)), properties)


def test_status_tells_what_sr_quota_has_counted_also_of_the_disk(quota: Quota) -> None:
    site = quota.site
    site.run("sr_sender", "--declare")
    text = DISK % ("used", site.name, 950) + DISK % ("limit", site.name, 1000)
    quota.count(700)
    assert "sent today" not in site.run("sr_status").stdout
    directory, targets = site.directory / "prometheus", [Target("node", "svrsftp1", text)]
    with prometheus(directory, targets) as url, site.running("sr_quota", "--prometheus-url", url):
        wait_until(lambda: rows(site)[0]["day"] == 700)
        wait_until(lambda: rows(site)[0]["disk"] == 950)
        quota.count(200)
        wait_until(lambda: rows(site)[0]["day"] == 900)
        wait_until(lambda: rows(site) == counted(site))
    lines = site.run("sr_status").stdout
    assert (
        f"user {site.user}: sent today 900 B, this month 900 B, disk 950 B of 1000 B (95 %), as of"
        in lines
    )
    assert f"group {site.name}: sent today 900 B of 1000 B (90 %), this month 900 B, as" in lines
    # Those who read the stream for something else do not notice.
    (site.source / "f").write_text("x")
    with site.running("sr_sender"):
        site.run("sr_post", "--wait", site.source / "f")
    assert site.codes() == {"f": [201]}
    assert site.run("sr_log").stderr == ""
    assert "1 arrived since" in site.run("sr_status").stdout


def test_what_users_say_of_usage_is_not_believed_whoever_they_are(
    quota: Quota, rabbit: Rabbit, sshd: Sshd, tmp_path: Path
) -> None:
    site, other = quota.site, Site(rabbit, sshd, tmp_path / "other")
    exchange = f"xusage_{site.name}"
    lead(other, exchange)
    for each in (site, other):
        each.run("sr_sender", "--declare")
    topic = f"usage.{site.user}"
    for place in (exchange, site.exchange, ""):
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            publish(other, place, topic, site.user, other.user)
    with other.rabbit.channel(other.user, other.password) as channel:
        queue = f"q_{other.user}_default"
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            channel.queue_bind(queue, exchange, "#")
    with pytest.raises(ChannelClosedByBroker, match="user_id"):
        publish(site, site.exchange, topic, site.user, quota.user)
    publish(other, other.exchange, topic, site.user, other.user)
    for author in (site.user, None):
        publish(site, site.exchange, topic, site.user, author)
    with site.rabbit.channel() as channel:
        wait_until(lambda: site.rabbit.queues()[f"q_{site.user}_reports"] == 2)
        assert channel.queue_declare(site.queue, passive=True).method.message_count == 0
    assert told(site) is None
    quota.count(1)
    with site.running("sr_quota"):
        wait_until(lambda: told(site) is not None)
    publish(site, site.exchange, topic, site.user, site.user)
    assert [row["name"] for row in told(site)["used"]] == [site.user, site.name]


def test_where_nobody_may_tell_users_grants_are_given_all_the_same(quota: Quota) -> None:
    """A scope, or a broker that was set up by hand, of an older version."""
    site = quota.site
    with site.rabbit.channel() as channel:
        channel.exchange_delete(f"xusage_{site.name}")
    quota.count(1)
    with site.running("sr_quota") as process:
        process.wait_for("users are not told what they have used")
        wait_until(lambda: quota.waiting() >= 10)
        assert process.poll() is None
    assert "usage" not in site.run("sr_status", "x", status=66).stdout
