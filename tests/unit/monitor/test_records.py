"""Whatever a user reports becomes values that can be stored and added."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.errors import MessageError
from sarra_lite.messages import v03
from sarra_lite.monitor.records import DAY, MAX_SIZE, Record, record_of

NOW = 1_795_834_000_000  # 2026-11-28
OLDEST = NOW - 90 * DAY


def decoded(report: dict[str, Any] | None = None, **fields: Any) -> Record | None:
    body: dict[str, Any] = {"pubTime": "20261127T000000", "baseUrl": "file:/", "relPath": "d/f"}
    body |= fields
    if report is not None:
        plain = {"code": 201, "message": "sent", "timeCompleted": "20261127T000001"}
        body["report"] = plain | report
    return record_of(v03.decode(json.dumps(body).encode()), "uearnest", NOW, OLDEST)


def test_a_report_is_read_with_all_its_values() -> None:
    record = decoded({"seconds": 0.5, "instance": "default/7", "host": "ec1"}, size=7)
    assert record is not None
    assert record.outcome is not None
    assert (record.user, record.path, record.size, record.block) == ("uearnest", b"d/f", 7, False)
    assert record.outcome.ended - record.announced == 1000
    assert (record.outcome.took, record.outcome.attempts) == (500, 1)
    assert (record.outcome.sender, record.outcome.host) == ("default/7", "ec1")


@pytest.mark.parametrize("time", ["19700101T000000", "99991231T235959", "20261201T000000"])
def test_a_time_that_cannot_be_is_now(time: str) -> None:
    record = decoded({"timeCompleted": time})
    assert record is not None
    assert record.outcome is not None
    assert record.outcome.ended == NOW


@pytest.mark.parametrize(
    ("time", "year"),
    [("19700101T000000", 2000), ("99991231T235959", 2100), ("20261127T000000", 2026)],
)
def test_the_time_of_an_announcement_is_of_this_century(time: str, year: int) -> None:
    record = decoded(pubTime=time)
    assert record is not None
    assert datetime.fromtimestamp(record.announced / 1000, UTC).year == year


@pytest.mark.parametrize(
    ("fields", "report"),
    [
        ({"pubTime": "00010101T000000"}, {}),
        ({"size": -1}, {}),
        ({}, {"bytes": -1}),
        ({}, {"seconds": -1}),
        ({}, {"timeCompleted": "00010101T000000"}),
        ({}, {"seconds": 1e300}),
    ],
)
def test_what_no_program_of_ours_writes_is_no_report(
    fields: dict[str, Any], report: dict[str, Any]
) -> None:
    with pytest.raises(MessageError):
        decoded(report, **fields)


def test_a_rejected_report_and_one_without_a_path_are_about_no_file() -> None:
    assert decoded({"rejected": "author not proven"}) is None
    assert decoded({}, relPath="") is None


def test_a_block_is_progress_of_its_length_and_the_last_one_may_complete_the_file() -> None:
    blocks = {"size": 6, "count": 2, "remainder": 4, "number": 1, "method": "inplace"}
    record = decoded({"code": 206}, blocks=blocks)
    assert record is not None
    assert record.outcome is not None
    assert (record.block, record.outcome.done, record.size) == (True, 4, 10)
    last = decoded({"code": 201}, blocks=blocks)
    assert last is not None
    assert last.block is False


texts = st.text(max_size=20)
numbers = st.one_of(st.integers(), st.floats(), texts)
times = st.one_of(
    st.from_regex(r"\A[0-9]{4}(0[1-9]|1[0-2])[0-2][1-8]T[0-1][0-9][0-5][0-9][0-5][0-9]\Z"), texts
)


reports = st.fixed_dictionaries(
    {"timeCompleted": times},
    optional={
        "bytes": numbers,
        "seconds": numbers,
        "attempt": numbers,
        "message": texts,
        "host": texts,
        "instance": texts,
    },
)


@given(report=reports, pub_time=times, size=numbers, path=texts)
def test_every_value_of_a_record_can_be_stored(
    report: dict[str, Any], pub_time: str, size: Any, path: str
) -> None:
    try:
        record = decoded(report, pubTime=pub_time, size=size, relPath=path)
    except MessageError:
        return
    if record is None:
        return
    assert record.outcome is not None
    assert 0 <= record.size <= MAX_SIZE
    assert OLDEST <= record.outcome.ended <= NOW
    assert 0 <= record.outcome.took <= NOW - OLDEST
    assert 0 < record.announced < 2**42
    assert 1 <= record.outcome.attempts < 2**31
    for text in (record.outcome.text, record.outcome.host, record.outcome.sender):
        text.encode()


def test_a_report_on_progress_has_what_is_written_of_a_whole_file_only() -> None:
    going = {"code": 102, "bytes": 7, "limitedBy": "x" * 99, "why": "y" * 999}
    blocks = {"method": "inplace", "size": 5, "count": 2, "remainder": 0, "number": 1}
    for fields, written in (({"size": 10}, 7), ({"blocks": blocks}, 0)):
        record = decoded(going, **fields)
        assert record is not None
        outcome = record.outcome
        assert outcome is not None
        assert (outcome.under_way, outcome.final, outcome.arrived) == (True, False, False)
        assert (outcome.written, outcome.done) == (written, 0)
        assert (len(outcome.limited), len(outcome.why), outcome.connections) == (20, 300, "")
