"""A broker, or the load balancer before it, that resets a connection as soon as it is open."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time

import pytest

from sarra_lite.broker.client import Broker
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import BrokerError

_LOGGER = "pika.adapters.utils.connection_workflow"
_RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: to close is to reset


class ResetAfterConnect(logging.Filter):
    """Resets the connection when pika logs that it is open, before pika looks at its address."""

    def __init__(self, server: socket.socket) -> None:
        """``server``: the socket that pika connects to."""
        super().__init__()
        self.server = server
        self.count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop all records."""
        if record.msg.startswith("TCP connection to broker established"):
            connection, _ = self.server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.close()
            self.count += 1
        return False


def test_it_is_an_error_of_the_broker_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def connect(port: int) -> None:
        async with Broker(parse_url(f"amqp://u:p@127.0.0.1:{port}/", ["amqp"]), "test"):
            pass

    logger = logging.getLogger(_LOGGER)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        reset = ResetAfterConnect(server)
        logger.addFilter(reset)
        logger.setLevel(logging.DEBUG)
        try:
            with pytest.raises(BrokerError, match="reset by peer"):
                asyncio.run(connect(server.getsockname()[1]))
        finally:
            logger.removeFilter(reset)
            logger.setLevel(logging.NOTSET)
    assert reset.count == 1
    assert time.monotonic() - began < 5  # not when the time to connect is over
    assert not caplog.records
