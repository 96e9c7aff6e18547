"""What pika's connections need of the event loop, with resets of new connections told as such."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import Any

from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter


class IOServices(_AsyncioIOServicesAdapter):
    """pika's adapter of asyncio, which raises nothing in the event loop."""

    def create_streaming_connection(  # type: ignore[override]  # pika passes all by name
        self, *, on_done: Any, **arguments: Any
    ) -> Any:
        """Begin AMQP or TLS on a socket that pika has connected; ``on_done`` gets the result.

        pika raises ValueError when the other end, such as a load balancer that admits no more
        connections, has reset it meanwhile, and nobody would hear of it until the time is over.
        """
        try:
            return super().create_streaming_connection(on_done=on_done, **arguments)
        except ValueError:
            reset = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            return self.call_later(0, partial(on_done, reset))
