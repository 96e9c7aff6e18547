"""The operators' side of monitoring: the account and configuration of sr_monitor, its streams."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from sarra_lite import units
from tests.lab.processes import free_port
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from tests.lab.site import Site

Message = dict[str, Any]


class Monitor:
    """An sr_monitor with streams of its own on the common broker."""

    def __init__(self, site: Site, *, posts: bool = False, more: str = "") -> None:
        """``posts``: there is a stream of announcements; ``more`` is added to the configuration."""
        self.site = site
        self.stream = f"q_xlog_{site.name}"
        self.posts = f"q_xposts_{site.name}"
        self.group = f"g{site.name}"
        user = f"monitor_{site.name}"
        self.history = site.directory / "state" / "sarra_lite" / "monitor-default.sqlite"
        self.port = free_port("127.0.0.1")
        site.rabbit.add_users(User(user, "pw", ".*", ".*", ".*"))
        with site.credentials.open("a") as file:
            file.write(site.rabbit.url(user, "pw") + "\n")
        (site.config / "monitor").mkdir()
        (site.config / "monitor" / "default.toml").write_text(
            f'broker = "{site.rabbit.url(user)}"\n'
            f'xlogStream = "{self.stream}"\npostsStream = "{self.posts}"\n'
            f'member = {{ {site.user} = "{self.group}" }}\n'
            f'metricsAddress = "127.0.0.1:{self.port}"\n{more}'
        )
        self.declare(self.stream)
        if posts:
            self.declare(self.posts)

    def declare(self, stream: str, **arguments: Any) -> None:
        """Create a stream."""
        with self.site.rabbit.channel() as channel:
            channel.queue_declare(
                stream, durable=True, arguments={"x-queue-type": "stream"} | arguments
            )

    def bodies(self, count: int) -> list[bytes]:
        """Return the first messages of the stream of reports."""
        with self.site.rabbit.channel() as channel:
            channel.basic_qos(prefetch_count=count)
            first = {"x-stream-offset": "first"}
            found = channel.consume(self.stream, arguments=first, inactivity_timeout=10)
            return [body or b"" for _, _, body in itertools.islice(found, count)]

    def publish(self, *messages: Message | bytes) -> None:
        """Put messages into the stream of reports, as sr_src2log does; return when they are."""
        with self.site.rabbit.channel() as channel:
            channel.confirm_delivery()
            for message in messages:
                body = message if isinstance(message, bytes) else json.dumps(message).encode()
                channel.basic_publish("", self.stream, body)

    def report(self, path: str, code: int = 201, **changed: Any) -> Message:
        """Return a report; ``changed`` are fields of the report."""
        now = units.time_string(time.time_ns())
        result = {"code": code, "message": "said", "timeCompleted": now, "bytes": 10} | changed
        message = {"pubTime": now, "baseUrl": "file:/", "relPath": path, "size": 10}
        return message | {"source": self.site.user, "report": result}

    def files(self, *flags: str) -> list[Message]:
        """Return the files of the history."""
        done = self.site.run("sr_monitor", "--show", "--json", "--limit=9999", *flags, status=None)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def anomalies(self, *flags: str) -> list[Message]:
        """Return what was unusual."""
        done = self.site.run("sr_monitor", "--anomalies", "--json", *flags, status=None)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def metrics(self) -> dict[str, float]:
        """Return each metric by its name and labels, as Prometheus gets it; none before it runs."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
                lines = answer.read().decode().splitlines()
        except URLError:
            return {}
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def metric(self, name: str, /, **labels: str) -> float:
        """Return one metric; its labels are those of the user and others."""
        wanted = {"group": self.group, "user": self.site.user} | labels
        pairs = ",".join(f'{key}="{value}"' for key, value in sorted(wanted.items()) if value)
        return self.metrics().get(f"{name}{{{pairs}}}", 0.0)
