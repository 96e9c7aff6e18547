"""What sr_src2log copies of one message, whatever the message contains."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sarra_lite.broker.client import Delivery
from sarra_lite.commands import src2log
from sarra_lite.config.credentials import parse_url
from sarra_lite.config.src2log import Src2logConfig
from sarra_lite.messages import v03

REPORT = {
    "pubTime": "20260101T000000",
    "baseUrl": "file:/",
    "relPath": "a/f",
    "report": {"code": 201, "message": "file sent", "timeCompleted": "20260101T000001"},
}


def copied(body: bytes, exchange: str = "xac_earnest") -> v03.Announcement:
    config = Src2logConfig(broker=parse_url("amqp://src2log@h/", ["amqp"]))
    delivery = Delivery(body, v03.CONTENT_TYPE, "uearnest", exchange, redelivered=False, offset=0)
    return v03.decode(src2log._copy_of(delivery, config).body)  # noqa: SLF001


def test_a_stranger_cannot_mark_his_report_as_rejected() -> None:
    claim: dict[str, Any] = {**REPORT["report"], "rejected": "\x1b[2J\nall is lost"}  # type: ignore[dict-item]
    copy = copied(json.dumps({**REPORT, "report": claim}).encode())
    assert copy.report is not None
    assert (copy.report.code, copy.report.rejected) == (201, None)


@pytest.mark.parametrize("bug", ["decode", "encode"])
def test_a_bug_with_one_report_is_a_rejection_with_500(
    monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    real, calls = getattr(v03, bug), []

    def broken_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise AttributeError("no such thing")
        return real(*arguments)

    monkeypatch.setattr(v03, bug, broken_once)
    copy = copied(json.dumps(REPORT).encode())
    assert copy.report is not None
    assert copy.report.code == 500
    assert "no such thing" in (copy.report.rejected or "")
    assert copy.source == "uearnest"


def test_a_large_report_is_copied_without_fields_that_are_unknown_here() -> None:
    copy = copied(json.dumps({**REPORT, "manifest": "x" * 100_000}).encode())
    assert copy.report is not None
    assert (copy.report.code, copy.report.rejected, copy.extra) == (201, None, {})


def test_a_report_that_is_large_without_them_is_a_small_rejection_of_the_same_name() -> None:
    texts = dict.fromkeys(("message", "host", "user", "instance"), "\U0001f4a5" * 1000)
    link, report = ("\u4e00" * 84 + "/") * 16, {**REPORT["report"], **texts}  # type: ignore[dict-item]
    body = {**REPORT, "report": report, "baseUrl": "file:/" + "\u4e00" * 1300}
    body |= {"fileOp": {"link": link, "rename": link}, "relPath": "a/f"}
    copy = copied(json.dumps(body).encode())
    assert copy.report is not None
    assert "bytes; at most 65536" in (copy.report.rejected or "")
    assert len(v03.encode(copy)) < 1000
    assert (copy.rel_path, copy.source) == ("a/f", "uearnest")
