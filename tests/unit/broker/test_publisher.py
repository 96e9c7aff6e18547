"""What is sent together is one write, in order; and pika sends as we think it does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from pika import ConnectionParameters

from sarra_lite.broker.publisher import BatchingConnection

if TYPE_CHECKING:
    from collections.abc import Iterator


class Session:
    """Where a connection writes to."""

    def __init__(self) -> None:
        """Nothing was written."""
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Note it."""
        self.writes.append(data)


@pytest.fixture
def connection() -> Iterator[Any]:
    made: Any = BatchingConnection(ConnectionParameters("127.0.0.1", 9))
    made._transport = Session()  # noqa: SLF001  nobody runs its loop, so it gets no other
    yield made
    made.ioloop.close()


def send(connection: Any, *frames: bytes) -> None:
    """Send the frames of a message as pika does."""
    connection._output_marshaled_frames(list(frames))  # noqa: SLF001


def writes(connection: Any) -> list[bytes]:
    wire: Session = connection._transport  # noqa: SLF001
    return wire.writes


def test_what_is_gathered_is_sent_in_one_write(connection: Any) -> None:
    with connection.gathering():
        send(connection, b"one", b"two")
        send(connection, b"three")
        assert writes(connection) == []
    send(connection, b"four")
    assert writes(connection) == [b"onetwothree", b"four"]


def test_what_was_gathered_before_an_error_is_sent(connection: Any) -> None:
    with contextlib.suppress(ZeroDivisionError), connection.gathering():
        send(connection, b"one")
        raise ZeroDivisionError
    assert writes(connection) == [b"one"]


def test_nothing_gathered_is_nothing_sent(connection: Any) -> None:
    with connection.gathering():
        pass
    assert writes(connection) == []
