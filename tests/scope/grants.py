"""Attempts what a member of a group may and may not do with grants; runs on a user's host.

``grants.py URL CA OWN OTHER EXCHANGE`` prints what the broker answers, as JSON: OWN and OTHER are
queues of grants, of the user's group and of another one; EXCHANGE is the user's.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pika
from pika.exceptions import ChannelClosedByBroker

if TYPE_CHECKING:
    from collections.abc import Callable


def attempts(own: str, other: str, exchange: str) -> dict[str, Callable[[Any], Any]]:
    """Return what is attempted, by name."""
    grant = b'{"bytes": 1000000000}'
    return {
        "take own": lambda c: c.basic_get(own),
        "take another's": lambda c: c.basic_get(other),
        "publish": lambda c: c.basic_publish("xgrant", own, grant, mandatory=True),
        "publish to the queue": lambda c: c.basic_publish("", own, grant, mandatory=True),
        "bind": lambda c: c.queue_bind(own, exchange, "#"),
        "delete": lambda c: c.queue_delete(own),
        "choose who gives": lambda c: c.basic_get("q_quota"),
    }


def main() -> None:
    """Attempt each on a channel of its own."""
    url, ca, *names = sys.argv[1:]
    parameters = pika.URLParameters(url)
    context = ssl.create_default_context(cafile=ca)
    parameters.ssl_options = pika.SSLOptions(context, parameters.host)
    found = {}
    with contextlib.closing(pika.BlockingConnection(parameters)) as broker:
        for name, attempt in attempts(*names).items():
            channel = broker.channel()
            channel.confirm_delivery()
            try:
                attempt(channel)
                found[name] = "accepted"
                channel.close()
            except ChannelClosedByBroker as error:
                found[name] = str(error.reply_code)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
