"""Declaring what is needed: with which arguments, and beside what others have declared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sarra_lite.broker.client import Broker
from sarra_lite.config.credentials import parse_url
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from tests.lab.rabbitmq import Rabbit
    from tests.lab.site import Site


def arguments(rabbit: Rabbit, queue: str) -> str:
    return rabbit.ctl("list_queues", "name", "arguments", "--no-table-headers").partition(queue)[2]


def test_a_new_queue_drops_nothing_however_often_connections_are_lost(site: Site) -> None:
    site.run("sr_sender", "--declare")
    line = arguments(site.rabbit, site.queue).splitlines()[0]
    assert '"x-delivery-limit",1000000000' in line.replace(" ", "")


def test_a_queue_that_has_other_arguments_is_used_as_it_is(site: Site) -> None:
    with site.rabbit.channel() as channel:
        channel.queue_declare(site.queue, durable=True, arguments={"x-queue-type": "quorum"})
    (site.source / "f").touch()
    site.run("sr_post", site.source)
    site.drain()
    assert site.codes() == {"f": [201]}


def test_two_that_declare_a_queue_at_once_with_other_arguments_both_use_it(rabbit: Rabbit) -> None:
    endpoint = parse_url(rabbit.url("admin", rabbit.admin_password), ["amqp"])
    kind = {"x-queue-type": "quorum"}

    async def scene() -> None:
        async with Broker(endpoint, "one") as one, Broker(endpoint, "two") as two:
            limited = two.declare_queue("q_contested", kind | {"x-delivery-limit": 10**9})
            counts = await asyncio.gather(one.declare_queue("q_contested", kind), limited)
            assert list(counts) == [0, 0]

    try:
        asyncio.run(scene())
    finally:
        with rabbit.channel() as channel:
            channel.queue_delete("q_contested")


@pytest.fixture
def in_a_scope(site: Site) -> Site:
    """A site with the permissions and the exchange that the role broker_objects makes."""
    own = f"^(q_{site.user}[._].*|{site.exchange})$"
    create = f"^q_{site.user}[._](default|reports)$"
    site.rabbit.add_users(User(site.user, site.password, create, own, own))
    with site.rabbit.channel() as channel:
        channel.exchange_declare(site.exchange, "topic", durable=True)
    return site


def test_a_user_who_may_not_configure_his_exchange_sends_and_waits(in_a_scope: Site) -> None:
    site = in_a_scope
    (site.source / "f").write_text("x")
    with site.running("sr_sender"):
        site.run("sr_post", "--wait", site.source / "f")
    assert (site.dest / "f").read_text() == "x"


@pytest.mark.parametrize(
    ("option", "kind"), [("--queue-name", "queue"), ("--exchange", "exchange")]
)
def test_who_may_not_create_what_is_missing_is_told_whom_to_ask(
    in_a_scope: Site, option: str, kind: str
) -> None:
    site = in_a_scope
    (site.source / "f").touch()
    name = f"q_{site.user}_more"
    done = site.run("sr_post", option, name, site.source / "f", status=77)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"access to {kind} '{name}'" in done.stderr
    assert "it does not exist: ask the operators of the broker" in done.stderr
