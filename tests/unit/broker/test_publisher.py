"""Frames of one iteration of the loop leave in one write; pika sends frames as we expect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pika import ConnectionParameters

from sarra_lite.broker.publisher import BatchingConnection

if TYPE_CHECKING:
    from collections.abc import Callable


class Transport:
    """What a connection writes to."""

    def __init__(self) -> None:
        """Nothing was written."""
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def abort(self) -> None:
        pass


def writes(scene: Callable[[Any, Callable[..., None]], Any]) -> list[bytes]:
    """Return what a connection has written at the end of a scene."""
    transport = Transport()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        connection: Any = BatchingConnection(
            ConnectionParameters(), custom_ioloop=loop, internal_connection_workflow=False
        )
        connection._transport = transport  # noqa: SLF001  there is no server

        def send(*frames: bytes) -> None:
            """Send the frames of a message as pika does."""
            connection._output_marshaled_frames(list(frames))  # noqa: SLF001

        await scene(connection, send)

    asyncio.run(run())
    return transport.writes


def test_the_frames_of_one_iteration_are_sent_in_one_write() -> None:
    async def scene(_connection: Any, send: Callable[..., None]) -> None:
        send(b"one", b"two")
        send(b"three")
        await asyncio.sleep(0)
        send(b"four")
        await asyncio.sleep(0)

    assert writes(scene) == [b"onetwothree", b"four"]


def test_a_batch_can_be_sent_at_once() -> None:
    async def scene(connection: Any, send: Callable[..., None]) -> None:
        send(b"one")
        connection.send_batch()
        send(b"two")

    assert writes(scene)[0] == b"one"


def test_without_frames_nothing_is_sent() -> None:
    async def scene(connection: Any, _send: Callable[..., None]) -> None:
        connection.send_batch()
        await asyncio.sleep(0)

    assert writes(scene) == []
