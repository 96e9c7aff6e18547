"""Headers that pika cannot read are ignored; everything else of the properties is kept."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pika import BasicProperties, frame

from sarra_lite.broker.properties import accept_any_headers
from tests.lab import hostile
from tests.lab.hostile import Message, Properties

OFFSET = b"\x0fx-stream-offsetl" + struct.pack(">q", 4711)


def received(sent: BasicProperties) -> BasicProperties:
    accept_any_headers()
    decoded: Any = frame.decode_frame(frame.Header(1, 3, sent).marshal())[1]
    properties: BasicProperties = decoded.properties
    return properties


def with_table(table: bytes) -> BasicProperties:
    return received(Properties(Message(b"abc", "application/json", table), "uearnest"))


@pytest.mark.parametrize("table", list(hostile.tables()))
def test_content_type_and_author_are_read_whatever_the_headers_are(table: bytes) -> None:
    properties = with_table(table)
    assert (properties.content_type, properties.user_id) == ("application/json", "uearnest")


def test_headers_that_pika_can_read_are_kept() -> None:
    assert with_table(b"\1xI" + struct.pack(">i", 5) + OFFSET).headers == {
        "x": 5,
        "x-stream-offset": 4711,
    }


def test_the_offset_in_a_stream_is_read_beside_headers_that_pika_cannot_read() -> None:
    table = b"\1xT" + struct.pack(">Q", 2**63 - 1) + OFFSET
    assert with_table(table).headers == {"x-stream-offset": 4711}


def test_messages_without_headers_are_read_as_before() -> None:
    properties = received(BasicProperties("text/plain", user_id="u"))
    assert (properties.content_type, properties.headers) == ("text/plain", None)
