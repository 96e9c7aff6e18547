"""Takes of a broker what one user can; runs on a user's host and prints what happened as JSON.

``greedy.py URL CA USER`` tries, each on a connection of its own, more of everything than a user of
the scope may have.  The user's queue q_<USER>_default is filled, and purged at the end.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pika
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker, NackError

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE: Final = 500_000  # bytes
MOST: Final = 800  # messages
SECONDS: Final = 6  # in which much is published


class Greedy:
    """One user, who is not content with what the operators give."""

    def __init__(self, url: str, ca: str, user: str) -> None:
        """``url`` has the password of ``user``."""
        self.parameters = pika.URLParameters(url)
        context = ssl.create_default_context(cafile=ca)
        self.parameters.ssl_options = pika.SSLOptions(context, self.parameters.host)
        self.exchange = f"xac_{user.removeprefix('u')}"
        self.queue = f"q_{user}_default"
        self.more = [f"q_{user}_more{number}" for number in range(20)]

    def attempt(self, what: Callable[[Any], Any]) -> str:
        """Return what the broker answers."""
        with contextlib.closing(self.connect()) as broker:
            channel = broker.channel()
            channel.confirm_delivery()
            try:
                return f"accepted: {what(channel)}"
            except ChannelClosedByBroker as error:
                return f"refused: {error.reply_code} {error.reply_text}"
            except NackError:
                return "refused: rejected by a queue"

    def fill(self, channel: Any, kind: str) -> int:
        """Fill a queue of a kind, made without a limit; return the bytes that it holds."""
        channel.queue_delete(self.queue)
        arguments = {"x-queue-type": kind, "x-max-length-bytes": 10**12, "x-overflow": "drop-head"}
        channel.queue_declare(self.queue, durable=True, arguments=arguments)
        channel.queue_bind(self.queue, self.exchange, "greedy")
        with contextlib.suppress(NackError):
            for _ in range(MOST):
                channel.basic_publish(self.exchange, "greedy", b"x" * MESSAGE)
        return int(channel.queue_declare(self.queue, passive=True).method.message_count) * MESSAGE

    def results(self) -> dict[str, str]:
        """Try everything; return the results by name."""
        big = b"x" * 2_000_000
        exchange, queue = self.exchange, self.queue
        found = {f"queue {name}": self.attempt(partial(_declare, name)) for name in self.more}
        return found | {
            "delete exchange": self.attempt(lambda c: c.exchange_delete(exchange)),
            "declare exchange": self.attempt(lambda c: c.exchange_declare(exchange, "topic")),
            "unbind": self.attempt(lambda c: c.queue_unbind("q_src2log", exchange, "v03.report.#")),
            "large message": self.attempt(lambda c: c.basic_publish(exchange, "v03.post", big)),
            "fill quorum": self.attempt(lambda c: self.fill(c, "quorum")),
            "fill classic": self.attempt(lambda c: self.fill(c, "classic")),
            "delete queue": self.attempt(lambda c: c.queue_delete(queue)),
            "bytes a second": f"{self.bytes_per_second():.0f}",
            "connections": self.connections(),
        }

    def bytes_per_second(self) -> float:
        """Publish what no queue takes, on several connections at once; return the rate."""
        with contextlib.ExitStack() as stack:
            began = time.monotonic()
            channels = [self.channel(stack) for _ in range(4)]
            count = 0
            while time.monotonic() - began < SECONDS:
                for channel in channels:
                    channel.basic_publish(self.exchange, "nobody", b"x" * MESSAGE)
                    count += MESSAGE
            return count / (time.monotonic() - began)

    def channel(self, stack: contextlib.ExitStack) -> Any:
        """Return a channel of a connection that the stack closes."""
        return stack.enter_context(contextlib.closing(self.connect())).channel()

    def connections(self) -> str:
        """Open connections until the broker refuses one; return how many, and the refusal."""
        with contextlib.ExitStack() as stack:
            for number in range(150):
                try:
                    broker = self.connect()
                except AMQPConnectionError as error:
                    return f"{number}: {error!r}"
                stack.callback(broker.close)
        return "150: all of them"

    def connect(self) -> Any:
        """Connect; wait when the load balancer has admitted enough for ten seconds."""
        for _ in range(20):
            try:
                return pika.BlockingConnection(self.parameters)
            # pika's ValueError: the connection was reset before pika looked at its other end.
            except (ConnectionResetError, ValueError, AMQPConnectionError) as error:
                if "limit" in repr(error):
                    raise
                time.sleep(1)
        return pika.BlockingConnection(self.parameters)


def _declare(name: str, channel: Any) -> None:
    channel.queue_declare(name, durable=True)


if __name__ == "__main__":
    json.dump(Greedy(*sys.argv[1:]).results(), sys.stdout)
