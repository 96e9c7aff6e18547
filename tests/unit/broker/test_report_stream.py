"""Which redelivered announcements have a final report, and which have none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sarra_lite.broker import report_stream, streams
from sarra_lite.broker.client import Delivery
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Blocks, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NO_BROKER: Any = None  # what would read from it is replaced
ANNOUNCED = Announcement("20261127T010203.5", "file:/", "d/f", size=1)


def reported(
    will_retry: float | None, of: Announcement = ANNOUNCED, author: str | None = "u"
) -> Delivery:
    report = Report(507, "full", "20261127T010204.5", will_retry=will_retry)
    body = v03.encode(msgspec.structs.replace(of, report=report))
    return Delivery(body, v03.CONTENT_TYPE, author, "x", redelivered=False, offset=0)


def found(monkeypatch: pytest.MonkeyPatch, *past: Delivery) -> bool:
    """Return whether a final report on the announcement is found among past reports."""

    async def read(*_: object) -> AsyncIterator[Delivery]:
        for delivery in past:
            yield delivery

    monkeypatch.setattr(streams, "read", read)
    lookup = report_stream.find_final_reports(NO_BROKER, "q_reports", [ANNOUNCED], "u")
    keys = asyncio.run(lookup)
    return keys == {ANNOUNCED.key}


@pytest.mark.parametrize("will_retry", [0.0, 15.0])
def test_an_announcement_that_will_be_tried_again_has_no_final_report(
    monkeypatch: pytest.MonkeyPatch, will_retry: float
) -> None:
    assert not found(monkeypatch, reported(will_retry))
    assert found(monkeypatch, reported(will_retry), reported(None))


def test_the_final_report_of_a_block_is_not_that_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = msgspec.structs.replace(ANNOUNCED, blocks=Blocks(1, 1, number=0))
    assert not found(monkeypatch, reported(None, block))


@pytest.mark.parametrize("author", ["v", None])
def test_who_is_not_the_senders_user_makes_no_final_report(
    monkeypatch: pytest.MonkeyPatch, author: str | None
) -> None:
    assert not found(monkeypatch, reported(None, author=author))
    assert found(monkeypatch, reported(None, author=author), reported(None))
