"""What sr_post --wait takes for the end of a file."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from sarra_lite.broker.client import Delivery
from sarra_lite.messages import v03
from sarra_lite.messages.v03 import Announcement, Report
from sarra_lite.posting.waiter import ReportWaiter
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Callable

ANNOUNCED = Announcement("20261127T010203.5", "file:/", "d/f", size=1)


class FakeBroker:
    """Delivers what the test publishes."""

    deliver: Callable[[Delivery], None]

    async def consume(self, _stream: str, deliver: Callable[[Delivery], None], **_: object) -> None:
        self.deliver = deliver

    def ack(self, _: Delivery) -> None:
        pass

    def publish(self, report: Report) -> None:
        body = v03.encode(msgspec.structs.replace(ANNOUNCED, report=report))
        self.deliver(Delivery(body, v03.CONTENT_TYPE, "u", "x", redelivered=False, offset=0))


def waiting() -> tuple[ReportWaiter, FakeBroker]:
    waiter, broker = ReportWaiter("q_reports"), FakeBroker()
    asyncio.run(waiter.follow(cast("Any", broker)))
    waiter.expect(ANNOUNCED)
    return waiter, broker


@pytest.mark.parametrize("code", [201, 507])
@pytest.mark.parametrize("will_retry", [0.0, 15.0])
def test_a_file_that_will_be_tried_again_is_waited_for(code: int, will_retry: float) -> None:
    waiter, broker = waiting()
    broker.publish(Report(code, "", v03.now(), will_retry=will_retry))
    assert (waiter.waiting, waiter.arrived, waiter.failed) == (1, 0, 0)
    broker.publish(Report(201, "", v03.now()))
    assert (waiter.waiting, waiter.arrived, waiter.failed) == (0, 1, 0)


@pytest.mark.parametrize("will_retry", [None, 15.0])
def test_what_a_stranger_reports_is_logged_without_control_characters(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, will_retry: float | None
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    _, broker = waiting()
    with caplog.at_level(logging.WARNING):
        broker.publish(Report(500, "\x1b]0;x\x07\n\x9b2J", v03.now(), will_retry=will_retry))
    texts = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert texts
    assert all(map(str.isprintable, texts))


def test_a_report_on_progress_is_no_failure_that_will_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    waiter, broker = waiting()
    with caplog.at_level(logging.WARNING):
        broker.publish(Report(102, "being sent", v03.now(), bytes=1))
    assert caplog.records == []
    assert (waiter.waiting, waiter.arrived, waiter.failed) == (1, 0, 0)
