"""The operators' side of quotas: the account and configuration of sr_quota, a group's queue."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sarra_lite import units
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from tests.lab.site import Site


class Quota:
    """A group that a site belongs to, with names of its own on the common broker."""

    def __init__(self, site: Site, rate: str, *, burst: str = "1s", more: str = "") -> None:
        """``rate`` and ``burst`` as in the configuration, to which ``more`` is added."""
        self.site = site
        self.group = site.name
        self.queue = f"grant_{self.group}"
        self.active_queue = f"q_quota_{site.name}"
        self.exchange = f"xgrant_{site.name}"
        self.xlog = f"q_xlog_{site.name}"  # for the option xlogStream
        self.user = f"quota_{site.name}"
        site.rabbit.add_users(User(self.user, "pw", ".*", ".*", ".*"))
        with site.credentials.open("a") as file:
            file.write(site.rabbit.url(self.user, "pw") + "\n")
        (site.config / "quota").mkdir()
        (site.config / "quota" / "default.toml").write_text(
            f'broker = "{site.rabbit.url(self.user)}"\n'
            f'exchange = "{self.exchange}"\nactiveQueue = "{self.active_queue}"\n'
            f'rate = {{ {self.group} = "{rate}" }}\nburst = {{ {self.group} = "{burst}" }}\n{more}'
        )

    def admit(self, *sites: Site) -> None:
        """Let users take grants of the group, as the role does."""
        for site in sites:
            own = f"^(q_{site.user}[._].*|{site.exchange})$"
            read = f"^(q_{site.user}[._].*|{site.exchange}|{self.queue})$"
            site.rabbit.add_users(User(site.user, site.password, own, own, read))

    def grant(self, *sizes: int) -> None:
        """Put grants of so many bytes into the queue, in place of sr_quota."""
        with self.site.rabbit.channel() as channel:
            channel.queue_declare(self.queue, durable=True, arguments={"x-queue-type": "quorum"})
            for size in sizes:
                channel.basic_publish("", self.queue, json.dumps({"bytes": size}).encode())

    def count(self, size: int) -> None:
        """Have sr_quota count a file of the site, by a report in its stream ``xlog``."""
        now = units.time_string(time.time_ns())
        result = {"code": 201, "message": "file sent", "timeCompleted": now, "bytes": size}
        body = {"pubTime": now, "baseUrl": "file:/", "relPath": "f", "source": self.site.user}
        with self.site.rabbit.channel() as channel:
            channel.queue_declare(self.xlog, durable=True, arguments={"x-queue-type": "stream"})
            channel.basic_publish("", self.xlog, json.dumps(body | {"report": result}).encode())

    def left(self) -> int:
        """Return the number of grants in the queue that no sender has in hand."""
        with self.site.rabbit.channel() as channel:
            return int(channel.queue_declare(self.queue, passive=True).method.message_count)

    def waiting(self) -> int:
        """Return the number of grants in the queue."""
        return self.site.rabbit.queues().get(self.queue, 0)

    def is_there(self) -> bool:
        """Return whether the queue of grants exists."""
        return self.queue in self.site.rabbit.queues()

    def take_all(self) -> list[int]:
        """Take all grants that are in the queue; return the bytes of each."""
        found = []
        with self.site.rabbit.channel() as channel:
            while (body := channel.basic_get(self.queue, auto_ack=True)[2]) is not None:
                found.append(int(json.loads(body)["bytes"]))
        return found
