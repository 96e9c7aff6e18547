"""The operators' side of a site: sr_src2log and what it copied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pika

from tests.lab.demo_checks import queue_state
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from tests.lab.site import Site


class Scope:
    """The operators' side: the account and configuration of sr_src2log, and access to xlog."""

    def __init__(self, site: Site) -> None:
        """Use names of this site only, since other tests use the same broker."""
        self.site = site
        self.xlog = f"xlog_{site.name}"
        self.stream = f"q_xlog_{site.name}"
        self.queue = f"q_src2log_{site.name}"
        self.user = f"src2log_{site.name}"
        site.rabbit.add_users(User(self.user, "pw", ".*", ".*", ".*"))
        url = site.rabbit.url(self.user)
        with site.credentials.open("a") as file:
            file.write(site.rabbit.url(self.user, "pw") + "\n")
        (site.config / "src2log").mkdir()
        (site.config / "log").mkdir()
        (site.config / "log" / "xlog.toml").write_text(
            f'broker = "{url}"\nqueueName = "{self.stream}"\n'
        )
        (site.config / "src2log" / "default.toml").write_text(
            f'broker = "{url}"\nqueueName = "{self.queue}"\nexchanges = ["{site.exchange}"]\n'
            f'xlog = "{self.xlog}"\nxlogStream = "{self.stream}"\n'
        )

    def is_consumed(self) -> bool:
        """Return whether sr_src2log consumes its queue; by then all exchanges are bound."""
        return queue_state(self.site.rabbit, self.queue).consumers > 0

    def copied(self) -> list[dict[str, Any]]:
        """Return the reports in xlog."""
        done = self.site.run("sr_log", "-c", "xlog", "--json", "--since", "1960-01-01", "--blocks")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def publish(self, body: bytes, user: str, password: str, *, set_user_id: bool = True) -> None:
        """Publish on the site's exchange, with the ``user_id`` that RabbitMQ verifies if set."""
        properties = pika.BasicProperties(
            user_id=user if set_user_id else None, content_type="application/json"
        )
        with self.site.rabbit.channel(user, password) as channel:
            channel.basic_publish(self.site.exchange, "v03.report.a", body, properties)
