"""Every failure that a user can be told of has an advice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sarra_lite.messages.structs import Report
from sarra_lite.transfers.advice import advice

PAGE = (Path(__file__).parents[3] / "docs/reference/reports.md").read_text(encoding="utf-8")
CODES = sorted({int(code) for code in re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE)})


@pytest.mark.parametrize("code", [code for code in CODES if code >= 400])
def test_there_is_an_advice_on_each_failure_of_the_page(code: int) -> None:
    assert advice(Report(code, "whatever", "20261128T100000"))


def test_the_text_tells_failures_of_one_code_apart() -> None:
    unreadable = Report(403, "cannot be read: Permission denied", "20261128T100000")
    refused = Report(403, "destination: permission denied", "20261128T100000")
    assert "let the user of the sender read" in advice(unreadable)
    assert "directory of the sender" in advice(refused)
    assert advice(Report(599, "", "20261128T100000")) == ""
