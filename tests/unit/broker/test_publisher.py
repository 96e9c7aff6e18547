"""Batches of outgoing data become one write, in order, with the installed version of pika."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from pika import ConnectionParameters

from sarra_lite.broker.publisher import BatchingConnection

if TYPE_CHECKING:
    from collections.abc import Iterator


class Transport:
    """Records the writes of a connection."""

    def __init__(self) -> None:
        """Start without writes."""
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Record one write."""
        self.writes.append(data)


@pytest.fixture
def connection() -> Iterator[Any]:
    connection: Any = BatchingConnection(ConnectionParameters("127.0.0.1", 9))
    connection._transport = Transport()  # noqa: SLF001  its loop never runs, so it gets no other
    yield connection
    connection.ioloop.close()


def send(connection: Any, *frames: bytes) -> None:
    """Send the frames of a message as pika does."""
    connection._output_marshaled_frames(list(frames))  # noqa: SLF001


def writes(connection: Any) -> list[bytes]:
    transport: Transport = connection._transport  # noqa: SLF001
    return transport.writes


def test_a_batch_is_sent_in_one_write(connection: Any) -> None:
    with connection.batch():
        send(connection, b"one", b"two")
        send(connection, b"three")
        assert writes(connection) == []
    send(connection, b"four")
    assert writes(connection) == [b"onetwothree", b"four"]


def test_data_batched_before_an_exception_is_sent(connection: Any) -> None:
    with contextlib.suppress(ZeroDivisionError), connection.batch():
        send(connection, b"one")
        raise ZeroDivisionError
    assert writes(connection) == [b"one"]


def test_an_empty_batch_sends_nothing(connection: Any) -> None:
    with connection.batch():
        pass
    assert writes(connection) == []
