"""The lines of sr_log, from whatever strangers report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sarra_lite.broker import report_stream
from sarra_lite.broker.client import Delivery
from sarra_lite.commands import log_text
from sarra_lite.messages import v03

REPORT = {"code": 500, "message": "broken", "host": "h", "timeCompleted": "20261127T010203.5"}
RAW = ("\x1b]0;x\x07", "a\nb", "\x9b2J", "\u202etxt", "\r", "\udcff", "\x7f")


def shown(report: dict[str, Any] | None = None, **fields: Any) -> tuple[str, str]:
    """Return the line of the table and the JSON object for a message on the wire."""
    message = {"pubTime": "20261127T010203.5", "baseUrl": "file:/", "relPath": "f", **fields}
    body = json.dumps({**message, "report": {**REPORT, **(report or {})}}).encode()
    delivery = Delivery(body, v03.CONTENT_TYPE, "u", "x", redelivered=False, offset=0)
    found = report_stream.decode_report(delivery)
    if found is None:  # refused when it is read: nothing is printed
        return "", ""
    return log_text.line(*found), log_text.as_json(*found)


@pytest.mark.parametrize("raw", RAW)
def test_raw_control_characters_are_never_printed(raw: str) -> None:
    names: list[dict[str, Any]] = [
        {"relPath": f"d/{raw}"},
        {"source": raw},
        {"fileOp": {"link": raw}},
    ]
    reports = [{field: raw} for field in ("message", "host", "user", "instance", "rejected")]
    for line, text in [*(shown(**one) for one in names), *(shown(one) for one in reports)]:
        assert line.isprintable()
        assert text.isascii()
        assert text.isprintable()


@pytest.mark.parametrize("will_retry", [0.0, 15.0])
def test_a_failure_that_is_not_final_is_shown_with_the_next_attempt(will_retry: float) -> None:
    line, text = shown({"willRetry": will_retry})
    assert line.endswith(f"f: broken; again in {will_retry:.0f} s")
    assert json.loads(text)["willRetry"] == will_retry
    assert "again" not in shown()[0]
