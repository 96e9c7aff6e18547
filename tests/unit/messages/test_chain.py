"""Each report in xlog has the hash of the one before."""

from __future__ import annotations

import json

import pytest

from sarra_lite.messages import chain
from sarra_lite.messages.chain import Chain, Link


def test_a_report_has_the_hash_of_the_one_before() -> None:
    written = Chain("ec1/default/7-1")
    first = written.link(b'{"a":1}')
    second = written.link(b'{"a":2}')
    assert json.loads(first) == {"a": 1, "chain": "ec1/default/7-1 0 -"}
    assert chain.link_of(first) == Link("ec1/default/7-1", 0, "-")
    assert chain.link_of(second) == Link("ec1/default/7-1", 1, chain.hash_of(first))


def test_a_link_that_a_user_has_written_does_not_count() -> None:
    linked = Chain("w").link(Chain("forged").link(b'{"a":1}'))
    found = chain.link_of(linked)
    assert found is not None
    assert found.writer == "w"


@pytest.mark.parametrize("writer", ["h\u00f6st name\n", "x" * 300, "a.b-c/d"])
def test_a_link_is_short_and_can_be_read_whatever_the_host_is_called(writer: str) -> None:
    written = Chain(writer)
    written.link(b'{"a":1}')
    linked = written.link(b'{"a":1}')
    assert len(linked) - len(b'{"a":1}') <= chain.ROOM
    assert json.loads(linked)["a"] == 1
    assert chain.link_of(linked) is not None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"chain":"x"}', b'{"chain":"w 0 -"},"x":1}'])
def test_a_report_without_a_link_has_none(body: bytes) -> None:
    assert chain.link_of(body) is None
